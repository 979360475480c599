package adoqueue

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// organizationFake answers requests in memory, so that it works in a synctest
// bubble: the pool Linux, whose list has as many requests as queued says.
type organizationFake struct {
	mu           sync.Mutex
	id           int    // of the pool, 0: 7
	more         string // other pools
	queued       int
	delay        time.Duration
	stuck        string                // lists of pools whose path has this do not answer, unless ""
	failWith     func() *http.Response // nil: succeed
	gone         bool                  // the list of requests answers 404, that of pools does not
	sentAt       []time.Time           // of requests for the list of requests
	lookedUp     int                   // requests for the list of pools
	inFlight     int
	mostInFlight int
}

func (f *organizationFake) Do(request *http.Request) (*http.Response, error) {
	f.mu.Lock()
	list := strings.HasSuffix(request.URL.Path, "/jobrequests")
	if list {
		f.sentAt = append(f.sentAt, time.Now())
	} else {
		f.lookedUp++
	}
	delay, fail := f.delay, f.failWith
	if f.stuck != "" && strings.Contains(request.URL.Path, f.stuck) {
		delay = time.Hour
	}
	if f.gone && list {
		fail = func() *http.Response { return reply(http.StatusNotFound, "") }
	}
	f.inFlight++
	f.mostInFlight = max(f.mostInFlight, f.inFlight)
	f.mu.Unlock()
	defer f.set(func(f *organizationFake) { f.inFlight-- })
	select {
	case <-time.After(delay):
	case <-request.Context().Done():
		return nil, request.Context().Err()
	}
	if fail != nil {
		return fail(), nil
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if !list {
		return reply(200, fmt.Sprintf(`{"value":[{"id":%d,"name":"Linux"}%s]}`, cmp.Or(f.id, 7), f.more)), nil
	}
	items := make([]string, f.queued)
	for i := range items {
		items[i] = fmt.Sprintf(`{"requestId":%d,"queueTime":"2026-01-05T08:00:00Z"}`, i+1)
	}
	return reply(200, `{"value":[`+strings.Join(items, ",")+`]}`), nil
}

func (f *organizationFake) set(change func(*organizationFake)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change(f)
}

func (f *organizationFake) sent() int { return len(f.times()) }

func (f *organizationFake) times() []time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.sentAt)
}

func (f *organizationFake) most() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.mostInFlight
}

func (f *organizationFake) lookups() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.lookedUp
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
		if fake.sent() != 1 || fake.lookups() != 1 {
			t.Errorf("%d requests and %d lookups, want 1 and 1", fake.sent(), fake.lookups())
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

func TestLastSnapshotServesWhileAzureDevOpsFails(t *testing.T) {
	inBubble(t, func(t *testing.T, fake *organizationFake, cache *Cache) {
		first := mustSnapshot(t, cache)
		fake.set(func(f *organizationFake) { f.failWith = func() *http.Response { return reply(503, "") } })
		for time.Since(first.RequestedAt) < defaultStaleFor-2*time.Second {
			time.Sleep(time.Second)
			got := mustSnapshot(t, cache)
			if len(got.Requests) != 2 || !got.RequestedAt.Equal(first.RequestedAt) {
				t.Fatalf("after %v: %d requests of %v", time.Since(first.RequestedAt), len(got.Requests), got.RequestedAt)
			}
			if !errors.Is(got.Err, ErrUnavailable) {
				t.Fatalf("Err = %v, want the failure", got.Err)
			}
		}
		time.Sleep(time.Until(first.RequestedAt.Add(defaultStaleFor + time.Nanosecond)))
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

func TestRefusalIsReturnedAtOnce(t *testing.T) {
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

// TestSnapshotIsTheSameWhileNothingIsNew compares pointers, as the callers do.
func TestSnapshotIsTheSameWhileNothingIsNew(t *testing.T) {
	inBubble(t, func(t *testing.T, fake *organizationFake, cache *Cache) {
		mustSnapshot(t, cache)
		fake.set(func(f *organizationFake) { f.failWith = func() *http.Response { return reply(503, "") } })
		seen := map[*Snapshot]bool{}
		reasons := map[error]bool{}
		for end := time.Now().Add(20 * time.Second); time.Now().Before(end); {
			time.Sleep(100 * time.Millisecond)
			got := mustSnapshot(t, cache)
			seen[got], reasons[got.Err] = true, true
		}
		// One is the snapshot itself, while it was young.
		if failures := fake.sent() - 1; len(seen) != failures+1 || len(reasons) != failures+1 || failures > 2+int(20*time.Second/maxBackoff) {
			t.Errorf("%d snapshots with %d reasons for %d failures", len(seen), len(reasons), failures)
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
		if fake.sent() != 1 || fake.lookups() != 1 {
			t.Errorf("%d requests and %d lookups, want 1 and 1", fake.sent(), fake.lookups())
		}
	})
}
