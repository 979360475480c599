package explain

import (
	"strings"
	"sync"
	"time"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/engine"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/plan"
)

const (
	// keepFor is how long a finished request is remembered.
	keepFor = time.Hour
	// maxRecords bounds the requests that are remembered, of all pools together.
	// Finished ones make room for others, the oldest first.
	maxRecords = 10_000
)

// poolKey names a pool.
type poolKey struct {
	organization adoqueue.OrganizationURL
	id           int
}

// history is what is remembered of the decisions. The zero value is empty.
type history struct {
	metrics *Metrics // nil if nothing is measured

	mu    sync.Mutex
	pools map[poolKey]*poolHistory
	// finished are the finished requests, in the order in which they did.
	finished []finished
	records  int
	// awaiting are the pools in which records wait for KEDA to ask about a ScaledJob.
	awaiting map[plan.Key]*poolHistory
	// countedPools are those of which metrics were counted from requests alone.
	countedPools map[poolKey]*countedPool
	countedSwept time.Time
}

// finished names a finished request.
type finished struct {
	pool *poolHistory
	id   int64
	at   moment
}

// poolHistory is what is remembered of one pool.
type poolHistory struct {
	last  *engine.Decision
	round uint64 // of the last decision
	// unfinished and finished are requests by id.
	unfinished, finished map[int64]*record
	// awaiting are the records whose ScaledJob KEDA has not asked about since they
	// were counted for it.
	awaiting map[plan.Key][]*record
	log      log
	// omitted is how many requests of the last snapshot there was no room for.
	omitted int
	// idle is how many agents of each ScaledJob waited at the last decision, and unused
	// are Jobs, by UID, that never took a job.
	idle   map[plan.Key]int
	unused map[string]bool
}

// decided takes in a decision.
func (h *history) decided(d *engine.Decision) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.forget(d.MadeAt)
	p := h.pool(poolKey{d.Organization, d.Snapshot.Pool.ID})
	p.round++
	p.omitted = 0
	p.takeIn(h, d)
	if len(p.unfinished)+p.omitted > len(d.Snapshot.Requests) {
		p.endThoseGone(h, d)
	}
	p.followJobs(d)
	h.metrics.measure(p, d)
	p.log.add(d, p.last)
	p.last = d
}

func (h *history) pool(key poolKey) *poolHistory {
	p := h.pools[key]
	if p == nil {
		p = &poolHistory{
			unfinished: map[int64]*record{}, finished: map[int64]*record{}, awaiting: map[plan.Key][]*record{},
		}
		if h.pools == nil {
			h.pools, h.awaiting = map[poolKey]*poolHistory{}, map[plan.Key]*poolHistory{}
		}
		h.pools[key] = p
	}
	return p
}

// forget drops what is too old, and the pools that nobody follows any more.
func (h *history) forget(now time.Time) {
	for len(h.finished) > 0 && now.Sub(h.finished[0].at.time()) > keepFor {
		h.dropOldest()
	}
	for key, p := range h.pools {
		if now.Sub(p.last.MadeAt) > keepFor {
			h.records -= len(p.unfinished) + len(p.finished)
			clear(p.finished) // some wait to be dropped
			delete(h.pools, key)
		}
	}
}

func (h *history) dropOldest() {
	oldest := h.finished[0]
	h.finished = h.finished[1:] // appending moves the rest
	r := oldest.pool.finished[oldest.id]
	if r != nil && r.ended.at == oldest.at { // else it came back
		delete(oldest.pool.finished, oldest.id)
		h.records--
	}
}

// room makes room for one more record, and reports whether there is.
func (h *history) room() bool {
	for h.records >= maxRecords && len(h.finished) > 0 {
		h.dropOldest()
	}
	if h.records >= maxRecords {
		return false
	}
	h.records++
	return true
}

