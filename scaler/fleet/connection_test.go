package fleet

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"
)

// server answers by the time since it began.
type server struct {
	began  time.Time
	answer func(since time.Duration) (status int, body io.Reader, err error)
	asked  int
}

func (s *server) RoundTrip(*http.Request) (*http.Response, error) {
	s.asked++
	status, body, err := s.answer(time.Since(s.began))
	if err != nil {
		return nil, err
	}
	return &http.Response{StatusCode: status, Status: http.StatusText(status), Body: io.NopCloser(body)}, nil
}

// follow sends a request of an informer to a server.
func (s *server) follow(t *testing.T, c *connection, ctx context.Context) (*http.Response, error) { //nolint:revive // t is first in tests
	t.Helper()
	s.began = time.Now()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://kubernetes/apis/batch/v1/jobs", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	return (&follower{c, s}).RoundTrip(request)
}

func TestFollowerTriesUntilThereIsAnAnswer(t *testing.T) {
	for name, away := range map[string]func() (int, io.Reader, error){
		"refused":   func() (int, io.Reader, error) { return 0, nil, errors.New("connection refused") },
		"starting":  func() (int, io.Reader, error) { return http.StatusServiceUnavailable, http.NoBody, nil },
		"forbidden": func() (int, io.Reader, error) { return http.StatusForbidden, http.NoBody, nil },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newConnection()
				s := &server{answer: func(since time.Duration) (int, io.Reader, error) {
					if since < 10*time.Second {
						return away()
					}
					return http.StatusOK, strings.NewReader("{}"), nil
				}}
				expect := func(at time.Duration, outOfDate bool) {
					time.Sleep(time.Until(s.began.Add(at)))
					synctest.Wait()
					if err := c.err(); (err != nil) != outOfDate {
						t.Errorf("after %v: %v, want an error: %v", at, err, outOfDate)
					}
				}
				done := make(chan error, 1)
				go func() {
					_, err := s.follow(t, c, t.Context())
					done <- err
				}()
				synctest.Wait()
				expect(tolerance, false)
				expect(tolerance+time.Millisecond, true)
				expect(10*time.Second+settling, true) // what was missed may not be in the view yet
				expect(10*time.Second+settling+time.Millisecond, false)
				if err := <-done; err != nil || s.asked > 21 {
					t.Errorf("asked %d times: %v", s.asked, err)
				}
			})
		})
	}
}

func TestFollowerEndsWithItsRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second+time.Millisecond)
		defer cancel()
		s := &server{answer: func(time.Duration) (int, io.Reader, error) { return 0, nil, errors.New("connection refused") }}
		if _, err := s.follow(t, newConnection(), ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
	})
}

// TestFollowerLeavesAnswersAlone has one that an informer has to see.
func TestFollowerLeavesAnswersAlone(t *testing.T) {
	c := newConnection()
	s := &server{answer: func(time.Duration) (int, io.Reader, error) { return http.StatusGone, http.NoBody, nil }}
	if response, err := s.follow(t, c, t.Context()); err != nil || response.StatusCode != http.StatusGone || c.err() != nil {
		t.Errorf("got %v, %v, %v", response, err, c.err())
	}
}

func TestWatchThatBreaksOff(t *testing.T) {
	for name, c := range map[string]struct {
		end       error
		outOfDate bool
	}{
		"breaks":          {io.ErrUnexpectedEOF, true},
		"ends as it does": {io.EOF, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				followed := newConnection()
				s := &server{answer: func(time.Duration) (int, io.Reader, error) { return http.StatusOK, iotest.ErrReader(c.end), nil }}
				response, err := s.follow(t, followed, t.Context())
				if err != nil {
					t.Fatal(err)
				}
				_, _ = io.ReadAll(response.Body)
				time.Sleep(2 * tolerance)
				if err := followed.err(); (err != nil) != c.outOfDate {
					t.Errorf("got %v, want an error: %v", err, c.outOfDate)
				}
			})
		})
	}
}
