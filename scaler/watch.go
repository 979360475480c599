package scaler

import (
	"context"
	"maps"
	"sync"
	"time"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/plan"
)

// watchFor is how long a pool is looked at after KEDA asked about it last.
const watchFor = 30 * time.Second

// watcher looks at pools between KEDA's polls, as long as Jobs wait there. A
// request that starts and ends between two polls is in neither's snapshot: the
// Job that ran it would seem to wait still, and another request would wait for
// it in vain.
//
// Each look costs the pool's next snapshot for as long as every. So there is none
// just before KEDA asks, which shall get a new one: of a request that was
// cancelled since an older one, a Job would be made in vain.
type watcher struct {
	every time.Duration

	ctx     context.Context // ends with close
	cancel  context.CancelFunc
	running sync.WaitGroup

	mu    sync.Mutex
	until map[poolKey]time.Time // of the pools that are watched
	asks  map[poolKey]map[plan.Key]ask
}

// poolKey tells the pools of all organizations apart.
type poolKey struct {
	organization string
	pool         int
}

// ask is when KEDA asked for a ScaledJob last, and how long after the time
// before.
type ask struct {
	at    time.Time
	after time.Duration
}

func newWatcher(every time.Duration) *watcher {
	w := &watcher{every: every, until: map[poolKey]time.Time{}, asks: map[poolKey]map[plan.Key]ask{}}
	w.ctx, w.cancel = context.WithCancel(context.Background())
	return w
}

// asked takes in that KEDA asks for a ScaledJob now.
func (w *watcher) asked(key poolKey, scaledJob plan.Key) {
	w.mu.Lock()
	defer w.mu.Unlock()
	asks := w.asks[key]
	if asks == nil {
		asks = map[plan.Key]ask{}
		w.asks[key] = asks
	}
	now := time.Now()
	maps.DeleteFunc(asks, func(_ plan.Key, a ask) bool { return now.Sub(a.at) > watchFor })
	last, known := asks[scaledJob]
	asks[scaledJob] = ask{at: now}
	if known {
		asks[scaledJob] = ask{at: now, after: now.Sub(last.at)}
	}
}

// untilAsked is the time until KEDA is likely to ask about a pool next; ok is
// false if that is not soon.
func (w *watcher) untilAsked(key poolKey) (wait time.Duration, ok bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, a := range w.asks[key] {
		next := time.Until(a.at.Add(a.after))
		if next > 0 && next < w.every && (!ok || next < wait) {
			wait, ok = next, true
		}
	}
	return wait, ok
}

// look looks at a pool. It tells when that was, which may be a while ago if
// somebody else has looked, and whether there is more to see.
type look func(context.Context) (at time.Time, more bool)

// watch looks at a pool that was looked at just now again and again, until there
// is no more to see or nobody has called watch for a while.
func (w *watcher) watch(key poolKey, look look) {
	w.mu.Lock()
	defer w.mu.Unlock()
	_, watched := w.until[key]
	w.until[key] = time.Now().Add(watchFor)
	if watched || w.ctx.Err() != nil {
		return
	}
	w.running.Go(func() {
		for pause, more := w.every, true; more; {
			select {
			case <-time.After(pause):
				pause, more = w.step(key, look)
			case <-w.ctx.Done():
				return
			}
		}
	})
}

// step looks if it is the time for it, and gives the pause until the next.
func (w *watcher) step(key poolKey, look look) (pause time.Duration, more bool) {
	if !w.awaited(key) {
		return 0, false
	}
	if wait, ok := w.untilAsked(key); ok {
		return wait + w.every, true
	}
	at, more := look(w.ctx)
	if !more {
		w.forget(key)
	}
	// Not later, or what lasts for just so long could be missed.
	return time.Until(at.Add(w.every)), more
}

// awaited tells whether the pool is still to be watched.
func (w *watcher) awaited(key poolKey) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	until, ok := w.until[key]
	if ok && time.Now().Before(until) {
		return true
	}
	delete(w.until, key)
	delete(w.asks, key)
	return false
}

func (w *watcher) forget(key poolKey) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.until, key)
}

// close ends all watching and waits for its end.
func (w *watcher) close() {
	w.cancel()
	w.running.Wait()
}
