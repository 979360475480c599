package adoqueue

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// organizationFake answers requests in memory, so that it works in a synctest
// bubble: pools by name have the id 7, and their list is what queued says.
type organizationFake struct {
	mu       sync.Mutex
	queued   int
	delay    time.Duration
	failWith func() *http.Response // nil: succeed
	gone     bool                  // the list answers 404, the look-up does not
	sentAt   []time.Time           // of requests for the list
	lookups  int
}

func (f *organizationFake) Do(request *http.Request) (*http.Response, error) {
	f.mu.Lock()
	list := strings.HasSuffix(request.URL.Path, "/jobrequests")
	if list {
		f.sentAt = append(f.sentAt, time.Now())
	} else {
		f.lookups++
	}
	delay, fail, queued := f.delay, f.failWith, f.queued
	if f.gone && list {
		fail = func() *http.Response { return reply(http.StatusNotFound, "") }
	}
	f.mu.Unlock()
	select {
	case <-time.After(delay):
	case <-request.Context().Done():
		return nil, request.Context().Err()
	}
	if fail != nil {
		return fail(), nil
	}
	if !list {
		return reply(200, `{"count":1,"value":[{"id":7,"name":"Linux"}]}`), nil
	}
	item := `{"requestId":1,"queueTime":"2026-01-05T08:00:00Z"}`
	return reply(200, `{"value":[`+strings.TrimSuffix(strings.Repeat(item+",", queued), ",")+`]}`), nil
}

func (f *organizationFake) set(change func(*organizationFake)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change(f)
}

func (f *organizationFake) sent() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.sentAt)
}

func reply(status int, body string, header ...string) *http.Response {
	response := &http.Response{
		StatusCode: status, Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(strings.NewReader(body)),
	}
	for i := 0; i < len(header); i += 2 {
		response.Header.Set(header[i], header[i+1])
	}
	return response
}

// inBubble runs a test on a cache over the fake, in virtual time.
func inBubble(t *testing.T, test func(t *testing.T, fake *organizationFake, cache *Cache)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		fake := &organizationFake{queued: 2}
		client, err := NewClient(parseURL(t, "https://dev.azure.com/contoso"), PAT("x"), Options{HTTPClient: fake})
		if err != nil {
			t.Fatal(err)
		}
		cache := NewCache(client, CacheOptions{})
		defer cache.Close()
		test(t, fake, cache)
	})
}

var linux = PoolRef{Name: "Linux"}

func mustSnapshot(t *testing.T, cache *Cache) *Snapshot {
	t.Helper()
	snapshot, err := cache.Snapshot(t.Context(), linux, time.Second)
	if err != nil {
		t.Fatal(err)
	}
	return snapshot
}

func TestSnapshotIsShared(t *testing.T) {
	inBubble(t, func(t *testing.T, fake *organizationFake, cache *Cache) {
		fake.delay = 300 * time.Millisecond
		var wg sync.WaitGroup
		for i := range 200 {
			ref := linux
			if i%2 == 1 {
				ref = PoolRef{Name: "LINUX"} // the case of a name does not make another pool
			}
			wg.Go(func() {
				s, err := cache.Snapshot(t.Context(), ref, time.Second)
				if err != nil || len(s.Requests) != 2 {
					t.Errorf("got %v, %v", s, err)
				}
			})
		}
		wg.Wait()
		if fake.sent() != 1 || fake.lookups != 1 {
			t.Errorf("%d requests and %d lookups, want 1 and 1", fake.sent(), fake.lookups)
		}
	})
}

func TestSnapshotByIDAndNameIsOne(t *testing.T) {
	inBubble(t, func(t *testing.T, fake *organizationFake, cache *Cache) {
		first := mustSnapshot(t, cache)
		cache.pools[PoolRef{ID: 7}] = cache.pools[linux.key()] // as a lookup by id would find it
		second, err := cache.Snapshot(t.Context(), PoolRef{ID: 7}, time.Second)
		if err != nil || second != first || fake.sent() != 1 {
			t.Errorf("got another snapshot (%v) after %d requests", err, fake.sent())
		}
	})
}

