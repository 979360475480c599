package adoqueue

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

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
				for end := time.Now().Add(time.Minute); time.Now().Before(end); {
					time.Sleep(100 * time.Millisecond)
					_, _ = cache.Snapshot(t.Context(), linux, time.Second)
				}
				least := time.Second
				if strings.HasPrefix(name, "throttled") {
					least = 3 * time.Second
				}
				sent := fake.times()
				for i := 2; i < len(sent); i++ {
					if gap := sent[i].Sub(sent[i-1]); gap < least {
						t.Fatalf("request %d came %v after the one before, want at least %v", i, gap, least)
					}
				}
				if total := len(sent) + fake.lookups(); total < 2 || total > 62 {
					t.Errorf("%d requests in a minute", total)
				}
			})
		})
	}
}

// TestRequestsDoNotGrowWithCallers polls one pool as a hundred ScaledJobs and as
// one, under all its names.
func TestRequestsDoNotGrowWithCallers(t *testing.T) {
	count := func(callers int) (total int) {
		inBubble(t, func(t *testing.T, fake *organizationFake, cache *Cache) {
			fake.delay = 50 * time.Millisecond
			var wg sync.WaitGroup
			for i := range callers {
				ref := []PoolRef{{Name: "Linux"}, {Name: "linux"}, {ID: 7}}[i%3]
				wg.Go(func() {
					for range 12 {
						if _, err := cache.Snapshot(t.Context(), ref, time.Second); err != nil {
							t.Error(err)
						}
						time.Sleep(5 * time.Second)
					}
				})
			}
			wg.Wait()
			total = fake.sent() + fake.lookups()
		})
		return total
	}
	if one, hundred := count(1), count(100); one != hundred {
		t.Errorf("%d requests for one caller, %d for a hundred", one, hundred)
	}
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

// TestOldSnapshotServesAfterASecond covers an Azure DevOps that does not answer:
// nobody waits longer than a second while a good snapshot is there, the answer is
// taken when it comes, and nothing that looks new is returned before.
func TestOldSnapshotServesAfterASecond(t *testing.T) {
	inBubble(t, func(t *testing.T, fake *organizationFake, cache *Cache) {
		first := mustSnapshot(t, cache)
		fake.set(func(f *organizationFake) { f.delay, f.queued = 5*time.Second, 3 })
		time.Sleep(time.Second)
		start := time.Now()
		old := mustSnapshot(t, cache)
		if took := time.Since(start); took != time.Second || !errors.Is(old.Err, ErrUnavailable) || !old.RequestedAt.Equal(first.RequestedAt) {
			t.Errorf("after %v: %+v, want the old snapshot with a reason", took, old)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		for range 3 {
			again, err := cache.Snapshot(ctx, linux, time.Second)
			if err != nil || again != old || time.Since(start) != time.Second {
				t.Errorf("after %v: another snapshot, %v", time.Since(start), err)
			}
		}
		time.Sleep(4 * time.Second)
		synctest.Wait()
		if got := mustSnapshot(t, cache); got.Err != nil || len(got.Requests) != 3 {
			// Its answer came, and is 5 s old already: the next is on its way.
			if !got.RequestedAt.Equal(start) || len(got.Requests) != 3 {
				t.Errorf("after the answer: %+v", got)
			}
		}
	})
}

// TestDelayIsAboutThePast covers X-RateLimit-Delay on answers that hold what was
// requested: it slows down, but no snapshot grows too old to serve.
func TestDelayIsAboutThePast(t *testing.T) {
	inBubble(t, func(t *testing.T, fake *organizationFake, cache *Cache) {
		fake.set(func(f *organizationFake) {
			f.failWith = func() *http.Response {
				return reply(200, `{"count":1,"value":[{"id":7,"name":"Linux","requestId":1}]}`, "X-RateLimit-Delay", "300")
			}
		})
		for end := time.Now().Add(5 * time.Minute); time.Now().Before(end); {
			if got, err := cache.Snapshot(t.Context(), linux, time.Second); err != nil || len(got.Requests) != 1 {
				t.Fatalf("after %d requests: %v, %v", fake.sent(), got, err)
			}
			time.Sleep(500 * time.Millisecond)
		}
		if n := fake.sent(); n < 10 || n > 21 {
			t.Errorf("%d requests in five minutes, want one in 15 s", n)
		}
	})
}

// manyPools adds pools that exist and have not been asked for yet.
func (f *organizationFake) manyPools(n int) {
	for i := range n {
		f.more += fmt.Sprintf(`,{"id":%d,"name":"pool-%d"}`, 100+i, i)
	}
}

// pollAll asks for pools that nobody has asked for before, all at once.
func pollAll(ctx context.Context, t *testing.T, cache *Cache, pools int) {
	t.Helper()
	var wg sync.WaitGroup
	for i := range pools {
		wg.Go(func() {
			start := time.Now()
			_, err := cache.Snapshot(ctx, PoolRef{ID: 100 + i}, time.Second)
			if !errors.Is(err, ErrUnavailable) || time.Since(start) > 3*time.Second {
				t.Errorf("after %v: %v", time.Since(start), err)
			}
		})
	}
	wg.Wait()
}

// TestRequestsInFlightAreBounded polls many pools of an organization that hardly
// answers: those that never have, those of callers nobody knows, and those of
// ScaledJobs.
func TestRequestsInFlightAreBounded(t *testing.T) {
	for name, c := range map[string]struct {
		mark     func(context.Context) context.Context
		answered bool
		want     int
	}{
		"never answered": {want: maxFirst},
		"answered once":  {answered: true, want: maxOrdinary},
		"preferred":      {mark: Preferred, want: maxInFlight},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, fake *organizationFake, cache *Cache) {
				fake.manyPools(1000)
				mustSnapshot(t, cache)
				ctx := t.Context()
				if c.mark != nil {
					ctx = c.mark(ctx)
				}
				if c.answered {
					for i := range 1000 {
						_, _ = cache.Snapshot(ctx, PoolRef{ID: 100 + i}, time.Second)
					}
					time.Sleep(defaultStaleFor) // they do not serve any more
				}
				fake.set(func(f *organizationFake) { f.delay, f.mostInFlight = time.Hour, 0 })
				bounded, cancel := context.WithTimeout(ctx, 3*time.Second)
				defer cancel()
				pollAll(bounded, t, cache, 1000)
				if fake.most() != c.want {
					t.Errorf("%d requests in flight, want %d", fake.most(), c.want)
				}
				fake.set(func(f *organizationFake) { f.delay = 0 })
				time.Sleep(defaultTimeout)
				if _, err := cache.Snapshot(t.Context(), PoolRef{ID: 555}, time.Second); err != nil {
					t.Errorf("afterwards: %v", err)
				}
			})
		})
	}
}

// TestSlowPoolsHoldNoOther has pools that do not answer take all turns they can get.
func TestSlowPoolsHoldNoOther(t *testing.T) {
	for name, c := range map[string]struct {
		answered bool // once, before
		mark     func(context.Context) context.Context
	}{
		"never answered, beside one that has": {false, func(ctx context.Context) context.Context { return ctx }},
		"answered once, beside a preferred":   {true, Preferred},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, fake *organizationFake, cache *Cache) {
				fake.manyPools(100)
				mustSnapshot(t, cache)
				if c.answered {
					for i := range 100 {
						_, _ = cache.Snapshot(t.Context(), PoolRef{ID: 100 + i}, time.Second)
					}
					time.Sleep(defaultStaleFor)
				}
				fake.set(func(f *organizationFake) { f.stuck = "/pools/1" })
				ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
				defer cancel()
				for range 10 {
					pollAll(ctx, t, cache, 100)
					time.Sleep(time.Second)
					got, err := cache.Snapshot(c.mark(t.Context()), linux, time.Second)
					if err != nil || got.Err != nil {
						t.Fatalf("beside slow pools: %v, %v", got, err)
					}
				}
			})
		})
	}
}
