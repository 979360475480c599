package explain

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue/safetext"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/engine"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/plan"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/trigger"
)

// maxCallers bounds those who are remembered of each pool; the oldest make room.
const maxCallers = 50

// countedPool is what is remembered of a pool of which metrics were counted from its
// requests alone.
type countedPool struct {
	snapshot *adoqueue.Snapshot // the newest
	callers  map[plan.Key]engine.Counted
}

// counted takes in an answer that has no part in a decision.
func (h *history) counted(c engine.Counted) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.sweepCounted(c.At)
	key := poolKey{c.Organization, c.Snapshot.Pool.ID}
	p := h.countedPools[key]
	if p == nil {
		p = &countedPool{callers: map[plan.Key]engine.Counted{}}
		if h.countedPools == nil {
			h.countedPools = map[poolKey]*countedPool{}
		}
		h.countedPools[key] = p
	}
	p.snapshot, c.Snapshot = c.Snapshot, nil
	if _, known := p.callers[c.Key]; !known && len(p.callers) >= maxCallers {
		delete(p.callers, slices.MinFunc(slices.Collect(maps.Values(p.callers)), byAge).Key)
	}
	p.callers[c.Key] = c
}

// sweepCounted drops what is too old, once in a while: answers are many.
func (h *history) sweepCounted(now time.Time) {
	if now.Sub(h.countedSwept) < shownFor {
		return
	}
	h.countedSwept = now
	for key, p := range h.countedPools {
		p.forget(now)
		switch {
		case len(p.callers) == 0:
			delete(h.countedPools, key)
		case now.Sub(slices.MaxFunc(slices.Collect(maps.Values(p.callers)), byAge).At) > shownFor:
			p.snapshot = &adoqueue.Snapshot{Pool: p.snapshot.Pool} // its requests are not shown any more
		}
	}
}

func byAge(a, b engine.Counted) int { return cmp.Or(a.At.Compare(b.At), compareKeys(a.Key, b.Key)) }

func compareKeys(a, b plan.Key) int {
	return cmp.Or(strings.Compare(a.Namespace, b.Namespace), strings.Compare(a.Name, b.Name))
}

// forget drops callers that have not asked for long.
func (p *countedPool) forget(now time.Time) {
	maps.DeleteFunc(p.callers, func(_ plan.Key, c engine.Counted) bool { return now.Sub(c.At) > keepFor })
}

// countedCopy is what is remembered of such a pool at one moment.
type countedCopy struct {
	key      poolKey
	snapshot *adoqueue.Snapshot
	callers  []engine.Counted // in the order of their names
	asked    time.Time        // when the last one did
}

// countedOf returns what is remembered, in the order of the pools.
func (h *history) countedOf(f *Filter, now time.Time) []countedCopy {
	h.mu.Lock()
	defer h.mu.Unlock()
	var copies []countedCopy
	for _, key := range slices.SortedFunc(maps.Keys(h.countedPools), poolKey.compare) {
		p := h.countedPools[key]
		p.forget(now)
		if len(p.callers) == 0 || !f.hasPool(key.id, p.snapshot.Pool.Name) {
			continue
		}
		c := countedCopy{key: key, snapshot: p.snapshot}
		c.callers = slices.SortedFunc(maps.Values(p.callers), func(a, b engine.Counted) int { return compareKeys(a.Key, b.Key) })
		c.asked = slices.MaxFunc(c.callers, byAge).At
		copies = append(copies, c)
	}
	return copies
}

// addCounted adds the pools that no decision is made about, and who asked about these
// and the others.
func (b *builder) addCounted(all []*poolBuilder, counted []countedCopy) []*poolBuilder {
	for i := range counted {
		c := &counted[i]
		at := slices.IndexFunc(all, func(p *poolBuilder) bool {
			return p.organization == c.key.organization && (p.pool.ID == c.key.id || p.pool.ID == 0 && strings.EqualFold(p.pool.Name, c.snapshot.Pool.Name))
		})
		if at < 0 {
			all, at = append(all, &poolBuilder{organization: c.key.organization}), len(all)
		}
		all[at].pool, all[at].counted = c.snapshot.Pool, c
	}
	return all
}

// onlyCounted reports whether no decision about the pool is as new as what was counted.
func (p *poolBuilder) onlyCounted() bool {
	return p.counted != nil && (p.history.last == nil || p.counted.asked.Sub(p.history.last.MadeAt) > shownFor)
}

// addCallers says who got a metric that was counted from requests alone, and why.
func (b *builder) addCallers(p *poolBuilder, made *Pool) {
	if p.counted == nil {
		return
	}
	for i := range p.counted.callers {
		c := &p.counted.callers[i]
		if !b.filter.hasScaledJob(c.Key) {
			continue
		}
		caller := Caller{Namespace: safetext.Line(c.Key.Namespace), Name: safetext.Line(c.Key.Name), Count: c.Answer.Used, Value: c.Answer.Value, PolledAt: c.At}
		if c.Answer.Asked != c.Answer.Used {
			caller.Asked = c.Answer.Asked
		}
		made.Counted = append(made.Counted, caller)
	}
	if len(made.Counted) > 0 {
		made.Inexact = b.inexact(p)
	}
}

