package scaler

import (
	"context"
	"sync"
	"time"
)

// watchFor is how long a pool is looked at after KEDA asked about it last.
const watchFor = 30 * time.Second

// watcher looks at pools between KEDA's polls, as long as Jobs wait there. A
// request that starts and ends between two polls is in neither's snapshot: the
// Job that ran it would seem to wait still, and another request would wait for
// it in vain.
type watcher struct {
	every time.Duration

	ctx     context.Context // ends with close
	cancel  context.CancelFunc
	running sync.WaitGroup

	mu    sync.Mutex
	until map[poolKey]time.Time // of the pools that are watched
}

// poolKey tells the pools of all organizations apart.
type poolKey struct {
	organization string
	pool         int
}

func newWatcher(every time.Duration) *watcher {
	w := &watcher{every: every, until: map[poolKey]time.Time{}}
	w.ctx, w.cancel = context.WithCancel(context.Background())
	return w
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
		next := time.NewTimer(w.every)
		defer next.Stop()
		for {
			select {
			case <-next.C:
			case <-w.ctx.Done():
				return
			}
			if !w.awaited(key) {
				return
			}
			at, more := look(w.ctx)
			if !more {
				w.forget(key)
				return
			}
			// Not later, or what lasts for just so long could be missed.
			next.Reset(time.Until(at.Add(w.every)))
		}
	})
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
