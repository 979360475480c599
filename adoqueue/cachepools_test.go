package adoqueue

import (
	"errors"
	"fmt"
	"net/http"
	"testing"
	"testing/synctest"
	"time"
)

func TestSnapshotByIDAndNameIsOne(t *testing.T) {
	inBubble(t, func(t *testing.T, fake *organizationFake, cache *Cache) {
		first := mustSnapshot(t, cache)
		second, err := cache.Snapshot(t.Context(), PoolRef{ID: 7}, time.Second)
		if err != nil || second != first || fake.sent() != 1 || fake.lookups() != 1 {
			t.Errorf("got another snapshot (%v) after %d requests and %d look-ups", err, fake.sent(), fake.lookups())
		}
	})
}

func TestLookUpsOfAGonePoolKeepThePace(t *testing.T) {
	inBubble(t, func(t *testing.T, fake *organizationFake, cache *Cache) {
		mustSnapshot(t, cache)
		fake.set(func(f *organizationFake) { f.gone = true })
		for end := time.Now().Add(100 * time.Second); time.Now().Before(end); {
			time.Sleep(100 * time.Millisecond)
			_, _ = cache.Snapshot(t.Context(), linux, time.Second)
		}
		if fake.lookups() < 4 || fake.lookups() > 5 || fake.sent() > int(100*time.Second/maxBackoff)+6 {
			t.Errorf("%d look-ups and %d lists in 100 s", fake.lookups(), fake.sent())
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
		if got := mustSnapshot(t, cache); got.Pool.ID != 8 || fake.lookups() != 2 {
			t.Errorf("got %v after %d look-ups, want the new pool after 2", got.Pool, fake.lookups())
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
		if got := mustSnapshot(t, cache); got.Pool.ID != 8 || fake.lookups() != 2 {
			t.Errorf("got %v after %d look-ups", got.Pool, fake.lookups())
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
		if fake.lookups() > 4 {
			t.Errorf("%d requests for the list of pools in 100 s", fake.lookups())
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