func TestSnapshotAges(t *testing.T) {
	inBubble(t, func(t *testing.T, fake *organizationFake, cache *Cache) {
		first := mustSnapshot(t, cache)
		fake.set(func(f *organizationFake) { f.queued = 5 })
		time.Sleep(time.Second - time.Nanosecond)
		if got := mustSnapshot(t, cache); got != first {
			t.Error("a snapshot younger than maxAge was replaced")
		}
		time.Sleep(time.Nanosecond)
		if got := mustSnapshot(t, cache); len(got.Requests) != 5 || !got.RequestedAt.Equal(first.RequestedAt.Add(time.Second)) {
			t.Errorf("got %d requests of %v", len(got.Requests), got.RequestedAt)
		}
		time.Sleep(time.Hour)
		if fake.sent() != 2 {
			t.Errorf("%d requests, want 2: none while nobody asks", fake.sent())
		}
	})
}

func TestNeverAskedFasterThanMaxAge(t *testing.T) {
	for name, fail := range map[string]func() *http.Response{
		"successes":        nil,
		"failures":         func() *http.Response { return reply(503, "") },
		"refusals":         func() *http.Response { return reply(401, "") },
		"unreadable":       func() *http.Response { return reply(200, `{"value":`) },
		"missing pools":    func() *http.Response { return reply(404, "") },
		"throttled":        func() *http.Response { return reply(429, "", "Retry-After", "3") },
		"throttled at 200": func() *http.Response { return reply(200, `{"value":[]}`, "Retry-After", "3") },
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, fake *organizationFake, cache *Cache) {
				mustSnapshot(t, cache)
				fake.set(func(f *organizationFake) { f.failWith = fail })
				for range 600 { // a minute
					time.Sleep(100 * time.Millisecond)
					_, _ = cache.Snapshot(t.Context(), linux, time.Second)
				}
				least := time.Second
				if strings.HasPrefix(name, "throttled") {
					least = 3 * time.Second
				}
				for i := 2; i < len(fake.sentAt); i++ {
					if gap := fake.sentAt[i].Sub(fake.sentAt[i-1]); gap < least {
						t.Fatalf("request %d came %v after the one before, want at least %v", i, gap, least)
					}
				}
				if total := fake.sent() + fake.lookups; total < 2 || total > 62 {
					t.Errorf("%d requests in a minute", total)
				}
			})
		})
	}
}

func TestLastSnapshotServesWhileAzureDevOpsFails(t *testing.T) {
	inBubble(t, func(t *testing.T, fake *organizationFake, cache *Cache) {
		first := mustSnapshot(t, cache)
		fake.set(func(f *organizationFake) { f.failWith = func() *http.Response { return reply(503, "") } })
		for range 29 {
			time.Sleep(time.Second)
			got := mustSnapshot(t, cache)
			if len(got.Requests) != 2 || !got.RequestedAt.Equal(first.RequestedAt) {
				t.Fatalf("after %v: %d requests of %v", time.Since(first.RequestedAt), len(got.Requests), got.RequestedAt)
			}
			if !errors.Is(got.Err, ErrUnavailable) {
				t.Fatalf("Err = %v, want the failure", got.Err)
			}
		}
		time.Sleep(time.Second + time.Nanosecond)
		if got, err := cache.Snapshot(t.Context(), linux, time.Second); !errors.Is(err, ErrUnavailable) {
			t.Fatalf("after 30 s: %v, %v, want an error", got, err)
		}
		fake.set(func(f *organizationFake) { f.failWith = nil })
		time.Sleep(maxBackoff)
		if got := mustSnapshot(t, cache); got.Err != nil || len(got.Requests) != 2 {
			t.Errorf("after recovery: %+v", got)
		}
	})
}

