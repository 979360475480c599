package plan_test

import (
	"slices"
	"time"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/plan"
)

// tally counts what becomes of Jobs and requests.
type tally struct {
	taken       perGroup // Jobs that have held a request
	lost        perGroup // queued requests that went without an agent of ours, by the groups that could have served them
	surplus     perGroup // Jobs that nothing needed any more when KEDA made them
	again       perGroup // requests taken by a Job whose first one was cancelled before it could begin
	elsewhere   int      // requests that Azure DevOps assigned to another group than the last plan, if one saw them
	crossed     int      // requests that Azure DevOps assigned to another scaler than the one that is to serve them
	unseen      int      // those of them that a scaler did not see with an agent, or has forgotten
	overdue     int      // requests that waited for so long that a scaler stopped waiting for the Job of another
	fromIdle    int      // those of them that went to a group that keeps idle Jobs
	warm        int      // Jobs that KEDA made for minReplicaCount
	longestWait time.Duration
	shortages   int // Jobs that a poll left out, with a good reason
}

// perGroup is a count by group, and over all groups.
type perGroup struct {
	all   int
	group [8]int
}

func (c *perGroup) add(groups []int) {
	c.all++
	for _, g := range groups {
		c.group[g]++
	}
}

// take notes that a request goes to the Job. That it crosses over to another
// scaler is no excuse, unless the group there is of another kind.
func (s *simulator) take(r *request, j *job) {
	t, taker := &s.tally, &s.groups[j.group]
	r.crossed = !slices.ContainsFunc(s.groupsOf(r), func(g int) bool { return s.groups[g].scaler == taker.scaler })
	others := slices.DeleteFunc(s.able(r), func(g int) bool {
		return g == j.group || s.groups[g].scaler != taker.scaler && s.groups[g].skills == taker.skills
	})
	if len(others) > 0 && (r.crossed || r.verdict != j.group) {
		t.elsewhere++
	}
	if len(s.scalers) > 1 && s.now-r.arrived > lentFor {
		t.overdue++
	}
	if r.crossed {
		t.crossed++
		if taker.minIdle > 0 {
			t.fromIdle++
		}
	}
	if j.reserved {
		t.again.add([]int{j.group})
		return
	}
	j.reserved = true
	t.taken.add([]int{j.group})
}

// supplies are the Jobs that the plan counts on: they have not been seen with a
// request, and were alive when the snapshot was asked for or later.
func (s *simulator) supplies(p *poll) map[string]bool {
	supplies := make(map[string]bool)
	for i := range p.input.Jobs {
		j := &p.input.Jobs[i]
		sinceSnapshot := j.Ended.Add(time.Second).After(p.input.Snapshot.RequestedAt)
		if !s.scalers[p.scaler].history.Held(j.UID) && (j.Ended.IsZero() || sinceSnapshot) {
			supplies[j.UID] = true
		}
	}
	return supplies
}

// rememberVerdicts notes which group is to serve each request.
func (s *simulator) rememberVerdicts(p *poll) {
	p.supplies = s.supplies(p)
	p.verdicts = make(map[*request]int)
	for _, v := range p.plan.Requests {
		r := s.requests[v.RequestID-1]
		if v.Outcome == plan.ByOtherShard {
			continue
		}
		r.verdict = s.groupIndex(v.Group)
		if v.Outcome == plan.ByWaitingJob || v.Outcome == plan.ByNewJob {
			p.verdicts[r] = r.verdict
		}
	}
}

func (s *simulator) groupIndex(key plan.Key) int {
	return slices.IndexFunc(s.groups, func(g group) bool { return g.key() == key })
}

// checkSurplus holds each Job that KEDA makes against the truth of the moment:
// it is needed if with it more of the queued requests (and of the idle Jobs that
// groups want) each have a Job. A Job that is not needed must be due to
// something that the planner could not know.
func (s *simulator) checkSurplus(p *poll, made int) {
	if made == 0 {
		return
	}
	without := s.served(0, p.group)
	needed := s.served(made, p.group) - without
	surplus := made - needed
	excuses, hidden := s.unknowable(p), s.hidden(p)
	excused := surplus
	if len(s.scalers) > 1 { // one that KEDA adds may be needed, but another scaler makes it too
		excused = max(excused, made-p.missing())
	}
	for range min(excused, excuses) {
		s.tally.surplus.add([]int{p.group})
	}
	if surplus > excuses+hidden {
		s.violate("exactly one", "%s gets %d Jobs, of which only %d are needed and %d can be excused",
			s.groups[p.group].name, made, needed, excuses+hidden)
	}
}

