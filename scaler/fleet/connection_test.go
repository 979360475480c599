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

// TestFollowerRefused has answers that the client above has to see, since it knows
// when to ask again, or has to renew its token. There is no news meanwhile.
func TestFollowerRefused(t *testing.T) {
	for _, status := range []int{http.StatusUnauthorized, http.StatusTooManyRequests} {
		synctest.Test(t, func(t *testing.T) {
			c := newConnection()
			s := &server{answer: func(time.Duration) (int, io.Reader, error) { return status, http.NoBody, nil }}
			if response, err := s.follow(t, c, t.Context()); err != nil || response.StatusCode != status {
				t.Errorf("got %v, %v", response, err)
			}
			time.Sleep(2 * tolerance)
			if c.err() == nil {
				t.Errorf("the view counts as up to date after status %d", status)
			}
		})
	}
}

// TestOutagesFarApart has one that nobody asked about since it ended: the next one
// has its own tolerance.
func TestOutagesFarApart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newConnection()
		c.begin("/jobs", "cut")
		time.Sleep(time.Minute)
		c.end("/jobs")
		time.Sleep(time.Hour)
		c.begin("/jobs", "cut")
		if err := c.err(); err != nil {
			t.Errorf("at once: %v", err)
		}
		time.Sleep(2 * tolerance)
		if c.err() == nil {
			t.Error("no error after the tolerance")
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

// TestWatchThatIsClosed has an informer end a watch by itself: what it still reads
// then is no outage.
func TestWatchThatIsClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newConnection()
		s := &server{answer: func(time.Duration) (int, io.Reader, error) {
			return http.StatusOK, iotest.ErrReader(http.ErrBodyReadAfterClose), nil
		}}
		response, err := s.follow(t, c, t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if err := response.Body.Close(); err != nil {
			t.Fatal(err)
		}
		if _, err := response.Body.Read(make([]byte, 1)); err == nil {
			t.Error("it reads on")
		}
		time.Sleep(2 * tolerance)
		if err := c.err(); err != nil {
			t.Error(err)
		}
	})
}
