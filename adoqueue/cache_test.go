package adoqueue

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
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
	failWith     func() *http.Response // nil: succeed
	gone         bool                  // the list of requests answers 404, that of pools does not
	sentAt       []time.Time           // of requests for the list of requests
	lookups      int                   // requests for the list of pools
	inFlight     int
	mostInFlight int
}

func (f *organizationFake) Do(request *http.Request) (*http.Response, error) {
	f.mu.Lock()
	list := strings.HasSuffix(request.URL.Path, "/jobrequests")
	if list {
		f.sentAt = append(f.sentAt, time.Now())
	} else {
		f.lookups++
	}
	delay, fail := f.delay, f.failWith
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
		second, err := cache.Snapshot(t.Context(), PoolRef{ID: 7}, time.Second)
		if err != nil || second != first || fake.sent() != 1 || fake.lookups != 1 {
			t.Errorf("got another snapshot (%v) after %d requests and %d look-ups", err, fake.sent(), fake.lookups)
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

func TestLookUpsOfAGonePoolKeepThePace(t *testing.T) {
	inBubble(t, func(t *testing.T, fake *organizationFake, cache *Cache) {
		mustSnapshot(t, cache)
		fake.set(func(f *organizationFake) { f.gone = true })
		for range 1000 {
			time.Sleep(100 * time.Millisecond)
			_, _ = cache.Snapshot(t.Context(), linux, time.Second)
		}
		if fake.lookups < 4 || fake.lookups > 5 || fake.sent() > int(100*time.Second/maxBackoff)+6 {
			t.Errorf("%d look-ups and %d lists in 100 s", fake.lookups, fake.sent())
		}
	})
}

func TestPoolIsLookedUpAgainWhenGone(t *testing.T) {
	inBubble(t, func(t *testing.T, fake *organizationFake, cache *Cache) {
		mustSnapshot(t, cache)
		time.Sleep(missMaxAge)
		fake.set(func(f *organizationFake) { f.gone, f.id = true, 8 })
		if _, err := cache.Snapshot(t.Context(), linux, time.Second); !errors.Is(err, ErrPoolNotFound) {
			t.Errorf("got %v, want %v", err, ErrPoolNotFound)
		}
		fake.set(func(f *organizationFake) { f.gone = false })
		synctest.Wait()
		if got := mustSnapshot(t, cache); got.Pool.ID != 8 || fake.lookups != 2 {
			t.Errorf("got %v after %d look-ups, want the new pool after 2", got.Pool, fake.lookups)
		}
	})
}

func TestRenamedPoolIsNoticed(t *testing.T) {
	inBubble(t, func(t *testing.T, fake *organizationFake, cache *Cache) {
		mustSnapshot(t, cache)
		fake.set(func(f *organizationFake) { f.id = 8 }) // another pool has the name now
		for range 10 {
			time.Sleep(poolsMaxAge / 8)
			_, _ = cache.Snapshot(t.Context(), linux, time.Second)
			synctest.Wait()
		}
		if got := mustSnapshot(t, cache); got.Pool.ID != 8 || fake.lookups != 2 {
			t.Errorf("got %v after %d look-ups", got.Pool, fake.lookups)
		}
	})
}

// TestNamesThatDoNotExist makes up names and ids: they cost one request for the
// list of pools in 30 s and are not remembered, and a real pool is served all
// the while.
func TestNamesThatDoNotExist(t *testing.T) {
	inBubble(t, func(t *testing.T, fake *organizationFake, cache *Cache) {
		mustSnapshot(t, cache)
		for i := range 10_000 {
			ref := PoolRef{Name: fmt.Sprint("made-up-", i)}
			if i%2 == 0 {
				ref = PoolRef{ID: 100 + i}
			}
			if _, err := cache.Snapshot(t.Context(), ref, time.Second); !errors.Is(err, ErrPoolNotFound) {
				t.Fatalf("%v: got %v, want %v", ref, err, ErrPoolNotFound)
			}
			if i%100 == 0 {
				time.Sleep(time.Second)
				mustSnapshot(t, cache)
			}
		}
		if fake.lookups > 4 {
			t.Errorf("%d requests for the list of pools in 100 s", fake.lookups)
		}
		index, _ := cache.pools.list.current(time.Hour, time.Hour)
		if len(cache.lists) != 1 || len(index.byName)+len(index.byID) != 2 {
			t.Errorf("%d lists and %d pools are remembered", len(cache.lists), len(index.byID))
		}
	})
}

// TestNewPoolIsFound adds a pool after the list was read.
func TestNewPoolIsFound(t *testing.T) {
	inBubble(t, func(t *testing.T, fake *organizationFake, cache *Cache) {
		mustSnapshot(t, cache)
		fake.set(func(f *organizationFake) {
			f.more = `,{"id":9,"name":"Windows"},{"id":10,"name":"Azure Pipelines","isHosted":true}`
		})
		windows := PoolRef{Name: "windows"}
		if _, err := cache.Snapshot(t.Context(), windows, time.Second); !errors.Is(err, ErrPoolNotFound) {
			t.Errorf("read again at once: %v", err)
		}
		time.Sleep(missMaxAge)
		got, err := cache.Snapshot(t.Context(), windows, time.Second)
		if err != nil || got.Pool.ID != 9 {
			t.Errorf("got %v, %v", got, err)
		}
		if _, err := cache.Snapshot(t.Context(), PoolRef{ID: 10}, time.Second); !errors.Is(err, ErrPoolNotSelfHosted) {
			t.Errorf("got %v, want %v", err, ErrPoolNotSelfHosted)
		}
		// While the list cannot be read, nobody knows whether a pool exists.
		fake.set(func(f *organizationFake) { f.failWith = func() *http.Response { return reply(503, "") } })
		time.Sleep(missMaxAge)
		if _, err := cache.Snapshot(t.Context(), PoolRef{Name: "other"}, time.Second); !errors.Is(err, ErrUnavailable) {
			t.Errorf("got %v, want %v", err, ErrUnavailable)
		}
	})
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
			total = fake.sent() + fake.lookups
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

// TestSnapshotIsTheSameWhileNothingIsNew compares pointers, as the callers do.
func TestSnapshotIsTheSameWhileNothingIsNew(t *testing.T) {
	inBubble(t, func(t *testing.T, fake *organizationFake, cache *Cache) {
		mustSnapshot(t, cache)
		fake.set(func(f *organizationFake) { f.failWith = func() *http.Response { return reply(503, "") } })
		seen := map[*Snapshot]bool{}
		reasons := map[error]bool{}
		for range 200 { // 20 s
			time.Sleep(100 * time.Millisecond)
			got := mustSnapshot(t, cache)
			seen[got], reasons[got.Err] = true, true
		}
		// One is the snapshot itself, while it was young.
		if failures := fake.sent() - 1; len(seen) != failures+1 || len(reasons) != failures+1 || failures > 8 {
			t.Errorf("%d snapshots with %d reasons for %d failures", len(seen), len(reasons), failures)
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
		for range 600 { // five minutes
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

// TestRequestsInFlightAreBounded polls many pools of an organization that hardly
// answers.
func TestRequestsInFlightAreBounded(t *testing.T) {
	inBubble(t, func(t *testing.T, fake *organizationFake, cache *Cache) {
		for i := range 1000 {
			fake.more += fmt.Sprintf(`,{"id":%d,"name":"pool-%d"}`, 100+i, i)
		}
		mustSnapshot(t, cache)
		fake.set(func(f *organizationFake) { f.delay, f.mostInFlight = time.Hour, 0 })
		var wg sync.WaitGroup
		for i := range 1000 {
			wg.Go(func() {
				ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
				defer cancel()
				start := time.Now()
				_, err := cache.Snapshot(ctx, PoolRef{ID: 100 + i}, time.Second)
				if !errors.Is(err, ErrUnavailable) || time.Since(start) > 3*time.Second {
					t.Errorf("after %v: %v", time.Since(start), err)
				}
			})
		}
		wg.Wait()
		if fake.mostInFlight != maxInFlight {
			t.Errorf("%d requests in flight, want %d", fake.mostInFlight, maxInFlight)
		}
		fake.set(func(f *organizationFake) { f.delay = 0 })
		time.Sleep(defaultTimeout)
		if _, err := cache.Snapshot(t.Context(), PoolRef{ID: 555}, time.Second); err != nil {
			t.Errorf("afterwards: %v", err)
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

func TestRemovesWhatNobodyNeeds(t *testing.T) {
	inBubble(t, func(t *testing.T, fake *organizationFake, cache *Cache) {
		fake.more = `,{"id":9,"name":"Windows"}`
		mustSnapshot(t, cache)
		time.Sleep(idleFor + time.Second)
		if _, err := cache.Snapshot(t.Context(), PoolRef{Name: "Windows"}, time.Second); err != nil {
			t.Error(err)
		}
		if _, ok := cache.lists[7]; ok {
			t.Error("a snapshot is kept that nobody has needed in a long time")
		}
	})
}