// hidden is how many Jobs of other scalers are left over that might do: no scaler
// can know of those. They are for the next requests there, so that in the end
// they are no excuse.
func (s *simulator) hidden(p *poll) int {
	n := 0
	for _, j := range s.jobs {
		if j.supply() && s.groups[j.group].scaler != p.scaler {
			n++
		}
	}
	return n
}

// noticeHolders notes which requests a scaler has seen with an agent.
func (s *simulator) noticeHolders(p *poll) {
	for i := range p.input.Snapshot.Requests {
		if r := p.input.Snapshot.Requests[i]; r.State != adoqueue.Queued {
			s.requests[r.ID-1].seenBy |= 1 << p.scaler
		}
	}
}

// unknowable counts what happened between what the planner saw and now, each of
// which may make one Job unneeded.
func (s *simulator) unknowable(p *poll) int {
	n := 0
	took := make(map[*job]bool)
	for i := range p.input.Snapshot.Requests {
		view := p.input.Snapshot.Requests[i]
		r := s.requests[view.ID-1]
		switch {
		case view.State != adoqueue.Queued || r.queued():
		case r.job == nil: // cancelled, or taken by an agent of somebody else
			n++
		case !p.supplies[r.job.uid] || r.job.group != p.verdict(r): // Azure DevOps chose another Job
			n++
		case took[r.job]: // as its second, since its first was cancelled before it could begin
			n++
		default:
			took[r.job] = true
		}
	}
	for _, j := range s.jobs {
		seen, seenByKEDA := j.created <= p.ourView, s.unfinishedForKEDA(j)
		own := j.group == p.group
		switch {
		case !seen && (!own || !seenByKEDA): // made since, for another group
			n++
		case own && seen && j.ended > p.ourView && !seenByKEDA && p.missing() > 0: // ended since
			n++
		}
	}
	return n
}

func (p *poll) verdict(r *request) int {
	if g, ok := p.verdicts[r]; ok {
		return g
	}
	return -1
}

// missing is what the plan says that the poll's group lacks.
func (p *poll) missing() int { return p.plan.Groups[p.key].Missing }

// checkShortage holds the Jobs there are after a poll against the requests that
// the plan assigns to the group: one for each. A missing Job must be due to a Job
// that was not what it seemed, or to KEDA's cache.
func (s *simulator) checkShortage(p *poll) {
	requests, jobs, excuses := 0, 0, 0
	for r, g := range p.verdicts {
		if g == p.group && r.queued() {
			requests++
		}
	}
	for _, j := range s.jobs {
		if j.group != p.group {
			continue
		}
		counted, took := s.unfinishedForKEDA(j), s.tookOneOf(p, j)
		if j.supply() {
			jobs++
		} else if p.supplies[j.uid] && !took { // failed, or took another, or one that no snapshot shows
			excuses++
		}
		switch {
		case counted && j.ended <= p.ourView: // KEDA's cache is behind ours
			excuses++
		case counted && j.created > p.ourView && !j.supply() && !took: // and the same for one we do not know
			excuses++
		}
	}
	if short := requests - jobs; short > 0 {
		s.tally.shortages += short
		if short > excuses {
			s.violate("no waiting", "%s has %d Jobs for %d requests after a poll, and %d excuses",
				s.groups[p.group].name, jobs, requests, excuses)
		}
	}
}

// tookOneOf reports whether the Job took one of the requests that the plan assigns
// to its group.
func (s *simulator) tookOneOf(p *poll, j *job) bool {
	for r, g := range p.verdicts {
		if r.job == j && g == j.group {
			return true
		}
	}
	return false
}

// served is how many of the queued requests, and of the idle Jobs that groups
// want, could have a Job if the group had so many more.
func (s *simulator) served(more, g int) int {
	var jobs []int
	for _, j := range s.jobs {
		if j.supply() {
			jobs = append(jobs, j.group)
		}
	}
	for range more {
		jobs = append(jobs, g)
	}
	var wants [][]int
	for _, r := range s.queue {
		wants = append(wants, s.able(r))
	}
	for g := range s.groups {
		for range s.groups[g].minIdle {
			wants = append(wants, []int{g})
		}
	}
	return largestMatching(wants, jobs)
}