// takeIn follows the requests of a decision's snapshot.
func (p *poolHistory) takeIn(h *history, d *engine.Decision) {
	for key := range p.awaiting {
		if h.awaiting[key] == p {
			delete(h.awaiting, key)
		}
	}
	clear(p.awaiting)
	holders := map[string]int64{} // requests by UID of their Jobs
	for i := range d.Plan.Requests {
		if v := &d.Plan.Requests[i]; v.Outcome == plan.ByBusyJob {
			uid, _, _ := strings.Cut(v.Job, "/") // its pod's name may follow
			holders[uid] = v.RequestID
		}
	}
	for i := range d.Snapshot.Requests {
		v := &d.Plan.Requests[i]
		r := p.record(h, v.RequestID)
		if r == nil {
			p.omitted++
			continue
		}
		r.index, r.round = i, p.round
		if holder := holders[r.job.uid]; holder != 0 && holder != r.id && r.job.uid != "" {
			r.taken, r.takenAt = holder, momentOf(d.MadeAt)
		}
		r.follow(v, d.MadeAt)
		if v.Outcome == plan.ByNewJob && r.reported == 0 {
			p.awaiting[v.Group] = append(p.awaiting[v.Group], r)
			h.awaiting[v.Group] = p
		}
	}
}

// record returns that of an unfinished request, nil if there is no room.
func (p *poolHistory) record(h *history, id int64) *record {
	if r := p.unfinished[id]; r != nil {
		return r
	}
	r := p.finished[id]
	switch {
	case r != nil: // an answer has left it out
		delete(p.finished, id)
		r.ended = nil
	case !h.room():
		return nil
	default:
		r = &record{id: id}
	}
	p.unfinished[id] = r
	return r
}

// endThoseGone finds the requests that the snapshot does not have any more.
func (p *poolHistory) endThoseGone(h *history, d *engine.Decision) {
	for id, r := range p.unfinished {
		if r.round == p.round {
			continue
		}
		delete(p.unfinished, id)
		if r.index >= len(p.last.Snapshot.Requests) || p.last.Snapshot.Requests[r.index].ID != id {
			h.records--
			continue
		}
		at := d.Snapshot.RequestedAt
		r.finish(p.last.Snapshot.Requests[r.index], p.last.Plan.Requests[r.index].Outcome, at)
		p.finished[id] = r
		h.finished = append(h.finished, finished{p, id, momentOf(at)})
	}
}

// followJobs takes in how far the Jobs of the requests have come.
func (p *poolHistory) followJobs(d *engine.Decision) {
	byJob := make(map[string]*record, len(p.unfinished))
	unregistered := map[string]*record{} // by name of the agent
	for _, r := range p.unfinished {
		if r.job.uid != "" {
			byJob[r.job.uid] = r
		}
	}
	for _, jobs := range d.Jobs {
		for i := range jobs {
			r := byJob[jobs[i].UID]
			if r == nil {
				continue
			}
			r.followJob(&jobs[i])
			if r.job.started != 0 && r.registered == 0 && d.Snapshot.Requests[r.index].State == adoqueue.Queued {
				unregistered[r.job.pod] = r
			}
		}
	}
	findRegistered(d.Snapshot, unregistered)
}

// findRegistered finds agents among those that Azure DevOps has matched with
// requests, which have to be registered.
func findRegistered(s *adoqueue.Snapshot, unregistered map[string]*record) {
	seen := map[*string]bool{} // requests share their lists
	for i := range s.Requests {
		agents := s.Requests[i].MatchedAgents
		if len(unregistered) == 0 || len(agents) == 0 || seen[&agents[0]] {
			continue
		}
		seen[&agents[0]] = true
		for _, agent := range agents {
			if r := unregistered[agent]; r != nil {
				r.registered = momentOf(s.RequestedAt)
				delete(unregistered, agent)
			}
		}
	}
}

// answered takes in that KEDA got the metric of a ScaledJob.
func (h *history) answered(key plan.Key, at time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	p := h.awaiting[key]
	if p == nil {
		return
	}
	for _, r := range p.awaiting[key] {
		r.reported = momentOf(at)
	}
	delete(p.awaiting, key)
	delete(h.awaiting, key)
}