// inexact says why counts of a pool are not exact.
func (b *builder) inexact(p *poolBuilder) *Inexact {
	callers := p.counted.callers
	strangers := func(c engine.Counted) bool { return c.Answer.Asked == trigger.Exact.Name }
	objects := func(c engine.Counted) bool { return c.Object }
	pool := fmt.Sprintf("pool %q", p.pool.Name)
	switch {
	case b.cluster == nil:
		return &Inexact{
			Sentence: "the scaler does not watch Kubernetes, so the metrics for " + pool + " count requests alone: nothing is known of Jobs, pods and agents",
			Fix:      "set KUBE=on, and grant the rights to list and watch ScaledJobs, Jobs and pods",
		}
	case slices.ContainsFunc(callers, strangers):
		stranger := callers[slices.IndexFunc(callers, strangers)]
		return &Inexact{
			Sentence: fmt.Sprintf("%s asks about %s and is not in view, so its metric counts requests alone", safetext.Line(stranger.Key.String()), pool),
			Fix:      "add its namespace to KUBE_NAMESPACES, or correct the name in the call",
		}
	case !slices.ContainsFunc(callers, func(c engine.Counted) bool { return !c.Object }):
		return &Inexact{
			Sentence: "ScaledObjects ask about " + pool + ": their agents run job after job, so there are no Jobs to join requests with",
			Fix:      "nothing; a ScaledJob with count exact has each job explained",
		}
	default:
		used := map[string]bool{}
		for i := range callers {
			if !objects(callers[i]) {
				used[callers[i].Answer.Used] = true
			}
		}
		return &Inexact{
			Sentence: fmt.Sprintf("triggers of %s ask for count %s, which counts requests alone: nothing is known of who serves which job",
				pool, strings.Join(slices.Sorted(maps.Keys(used)), ", ")),
			Fix: "leave count out of the triggers, which means exact",
		}
	}
}

// uncounted is what keeps all requests of a pool from being counted for anybody.
func (p *poolBuilder) uncounted(now time.Time) *Broken {
	if !p.onlyCounted() || len(p.members) > 0 || now.Sub(p.counted.asked) <= shownFor {
		return nil
	}
	return &Broken{
		Step: StepReported, Code: CodeNotPolled, Since: p.counted.asked,
		Sentence: fmt.Sprintf("KEDA has not asked about pool %q since %s", p.pool.Name, clock(p.counted.asked)),
		Fix:      fixOfAsking,
	}
}

// countedRequests returns the requests of a pool that no decision is made about, and
// adds its stages.
func (b *builder) countedRequests(p *poolBuilder, stages map[Step]*Stage) []foundRequest {
	if b.now.Sub(p.counted.asked) > shownFor {
		return nil // what became of them is unknown
	}
	var requests []foundRequest
	for i := range p.counted.snapshot.Requests {
		request := p.counted.snapshot.Requests[i]
		key := b.countedFor(p, request)
		if b.filter.hasRequest(request, key) {
			r := b.countedRequest(p, request, key)
			count(stages, &r)
			requests = append(requests, foundRequest{r, request})
		}
	}
	return requests
}

// countedFor returns a caller whose metric has the request in it, zero if there is none.
func (b *builder) countedFor(p *poolBuilder, r *adoqueue.JobRequest) plan.Key {
	for i := range p.counted.callers {
		if c := &p.counted.callers[i]; b.filter.hasScaledJob(c.Key) && c.Trigger.Requests.Counts(r) {
			return c.Key
		}
	}
	return plan.Key{}
}

func (b *builder) countedRequest(p *poolBuilder, r *adoqueue.JobRequest, key plan.Key) Request {
	made := Request{Outcome: "not known", Progress: Served, Agent: r.Agent}
	at := chainTimes{StepQueued: r.QueueTime}
	if r.State >= adoqueue.Assigned {
		at[StepAssigned] = later(r.AssignTime, r.QueueTime)
	}
	if r.State >= adoqueue.Running {
		at[StepRunning] = r.ReceiveTime
	}
	if key != (plan.Key{}) {
		made.ScaledJob = safetext.Line(key.String())
	}
	if r.State == adoqueue.Queued {
		made.Progress = Coming
		made.Broken = p.view.broken(b.now)
		if made.Broken == nil && key == (plan.Key{}) {
			made.Broken = p.uncountedRequest(r)
		}
		if made.Broken != nil {
			made.Progress = Stopped
		}
	}
	made.Chain = at.chain(made.Broken)
	if made.Broken == nil {
		skipUnseen(made.Chain)
	}
	return made
}

// uncountedRequest explains a request that no metric counts.
func (p *poolBuilder) uncountedRequest(r *adoqueue.JobRequest) *Broken {
	return &Broken{
		Step: StepCounted, Code: CodeNoScaledJob, Since: r.QueueTime,
		Sentence: fmt.Sprintf("no trigger of pool %q counts a job with %s", p.pool.Name, demandsIn(p.shownDemands(r))),
		Fix:      "add what its agents have to the capabilities of a trigger, or remove the demand from the pipeline",
	}
}

// skipUnseen marks the steps between queued and assigned, which nobody sees without Jobs.
func skipUnseen(chain []Link) {
	for i := 1; i < len(chain) && chain[i].Step != StepRunning; i++ {
		switch {
		case chain[i].Step != StepAssigned:
			chain[i].Status = Skipped
		case chain[i].Status == Pending:
			chain[i].Status = Next
		}
	}
}
