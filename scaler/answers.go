package scaler

import (
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/proto/externalscaler"
)

const (
	// pairWithin is how long after one half of an answer the other half may be
	// asked for; in KEDA they are milliseconds apart.
	pairWithin = time.Second
	// rememberFor is how long an answer is shown in the metrics.
	rememberFor = 10 * time.Minute
)

// question is which half of an answer is asked for.
type question int

const (
	askedForMetrics question = iota
	askedForActive
)

// answer is what KEDA is told about a trigger.
type answer struct {
	value  int64
	active bool

	namespace, name, pool string
}

// answers remembers the last answer for each trigger, so that GetMetrics and
// IsActive of one poll give two halves of one answer.
type answers struct {
	metrics *Metrics

	mu    sync.Mutex
	begun map[string]begun
	swept time.Time
}

type begun struct {
	answer
	at time.Time
	// awaited is the half that has not been asked for, or none.
	awaited question
	whole   bool
}

func newAnswers(metrics *Metrics) *answers {
	return &answers{metrics: metrics, begun: map[string]begun{}}
}

// otherHalf gives the answer of which only the other half was asked for yet.
func (a *answers) otherHalf(key string, asked question) (answer, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	b, ok := a.begun[key]
	if !ok || b.whole || b.awaited != asked || time.Since(b.at) > pairWithin {
		return answer{}, false
	}
	b.whole = true
	a.begun[key] = b
	return b.answer, true
}

// begin remembers a new answer, half of which was asked for.
func (a *answers) begin(key string, asked question, fresh answer) {
	a.mu.Lock()
	defer a.mu.Unlock()
	awaited := askedForActive
	if asked == askedForActive {
		awaited = askedForMetrics
	}
	a.begun[key] = begun{answer: fresh, at: time.Now(), awaited: awaited}
	a.metrics.show(fresh)
	a.sweep()
}

func (a *answers) sweep() {
	now := time.Now()
	if now.Sub(a.swept) < rememberFor {
		return
	}
	a.swept = now
	maps.DeleteFunc(a.begun, func(_ string, b begun) bool {
		old := now.Sub(b.at) > rememberFor
		if old {
			a.metrics.forget(b.answer)
		}
		return old
	})
}

// keyOf tells triggers apart: KEDA sends no index, but the whole metadata.
func keyOf(ref *externalscaler.ScaledObjectRef) string {
	metadata := ref.GetScalerMetadata()
	parts := []string{ref.GetNamespace(), ref.GetName()}
	for _, key := range slices.Sorted(maps.Keys(metadata)) {
		parts = append(parts, key, metadata[key])
	}
	return strings.Join(parts, "\x00")
}
