package engine

import (
	"hash/maphash"
	"slices"
	"sync"
	"time"

	"k8s.io/utils/lru"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/plan"
)

const (
	// pollingFor and pollingIntervals are how long a ScaledJob counts as one that
	// KEDA asks for after it has: the longer of the two.
	pollingFor       = time.Minute
	pollingIntervals = 3
	// pairWithin is how long after one half of an answer the other half may be
	// asked for; KEDA asks for both within milliseconds.
	pairWithin = time.Second
	// maxUnknownCallers bounds the callers out of view whose half answers are kept.
	maxUnknownCallers = 4096
)

// polls is what is remembered of KEDA's polls for one ScaledJob.
type polls struct {
	mu       sync.Mutex
	last     time.Time     // when KEDA asked last
	interval time.Duration // between the last two polls
	reported []string      // warnings
	blocked  bool          // it counted as one that KEDA does not ask for
	answer   Answer        // the last
	answered time.Time     // when that was
	err      error         // why the last poll got no answer
	pair     pair
}

// asked takes in that KEDA asks now, and reports whether that makes a difference
// to the plan.
func (p *polls) asked(now time.Time) (matters bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if since := now.Sub(p.last); since >= pairWithin/2 { // else it is the other half
		p.interval = 0
		if !p.last.IsZero() {
			p.interval = since
		}
		p.last = now
	}
	matters = p.blocked
	p.blocked = false
	return matters
}

// ended takes in how a poll has ended.
func (p *polls) ended(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.err = err
}

// block takes in that the plan counts the ScaledJob as one that KEDA does not ask
// for.
func (p *polls) block() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.blocked = true
}

// next is when KEDA will probably ask next, zero if that is unknown.
func (p *polls) next() time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.interval == 0 {
		return time.Time{}
	}
	return p.last.Add(p.interval)
}

// pollingUntil is until when a ScaledJob counts as one that KEDA asks for, if it
// does not ask again.
func (e *Engine) pollingUntil(m *member) time.Time {
	m.polls.mu.Lock()
	last := m.polls.last
	m.polls.mu.Unlock()
	for _, since := range []time.Time{m.since, e.started} {
		if since.After(last) {
			last = since
		}
	}
	return last.Add(max(pollingFor, pollingIntervals*m.scaledJob.PollingInterval))
}

// unreported returns those of the warnings that were not reported yet, and takes
// all of them as reported.
func (p *polls) unreported(warnings []string) []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	fresh := slices.DeleteFunc(slices.Clone(warnings), func(w string) bool { return slices.Contains(p.reported, w) })
	p.reported = warnings
	return fresh
}

// Half is one of the two requests of a poll.
type Half int

// The halves of a poll, and a request that is part of none.
const (
	Metric Half = iota
	Activity
	Whole
)

// pair keeps an answer of which one half was asked for, so that the other half
// does not disagree. The zero value is empty.
type pair struct {
	asked   uint64 // digest of the request
	answer  Answer
	at      time.Time
	awaited Half
	open    bool
}

// take returns the answer of which only the other half was asked for yet.
func (p *pair) take(half Half, asked uint64) (Answer, bool) {
	if !p.open || p.asked != asked || p.awaited != half || time.Since(p.at) > pairWithin {
		return Answer{}, false
	}
	p.open = false
	return p.answer, true
}

// put keeps a new answer, half of which was asked for.
func (p *pair) put(half Half, asked uint64, answer Answer) {
	*p = pair{asked: asked, answer: answer, at: time.Now(), awaited: Activity - half, open: true}
}

func (p *polls) take(half Half, asked uint64) (Answer, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.pair.take(half, asked)
}

func (p *polls) put(half Half, asked uint64, answer Answer) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.pair.put(half, asked, answer)
	p.answer, p.answered = answer, time.Now()
}

// unknownCallers keeps the half answers of callers that are not in view, of a bounded
// number of them and without what they sent.
type unknownCallers struct {
	mu    sync.Mutex
	pairs *lru.Cache
}

func newUnknownCallers() *unknownCallers { return &unknownCallers{pairs: lru.New(maxUnknownCallers)} }

func (s *unknownCallers) take(half Half, asked uint64) (Answer, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if known, ok := s.pairs.Get(asked); ok {
		return known.(*pair).take(half, asked)
	}
	return Answer{}, false
}

func (s *unknownCallers) put(half Half, asked uint64, answer Answer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := &pair{}
	p.put(half, asked, answer)
	s.pairs.Add(asked, p)
}

var seed = maphash.MakeSeed()

// digest distinguishes requests.
func digest(key plan.Key, metadata map[string]string) uint64 {
	sum := maphash.Comparable(seed, key)
	for entry, value := range metadata {
		sum += maphash.Comparable(seed, [2]string{entry, value})
	}
	return sum
}
