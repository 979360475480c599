package plan_test

import (
	"container/heap"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/plan"
)

// simulator runs a scenario in virtual time: an Azure DevOps pool
// (azuredevops_test.go), Jobs and their agents (jobs_test.go) and KEDA, which
// asks the planner (keda_test.go). It knows the truth, which the planner sees
// late and in part, and holds the planner to it (truth_test.go).
type simulator struct {
	scenario
	random *rand.Rand
	make   planner

	now    time.Duration
	events events
	count  int // of events, to keep those of one moment in order

	requests []*request
	queue    []*request // queued, the oldest first
	agents   []*agent   // online
	jobs     []*job
	scalers  []scaler

	tally      tally
	unused     int // Jobs that took nothing, at the end
	kept       int // those of them that are wanted so
	violations []string
	trace      func(format string, args ...any)
}

// scaler is one of those that serve the pool, with its own view of it and of the
// Jobs of its cluster.
type scaler struct {
	pool    poolView
	history plan.History
	members []int         // at its last poll
	matcher *plan.Matcher // for these
}

// planner is plan.Make, or one that is wrong.
type planner func(plan.Input) plan.Plan

// epoch is the time 0 of every scenario.
var epoch = time.Date(2026, 1, 5, 8, 0, 0, 0, time.UTC)

func at(t time.Duration) time.Time { return epoch.Add(t) }

// simulate runs a scenario to its end: until every request that can be served
// was, and for a while after.
func simulate(s scenario, p planner, trace func(string, ...any)) *simulator {
	sim := &simulator{scenario: s, random: rand.New(rand.NewPCG(s.seed, 1)), make: p, trace: trace}
	if trace == nil {
		sim.trace = func(string, ...any) {}
	}
	sim.scalers = make([]scaler, 1+slices.MaxFunc(s.groups, func(a, b group) int { return a.scaler - b.scaler }).scaler)
	sim.queueArrivals()
	sim.addForeignAgents()
	for g := range s.groups {
		sim.after(s.groups[g].phase, func() { sim.tick(g) })
	}
	if s.restart > 0 {
		sim.after(s.restart, sim.forget)
	}
	quiet := time.Duration(0)
	for len(sim.events) > 0 && len(sim.violations) == 0 {
		next := heap.Pop(&sim.events).(event)
		sim.now = next.at
		next.do()
		if sim.settled() {
			if sim.now-quiet > s.settle {
				break
			}
			continue
		}
		quiet = sim.now
		if sim.now > s.horizon+starvation {
			sim.violate("starved", "%d requests still wait %v after the last one came", sim.servable(), starvation)
		}
	}
	if len(sim.violations) == 0 {
		sim.checkEnd()
		sim.checkWait()
	}
	return sim
}

// starvation is when a scenario that has not come to its end never will.
const starvation = 20 * time.Minute

// settled reports whether nothing is left to do but to keep Jobs warm.
func (s *simulator) settled() bool {
	if s.now < s.horizon || s.now < s.outage.max || s.servable() > 0 {
		return false
	}
	for g := range s.groups {
		if s.now < s.groups[g].blocked.max || s.groups[g].away.min <= s.now && s.now < s.groups[g].away.max && s.groups[g].away.max != never {
			return false
		}
	}
	for _, j := range s.jobs {
		if j.unfinished() && (!j.online || j.reserved && !s.idle(j)) {
			return false
		}
	}
	return true
}

// idle reports whether the Job's agent is in the pool and has no request.
func (s *simulator) idle(j *job) bool {
	return slices.ContainsFunc(s.agents, func(a *agent) bool { return a.job == j && !a.busy })
}

// servable is how many unfinished requests there are that can be served.
func (s *simulator) servable() int {
	n := 0
	for _, r := range s.requests {
		if r.here && (r.job != nil || r.foreign != nil || s.servedByAny(r)) {
			n++
		}
	}
	return n
}

func (s *simulator) violate(property, format string, args ...any) {
	s.violations = append(s.violations, fmt.Sprintf("%s at %v: ", property, s.now)+fmt.Sprintf(format, args...))
}

// between draws a time, evenly.
func (s *simulator) between(r span) time.Duration { return r.draw(s.random) }

// chance draws true with this probability.
func (s *simulator) chance(p float64) bool { return s.random.Float64() < p }

// event is something that happens in a scenario.
type event struct {
	at  time.Duration
	seq int
	do  func()
}

func (s *simulator) after(d time.Duration, do func()) {
	s.count++
	heap.Push(&s.events, event{at: s.now + d, seq: s.count, do: do})
}

type events []event

func (e events) Len() int { return len(e) }

func (e events) Less(i, j int) bool {
	return e[i].at < e[j].at || e[i].at == e[j].at && e[i].seq < e[j].seq
}

func (e events) Swap(i, j int) { e[i], e[j] = e[j], e[i] }

func (e *events) Push(x any) { *e = append(*e, x.(event)) }

func (e *events) Pop() any {
	old := *e
	last := old[len(old)-1]
	*e = old[:len(old)-1]
	return last
}
