package engine

import (
	"context"
	"sync"
	"time"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue"
)

// refreshFor is how long a pool is refreshed after KEDA asked about it last.
const refreshFor = 30 * time.Second

// refresher reads pools between KEDA's polls, as long as Jobs wait there. A
// request that starts and ends between two polls is in neither's snapshot: the
// Job that ran it would seem to wait still, and another request would wait for
// that Job forever.
//
// A refresh delays the pool's next snapshot by the interval, so it is skipped just
// before an expected poll: of a request that was cancelled since an older
// snapshot, a surplus Job would be created.
type refresher struct {
	interval time.Duration

	ctx     context.Context // ends with close
	cancel  context.CancelFunc
	running sync.WaitGroup

	mu    sync.Mutex
	until map[*pool]time.Time // of the pools that are refreshed
}

func newRefresher(interval time.Duration) *refresher {
	r := &refresher{interval: interval, until: map[*pool]time.Time{}}
	r.ctx, r.cancel = context.WithCancel(context.Background())
	return r
}

// source is how a refresher reads a pool.
type source struct {
	// read returns when the pool was read, which may be a while ago if somebody
	// else has, and reports whether there is more to see.
	read func(context.Context) (at time.Time, more bool)
	// nextPoll returns when KEDA is expected to ask about the pool next, among
	// the polls that are expected after now; zero if that is unknown.
	nextPoll func(now time.Time) time.Time
}

// refresh returns how a pool is read between two polls.
func (e *Engine) refresh(p *pool, ref adoqueue.PoolRef) source {
	return source{
		read: func(ctx context.Context) (at time.Time, more bool) {
			ctx, cancel := context.WithTimeout(ctx, e.options.Timeout)
			defer cancel()
			snapshot, err := p.organization.queue.Snapshot(ctx, ref, e.options.MaxAge)
			if err != nil || snapshot.Err != nil {
				return time.Now(), true // reported when KEDA asks
			}
			d, err := e.decide(ctx, p, snapshot)
			return snapshot.RequestedAt, err != nil || d.Busy
		},
		nextPoll: func(now time.Time) (next time.Time) {
			p.deciding.Lock()
			members := p.members
			p.deciding.Unlock()
			for _, m := range members {
				if at := m.polls.next(); at.After(now) && (next.IsZero() || at.Before(next)) {
					next = at
				}
			}
			return next
		},
	}
}

// watch refreshes a pool that was read just now again and again, until there is
// no more to see or nobody has called watch for a while.
func (r *refresher) watch(p *pool, from source) {
	r.mu.Lock()
	defer r.mu.Unlock()
	_, watched := r.until[p]
	r.until[p] = time.Now().Add(refreshFor)
	if watched || r.ctx.Err() != nil {
		return
	}
	r.running.Go(func() {
		for pause, more := r.interval, true; more; {
			select {
			case <-time.After(pause):
				pause, more = r.step(p, from)
			case <-r.ctx.Done():
				return
			}
		}
	})
}

// step refreshes the pool if it is the time for it, and returns the pause until
// the next step.
func (r *refresher) step(p *pool, from source) (pause time.Duration, more bool) {
	if !r.awaited(p) {
		return 0, false
	}
	now := time.Now()
	if next := from.nextPoll(now); !next.IsZero() && next.Sub(now) < r.interval {
		return next.Sub(now) + r.interval, true
	}
	at, more := from.read(r.ctx)
	if !more {
		r.forget(p)
	}
	// Not later, or what lasts for just so long could be missed; and never at once,
	// should a snapshot be old although nothing failed.
	return max(time.Until(at.Add(r.interval)), r.interval/10), more
}

// awaited reports whether the pool is still to be refreshed.
func (r *refresher) awaited(p *pool) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	until, ok := r.until[p]
	if ok && time.Now().Before(until) {
		return true
	}
	delete(r.until, p)
	return false
}

func (r *refresher) forget(p *pool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.until, p)
}

// close ends all refreshing and waits for its end.
func (r *refresher) close() {
	r.cancel()
	r.running.Wait()
}