// largestMatching is how many of the wants, each for a Job of one of some
// groups, can be assigned one of the Jobs, of which the groups are given. It
// uses single requests and Jobs and has nothing in common with the planner's.
func largestMatching(wants [][]int, jobs []int) int {
	holder := make([]int, len(jobs))
	for j := range holder {
		holder[j] = -1
	}
	var tried []bool
	var give func(w int) bool
	give = func(w int) bool {
		for j, g := range jobs {
			if tried[j] || !slices.Contains(wants[w], g) {
				continue
			}
			tried[j] = true
			if holder[j] < 0 || give(holder[j]) {
				holder[j] = w
				return true
			}
		}
		return false
	}
	n := 0
	for w := range wants {
		tried = make([]bool, len(jobs))
		if give(w) {
			n++
		}
	}
	return n
}

// checkEnd settles the scenario's account.
func (s *simulator) checkEnd() {
	var idle, kept perGroup
	created, failed := len(s.jobs), 0
	for _, j := range s.jobs {
		switch {
		case j.failed:
			failed++
		case !j.reserved:
			idle.add([]int{j.group})
		}
	}
	for g := range s.groups {
		wanted := min(s.groups[g].minIdle, s.groups[g].max)
		if !s.groups[g].comesBack(s.now) {
			wanted = min(wanted, idle.group[g])
		}
		for range wanted {
			kept.add([]int{g})
		}
	}
	if created != s.tally.taken.all+failed+idle.all {
		s.violate("account", "%d Jobs made, but %d took a request, %d failed and %d took none",
			created, s.tally.taken.all, failed, idle.all)
	}
	t := &s.tally
	s.unused, s.kept = idle.all, kept.all
	excess := idle.all - kept.all
	if most := t.lost.all + t.surplus.all + t.again.all + t.elsewhere + t.warm + s.untold(); excess > most {
		s.violate("exactly one", "%d Jobs took nothing; %d are kept idle, %d can be excused", idle.all, kept.all, most)
	}
	if !s.disjoint() {
		return
	}
	for g := range s.groups {
		excess := idle.group[g] - kept.group[g]
		if most := t.lost.group[g] + t.surplus.group[g] + t.again.group[g] + t.warm; excess > most {
			s.violate("exactly one", "%s: %d Jobs took nothing; %d are kept idle, %d can be excused",
				s.groups[g].name, idle.group[g], kept.group[g], most)
		}
	}
}

// checkWait holds a calm scenario, in which nothing goes wrong and there is room
// for all, to the longest wait: no request waits longer than it takes to see it and
// to start an agent, however slowly Jobs drain; and until it is known of groups
// that KEDA does not ask for them.
func (s *simulator) checkWait() {
	if !s.calm {
		return
	}
	if wait, most := s.tally.longestWait, s.unnoticed()+s.unavoidable(); wait > most {
		s.violate("longest wait", "a request waited %v, with %v unavoidable", wait, most)
	}
}

// undisturbed reports whether nothing happened that could leave a Job idle.
func (s *simulator) undisturbed() bool {
	t := &s.tally
	return t.lost.all+t.surplus.all+t.again.all+t.elsewhere+t.warm+s.untold()+s.parallel == 0
}

// untold is how many requests may have cost a Job too many since not all scalers
// could know who has a Job left over: one has missed or forgotten that a request
// crossed over; an idle Job that a group keeps took it, is replaced there and leaves
// over the one that was made here; or one scaler has given up on another, which
// had no room until then.
func (s *simulator) untold() int { return s.tally.unseen + s.tally.fromIdle + s.tally.overdue }

// lentFor is how long a scaler counts on a Job of another one.
const lentFor = 2 * time.Minute

// forget has the first scaler restart.
func (s *simulator) forget() {
	s.scalers[0].history = plan.History{}
	for _, r := range s.requests {
		if r.crossed && !r.here && s.now-r.assigned < lentFor {
			s.tally.unseen++
		}
		r.seenBy &^= 1
	}
}

// disjoint reports whether each request can be served by one group only.
func (s *simulator) disjoint() bool {
	for _, r := range s.requests {
		if len(s.able(r)) > 1 {
			return false
		}
	}
	return true
}
