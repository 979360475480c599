package plan_test

import (
	"slices"
	"time"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/plan"
)

// A poll is one check of a ScaledJob by KEDA: what the planner was given and
// said.
type poll struct {
	group   int
	scaler  int
	key     plan.Key // of the group
	pool    poolView
	members []int         // groups of the scaler, in the order of the input
	ourView time.Duration // moment that the planner's view of the Jobs is from
	input   plan.Input
	plan    plan.Plan

	supplies map[string]bool  // UIDs of the Jobs that the plan counts on
	verdicts map[*request]int // groups that are to serve queued requests
}

// tick begins a poll, and the next one an interval later.
func (s *simulator) tick(g int) {
	s.after(s.groups[g].poll, func() { s.tick(g) })
	if !s.groups[g].isPolled(s.now) {
		return
	}
	s.groups[g].polled = s.now
	pool := &s.scalers[s.groups[g].scaler].pool
	if pool.snapshot != nil && s.now-pool.sent <= s.maxAge {
		s.answer(g, *pool)
		return
	}
	if s.now >= s.outage.min && s.now < s.outage.max {
		// The last snapshot serves while Azure DevOps fails; then KEDA gets an
		// error and creates nothing.
		if pool.snapshot != nil && s.now-pool.sent <= s.maxStale {
			s.answer(g, *pool)
		}
		return
	}
	sent := s.now
	s.after(s.between(s.latency)/2, func() {
		view := s.read(sent)
		s.after(s.between(s.latency)/2, func() {
			if pool.snapshot == nil || view.sent > pool.sent {
				*pool = view
			}
			s.answer(g, *pool)
		})
	})
}

// answer makes the plan and, some milliseconds later, lets KEDA act on it.
func (s *simulator) answer(g int, view poolView) {
	p := &poll{group: g, scaler: s.groups[g].scaler, key: s.groups[g].key(), pool: view, ourView: s.now - s.ourLag}
	p.members = s.members(p.scaler)
	p.input = plan.Input{
		Snapshot: view.snapshot, Groups: s.planGroups(p.members), Jobs: s.jobsAt(p.ourView, p.scaler), ParallelJobs: view.free,
	}
	scaler := &s.scalers[p.scaler]
	if scaler.matcher == nil || !slices.Equal(scaler.members, p.members) {
		scaler.members, scaler.matcher = p.members, plan.NewMatcher(p.input.Groups)
	}
	p.input.Matcher = scaler.matcher
	history := &scaler.history
	history.Observe(p.input.Snapshot, p.input.Matcher, p.input.Jobs)
	p.input.Held, p.input.Swaps = history.Held, history.Swaps()
	s.noticeHolders(p)
	p.plan = s.make(p.input)
	s.rememberVerdicts(p)
	s.checkPlan(p)
	s.after(s.between(s.answerToList), func() { s.scale(p) })
}

// scale is KEDA's executor: createJobs of v2.21 with the strategy "default" and
// one trigger, as in getMaxReplicaCount, IsScaledJobActive and RequestJobScale.
func (s *simulator) scale(p *poll) {
	g := &s.groups[p.group]
	metric := p.plan.Groups[g.key()].Metric
	running := s.kedaSees(p.group)
	maxReplicas := int64(g.max - g.min)
	scaleTo, maxScale := metric, min(metric, maxReplicas)

	var create int64
	warm := running < int64(g.min)
	if warm {
		scaleTo, create = int64(g.min)-running, int64(g.min)-running
	} else {
		create = max(0, maxScale-(running-int64(g.min)))
	}
	create = min(create, scaleTo)
	made := int(create)
	if made > 0 && s.now < s.horizon && s.chance(s.interrupts) {
		made = s.random.IntN(made)
	}
	s.trace("%v poll of %s: %+v, KEDA sees %d and makes %d of %d", s.now, g.name, p.plan.Groups[g.key()], running, made, create)
	if !warm {
		s.checkSurplus(p, made)
	} else {
		s.tally.warm += made
	}
	for range made {
		s.create(p.group)
	}
	if !warm && made == int(create) {
		s.checkShortage(p)
	}
}

// kedaSees is how many unfinished Jobs of the group KEDA's cache has.
func (s *simulator) kedaSees(g int) int64 {
	n := int64(0)
	for _, j := range s.jobs {
		if j.group == g && s.unfinishedForKEDA(j) {
			n++
		}
	}
	return n
}

func (s *simulator) unfinishedForKEDA(j *job) bool {
	then := s.now - s.kedaLag
	return j.created <= then && j.ended > then
}
