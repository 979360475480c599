package engine

import (
	"fmt"
	"hash/maphash"
	"sync"
	"time"

	"go.uber.org/zap"
	"k8s.io/utils/lru"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/plan"
)

const (
	// fallbackAfter is how long a caller has to get another count than it asks for
	// until that is reported: a ScaledJob that was created just now comes into view
	// a moment later.
	fallbackAfter = 10 * time.Second
	// fallbackEnds is how long a caller has to be silent to count as a new one.
	fallbackEnds = 10 * time.Minute
)

// fallbacks remembers which callers get another count than they ask for, of a
// bounded number of them.
type fallbacks struct {
	mu      sync.Mutex
	callers *lru.Cache
}

type fallback struct {
	first, last time.Time
	reported    bool
}

func newFallbacks() *fallbacks { return &fallbacks{callers: lru.New(maxUnknownCallers)} }

// due reports whether a caller's fallback is to be reported now.
func (f *fallbacks) due(caller uint64, now time.Time) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	known, _ := f.callers.Get(caller)
	c, ok := known.(*fallback)
	if !ok || now.Sub(c.last) > fallbackEnds {
		c = &fallback{first: now}
		f.callers.Add(caller, c)
	}
	c.last = now
	if c.reported || now.Sub(c.first) < fallbackAfter {
		return false
	}
	c.reported = true
	return true
}

// noticeFallback reports a caller that gets another count than it asks for, once.
func (e *Engine) noticeFallback(key plan.Key, a Answer) {
	if a.Used == a.Asked || !e.fallbacks.due(maphash.Comparable(seed, key), time.Now()) {
		return
	}
	reason := "the scaler has no view of Kubernetes (KUBE)"
	if e.options.Cluster != nil {
		reason = "the caller is not in view; check KUBE_NAMESPACES, and for a ScaledObject " +
			"let the scaler list and watch scaledobjects, or set count unfinished"
	}
	message := fmt.Sprintf("count %s falls back to %s: %s", a.Asked, a.Used, reason)
	e.options.Logger.Warn("a trigger gets another count than it asks for", zap.String("namespace", key.Namespace),
		zap.String("name", key.Name), zap.String("reason", message))
	if e.options.Cluster != nil {
		e.options.Cluster.Warn(key.Namespace, key.Name, "CountFallback", message)
	}
}
