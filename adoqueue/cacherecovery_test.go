package adoqueue

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"testing/synctest"
	"time"
)

// TestCallerWaitsForTheNextTry has callers who come just before the back-off or the
// wait of Azure DevOps is over. Without a wait the next poll of KEDA would be the
// first to get an answer.
func TestCallerWaitsForTheNextTry(t *testing.T) {
	for name, c := range map[string]struct {
		fail func() *http.Response
		wait time.Duration // from the failure to the next try
	}{
		"refused":   {func() *http.Response { return reply(403, "") }, maxBackoff},
		"failed":    {func() *http.Response { return reply(503, "") }, maxBackoff},
		"throttled": {func() *http.Response { return reply(429, "", "Retry-After", "4") }, 4 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, fake *organizationFake, cache *Cache) {
				mustSnapshot(t, cache)
				fake.set(func(f *organizationFake) { f.failWith = c.fail })
				for range 2 { // until the back-off is at its longest
					time.Sleep(10 * time.Second)
					_, _ = cache.Snapshot(t.Context(), linux, time.Second)
				}
				fake.set(func(f *organizationFake) { f.failWith, f.queued = nil, 5 })
				tried := fake.sent()
				time.Sleep(c.wait - turnPatience - time.Millisecond)
				began := time.Now()
				if got, err := cache.Snapshot(t.Context(), linux, time.Second); (err == nil && got.Err == nil) || time.Now() != began {
					t.Errorf("%v before the next try: %+v, %v, want the failure at once", turnPatience+time.Millisecond, got, err)
				}
				time.Sleep(turnPatience)
				got, err := cache.Snapshot(t.Context(), linux, time.Second)
				if err != nil || got.Err != nil || len(got.Requests) != 5 {
					t.Fatalf("just before the next try: %+v, %v, want a new snapshot", got, err)
				}
				if waited := got.RequestedAt.Sub(fake.times()[tried-1]); waited != c.wait || fake.sent() != tried+1 {
					t.Errorf("%d requests, the last after %v, want one after %v", fake.sent()-tried, waited, c.wait)
				}
			})
		})
	}
}

// TestWaitForTheNextTryEnds has a caller who goes away, and one who must not wait
// for longer than a second for a try that fails to answer.
func TestWaitForTheNextTryEnds(t *testing.T) {
	inBubble(t, func(t *testing.T, fake *organizationFake, cache *Cache) {
		mustSnapshot(t, cache)
		fake.set(func(f *organizationFake) { f.failWith = func() *http.Response { return reply(503, "") } })
		time.Sleep(2 * time.Second)
		mustSnapshot(t, cache)
		fake.set(func(f *organizationFake) { f.failWith, f.delay = nil, time.Hour })
		time.Sleep(900 * time.Millisecond)
		began := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		if got, err := cache.Snapshot(ctx, linux, time.Second); err != nil || got.Err == nil || time.Since(began) != 50*time.Millisecond {
			t.Errorf("after %v: %+v, %v", time.Since(began), got, err)
		}
		began = time.Now()
		if got := mustSnapshot(t, cache); got.Err == nil || time.Since(began) != patience {
			t.Errorf("after %v: %+v", time.Since(began), got)
		}
	})
}

// TestWaitOfAnotherPoolIsExact holds one pool back because another was throttled,
// over an answer that took its time: the try that comes a moment too early must not
// cost a second.
func TestWaitOfAnotherPoolIsExact(t *testing.T) {
	inBubble(t, func(t *testing.T, fake *organizationFake, cache *Cache) {
		fake.more = `,{"id":8,"name":"Windows"}`
		mustSnapshot(t, cache)
		windows := PoolRef{ID: 8}
		if _, err := cache.Snapshot(t.Context(), windows, time.Second); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		fake.set(func(f *organizationFake) {
			f.delay, f.failWith = 200*time.Millisecond, func() *http.Response { return reply(429, "", "Retry-After", "3") }
		})
		mustSnapshot(t, cache)
		answered := time.Now()
		fake.set(func(f *organizationFake) { f.failWith = nil })
		time.Sleep(2900 * time.Millisecond)
		for _, pool := range []PoolRef{windows, linux} {
			got, err := cache.Snapshot(t.Context(), pool, time.Second)
			if err != nil || got.Err != nil || got.RequestedAt.Sub(answered) > 3*time.Second+200*time.Millisecond {
				t.Errorf("%v: %+v, %v, want a new snapshot 3 s after %v", pool, got, err, answered)
			}
		}
	})
}

// TestOutageIsOneOutage shows since when there has been no newer snapshot, whether
// requests fail or may not be sent.
func TestOutageIsOneOutage(t *testing.T) {
	inBubble(t, func(t *testing.T, fake *organizationFake, cache *Cache) {
		mustSnapshot(t, cache)
		fake.set(func(f *organizationFake) {
			f.failWith = func() *http.Response { return reply(429, "", "Retry-After", "9") }
		})
		time.Sleep(time.Second)
		began := time.Now()
		for range 40 {
			_, _ = cache.Snapshot(t.Context(), linux, time.Second)
			time.Sleep(time.Second)
		}
		synctest.Wait()
		reading := cache.lists[7].reading()
		if !reading.FailingSince.Equal(began) || !errors.Is(reading.Err, ErrThrottled) {
			t.Errorf("failing since %v, %v, want %v", reading.FailingSince, reading.Err, began)
		}
	})
}

// TestLongPaceKeepsNoOtherWaiting has a request of one who reads a pool now and then
// fail, a second before KEDA polls.
func TestLongPaceKeepsNoOtherWaiting(t *testing.T) {
	const seldom = 10 * time.Second
	inBubble(t, func(t *testing.T, fake *organizationFake, cache *Cache) {
		mustSnapshot(t, cache)
		fake.set(func(f *organizationFake) { f.failWith = func() *http.Response { return reply(503, "") } })
		time.Sleep(seldom)
		for range 5 {
			if got, err := cache.Snapshot(t.Context(), linux, seldom); err != nil || got.Err == nil {
				t.Fatalf("%+v, %v, want the old snapshot with a reason", got, err)
			}
			time.Sleep(200 * time.Millisecond)
		}
		if sent := fake.sent(); sent != 2 {
			t.Errorf("%d requests, want one for each pace", sent)
		}
		fake.set(func(f *organizationFake) { f.failWith, f.queued = nil, 5 })
		if got := mustSnapshot(t, cache); got.Err != nil || len(got.Requests) != 5 {
			t.Errorf("%+v, want a new snapshot", got)
		}
	})
}

// TestLeavingCallerGetsWhatOthersFetched has a caller go away while it waits for the
// next try, and notice that when somebody else's has succeeded.
func TestLeavingCallerGetsWhatOthersFetched(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fetched := &Snapshot{}
		r := &refreshable[*Snapshot]{
			staleFor: time.Minute, mark: withReason,
			spawn: func(func()) { t.Error("it was fetched once more") },
		}
		r.take(nil, errors.New("broken"), time.Now())
		ctx, cancel := context.WithCancel(t.Context())
		got := make(chan *Snapshot)
		go func() {
			value, _, _ := r.get(ctx, time.Second, turnPatience)
			got <- value
		}()
		synctest.Wait()
		r.mu.Lock()
		cancel()
		r.take(fetched, nil, time.Now())
		r.mu.Unlock()
		if value := <-got; value != fetched {
			t.Errorf("got %v, want what was fetched", value)
		}
	})
}
