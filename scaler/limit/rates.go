package limit

import (
	"sync"
	"time"

	"golang.org/x/time/rate"
	"k8s.io/utils/lru"
)

// maxPeers is of how many peers rates are kept: the latest ones.
const maxPeers = 1024

// Rates bounds how much of something each peer may do per second.
type Rates struct {
	limit rate.Limit
	burst int

	mu sync.Mutex
	of *lru.Cache // *rate.Limiter by peer
}

// NewRates lets each peer do perSecond in the long run, and burst at once.
func NewRates(perSecond, burst int) *Rates {
	return &Rates{limit: rate.Limit(perSecond), burst: burst, of: lru.New(maxPeers)}
}

// Allow reports whether the peer may do one more now.
func (r *Rates) Allow(peer string) bool { return r.limiter(peer).Allow() }

// Delay returns how long the peer has to wait before it may do n, which then counts
// as done.
func (r *Rates) Delay(peer string, n int) (delay time.Duration) {
	limiter := r.limiter(peer)
	for n > 0 { // no more than the burst can be reserved at once
		delay = limiter.ReserveN(time.Now(), min(n, r.burst)).Delay()
		n -= r.burst
	}
	return delay
}

func (r *Rates) limiter(peer string) *rate.Limiter {
	r.mu.Lock()
	defer r.mu.Unlock()
	if known, ok := r.of.Get(peer); ok {
		return known.(*rate.Limiter)
	}
	fresh := rate.NewLimiter(r.limit, r.burst)
	r.of.Add(peer, fresh)
	return fresh
}
