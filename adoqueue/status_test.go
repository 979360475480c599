package adoqueue

import (
	"errors"
	"net/http"
	"testing"
	"time"
)

// TestStatus has an organization that can be read, then throttles, then fails, then
// can be read again.
func TestStatus(t *testing.T) {
	inBubble(t, func(t *testing.T, fake *organizationFake, cache *Cache) {
		start := time.Now()
		at := func(seconds int) time.Time { return start.Add(time.Duration(seconds) * time.Second) }
		until := func(seconds int) { time.Sleep(time.Until(at(seconds))) }
		want := func(what string, requests int64, last, failing time.Time, kind error) {
			t.Helper()
			s := cache.Status()
			got := s.Pools[7]
			if s.Requests != requests || got.Pool != "Linux" || !got.At.Equal(last) || !got.FailingSince.Equal(failing) || !errors.Is(got.Err, kind) {
				t.Errorf("%s: got %d requests and %+v, want %d, read at %v, failing since %v: %v", what, s.Requests, got, requests, last, failing, kind)
			}
		}
		mustSnapshot(t, cache)
		want("all is well", 2, at(0), time.Time{}, nil)

		until(1)
		fake.set(func(f *organizationFake) {
			f.failWith = func() *http.Response { return reply(429, "", "Retry-After", "3", "X-RateLimit-Delay", "1.5") }
		})
		mustSnapshot(t, cache) // the last one serves
		want("throttled", 3, at(0), at(1), ErrThrottled)
		if s := cache.Status(); !s.ThrottledUntil.Equal(at(4)) || s.Delayed != 1500*time.Millisecond {
			t.Errorf("throttled until %v and delayed by %v, want %v and 1.5s", s.ThrottledUntil, s.Delayed, at(4))
		}

		until(5)
		fake.set(func(f *organizationFake) { f.failWith = func() *http.Response { return reply(500, "") } })
		mustSnapshot(t, cache)
		want("failing", 4, at(0), at(1), ErrUnavailable)

		until(10)
		fake.set(func(f *organizationFake) { f.failWith = nil })
		mustSnapshot(t, cache)
		want("well again", 5, at(10), time.Time{}, nil)
	})
}

// TestStatusOfPools has the list of pools fail, so that there is no pool to be failing.
func TestStatusOfPools(t *testing.T) {
	inBubble(t, func(t *testing.T, fake *organizationFake, cache *Cache) {
		fake.set(func(f *organizationFake) { f.failWith = func() *http.Response { return reply(401, "") } })
		if _, err := cache.Snapshot(t.Context(), linux, time.Second); !errors.Is(err, ErrUnauthorized) {
			t.Fatal(err)
		}
		s := cache.Status()
		if !errors.Is(s.Directory.Err, ErrUnauthorized) || s.Directory.FailingSince.IsZero() || len(s.Pools) > 0 {
			t.Errorf("got %+v", s)
		}
	})
}

// TestAgentsOfCache has people ask for agents again and again, at the cost of one
// request in maxAge.
func TestAgentsOfCache(t *testing.T) {
	inBubble(t, func(t *testing.T, fake *organizationFake, cache *Cache) {
		ask := func() {
			t.Helper()
			if _, err := cache.Agents(t.Context(), Pool{ID: 7, Name: "Linux"}, 15*time.Second); err != nil {
				t.Fatal(err)
			}
		}
		for range 10 {
			ask()
			time.Sleep(time.Second)
		}
		if fake.lookups() != 1 {
			t.Errorf("%d requests in ten seconds, want 1", fake.lookups())
		}
		time.Sleep(5 * time.Second)
		ask()
		if fake.lookups() != 2 {
			t.Errorf("%d requests after 15 seconds, want 2", fake.lookups())
		}
	})
}
