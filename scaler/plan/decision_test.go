package plan_test

import (
	"slices"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/plan"
)

// checkPlan holds a plan against its input: every queued request is counted for
// one group that can serve it, as many as can be are served, and no group gets
// more than it has room for.
//
// A group's waiting Jobs are for all requests that they can run, new ones only for
// its shard; so those have a separate number here.
func (s *simulator) checkPlan(p *poll) {
	var wants, left [][]int
	var waiting, all []int
	const asNew = 100
	for i, g := range p.members {
		group, gp := &p.input.Groups[i], p.plan.Groups[p.input.Groups[i].Key]
		for range gp.Waiting + gp.Ended {
			waiting = append(waiting, g)
		}
		room := max(0, group.MaxReplicas-gp.Unfinished)
		if gp.Missing > room {
			s.violate("maxReplicaCount", "%s lacks %d with room for %d", group.Key, gp.Missing, room)
		}
		for range room {
			if group.Blocked == "" {
				all = append(all, asNew+g)
			}
		}
	}
	all = append(all, waiting...)
	count, queued := make(map[plan.Outcome]int), make(map[plan.Key]int)
	for i, v := range p.plan.Requests {
		view := p.input.Snapshot.Requests[i]
		count[v.Outcome]++
		if v.Outcome == plan.ByWaitingJob || v.Outcome == plan.ByNewJob {
			queued[v.Group]++
			if !s.groups[s.groupIndex(v.Group)].skills.meet(skillsOf(view)) {
				s.violate("counted once", "request %d is counted for %s, which cannot serve it", v.RequestID, v.Group)
			}
		}
		if view.State != adoqueue.Queued {
			continue
		}
		r := s.requests[view.ID-1]
		able, share := s.here(p, s.able(r)), s.here(p, s.groupsOf(r))
		switch adopted := v.Outcome == plan.ByWaitingJob || v.Outcome == plan.ByNewJob; {
		case len(share) == 0 && !adopted:
			continue // for another scaler
		case len(share) == 0:
			share = able
		}
		for _, g := range share {
			able = append(able, asNew+g)
		}
		wants = append(wants, able)
		if v.Outcome != plan.ByOtherShard {
			left = append(left, able)
		}
	}
	for key, gp := range p.plan.Groups {
		if gp.Queued != queued[key] {
			s.violate("counted once", "%s has %d requests, its verdicts say %d", key, gp.Queued, queued[key])
		}
	}
	if got, want := count[plan.ByWaitingJob], largestMatching(wants, waiting); got != want {
		s.violate("counted once", "waiting Jobs serve %d requests, %d are possible", got, want)
	}
	want := largestMatching(left, all)
	if p.input.ParallelJobs != nil {
		want = min(want, max(count[plan.ByWaitingJob], *p.input.ParallelJobs))
	}
	if got := count[plan.ByWaitingJob] + count[plan.ByNewJob]; got != want {
		s.violate("counted once", "%d requests are served, %d are possible", got, want)
	}
}

// here are those of the groups that the poll's scaler plans for.
func (s *simulator) here(p *poll, groups []int) []int {
	return slices.DeleteFunc(groups, func(g int) bool { return !slices.Contains(p.members, g) })
}