func TestRefusalIsToldAtOnce(t *testing.T) {
	for status, want := range map[int]error{401: ErrUnauthorized, 203: ErrUnauthorized, 302: ErrUnauthorized, 403: ErrForbidden, 404: ErrPoolNotFound} {
		inBubble(t, func(t *testing.T, fake *organizationFake, cache *Cache) {
			mustSnapshot(t, cache)
			fake.set(func(f *organizationFake) { f.failWith = func() *http.Response { return reply(status, "") } })
			time.Sleep(time.Second)
			if got, err := cache.Snapshot(t.Context(), linux, time.Second); !errors.Is(err, want) {
				t.Errorf("%d: got %v, %v, want %v", status, got, err, want)
			}
		})
	}
}

func TestLookUpsOfAGonePoolKeepThePace(t *testing.T) {
	inBubble(t, func(t *testing.T, fake *organizationFake, cache *Cache) {
		mustSnapshot(t, cache)
		fake.set(func(f *organizationFake) { f.gone = true })
		for range 100 {
			time.Sleep(100 * time.Millisecond)
			_, _ = cache.Snapshot(t.Context(), linux, time.Second)
		}
		if fake.lookups < 2 || fake.lookups > 11 || fake.sent() > 11 {
			t.Errorf("%d look-ups and %d lists in 10 s", fake.lookups, fake.sent())
		}
	})
}

func TestPoolIsLookedUpAgainWhenGone(t *testing.T) {
	inBubble(t, func(t *testing.T, fake *organizationFake, cache *Cache) {
		mustSnapshot(t, cache)
		fake.set(func(f *organizationFake) { f.failWith = func() *http.Response { return reply(404, "") } })
		time.Sleep(time.Second)
		_, _ = cache.Snapshot(t.Context(), linux, time.Second)
		fake.set(func(f *organizationFake) { f.failWith = nil })
		time.Sleep(maxBackoff)
		mustSnapshot(t, cache)
		if fake.lookups != 2 {
			t.Errorf("%d lookups, want 2", fake.lookups)
		}
	})
}

func TestSlowAnswer(t *testing.T) {
	inBubble(t, func(t *testing.T, fake *organizationFake, cache *Cache) {
		fake.delay = time.Hour
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		start := time.Now()
		_, err := cache.Snapshot(ctx, linux, time.Second)
		if !errors.Is(err, ErrUnavailable) || !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != 2*time.Second {
			t.Errorf("after %v: %v, want the caller's deadline", time.Since(start), err)
		}
		_, err = cache.Snapshot(t.Context(), linux, time.Second)
		if !errors.Is(err, ErrUnavailable) || time.Since(start) != defaultTimeout {
			t.Errorf("after %v: %v, want the request's own deadline", time.Since(start), err)
		}
	})
}

func TestSlowAnswerWithOldSnapshot(t *testing.T) {
	inBubble(t, func(t *testing.T, fake *organizationFake, cache *Cache) {
		mustSnapshot(t, cache)
		fake.set(func(f *organizationFake) { f.delay = 5 * time.Second })
		time.Sleep(time.Second)
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		got, err := cache.Snapshot(ctx, linux, time.Second)
		if err != nil || got.Err == nil {
			t.Errorf("got %v, %v, want the old snapshot with the reason", got, err)
		}
	})
}

func TestCallerGoingAwayDoesNotDisturbOthers(t *testing.T) {
	inBubble(t, func(t *testing.T, fake *organizationFake, cache *Cache) {
		fake.delay = time.Second
		ctx, cancel := context.WithCancel(t.Context())
		go func() { _, _ = cache.Snapshot(ctx, linux, time.Second) }()
		synctest.Wait()
		cancel()
		mustSnapshot(t, cache)
		if fake.sent() != 1 || fake.lookups != 1 {
			t.Errorf("%d requests and %d lookups, want 1 and 1", fake.sent(), fake.lookups)
		}
	})
}

func TestForgetsWhatNobodyAsksFor(t *testing.T) {
	inBubble(t, func(t *testing.T, _ *organizationFake, cache *Cache) {
		mustSnapshot(t, cache)
		time.Sleep(idleFor + time.Second)
		_, _ = cache.Snapshot(t.Context(), PoolRef{Name: "Windows"}, time.Second)
		if _, ok := cache.pools[linux.key()]; ok {
			t.Error("a pool is remembered that nobody has asked for in a long time")
		}
	})
}
