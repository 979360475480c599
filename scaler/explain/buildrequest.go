package explain

import (
	"cmp"
	"slices"
	"time"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue/safetext"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/plan"
)

// addRequests adds the requests of a pool.
func (b *builder) addRequests(p *poolBuilder, made *Pool) {
	requests := b.unfinishedOf(p, made)
	for i := range p.history.finished {
		rec := &p.history.finished[i]
		request := rec.ended.request(rec.id)
		if b.filter.hasRequest(&request, rec.group) {
			requests = append(requests, foundRequest{requestOf(rec, &request), &request})
		}
	}
	slices.SortStableFunc(requests, func(x, y foundRequest) int { return cmp.Compare(rank(x.made.Progress), rank(y.made.Progress)) })
	for i := range requests {
		b.report.Summary.add(requests[i].made.Progress)
		if i < b.filter.MaxRequests {
			p.describe(&requests[i])
			made.Requests = append(made.Requests, requests[i].made)
		}
	}
	made.Omitted.Requests = len(requests) - len(made.Requests) + p.history.omitted
}

// foundRequest is a request of a report, which has its texts only if it is shown.
type foundRequest struct {
	made    Request
	request *adoqueue.JobRequest
}

// unfinishedOf returns the unfinished requests of a pool, and adds its stages.
func (b *builder) unfinishedOf(p *poolBuilder, made *Pool) []foundRequest {
	var requests []foundRequest
	stages := map[Step]*Stage{}
	if p.onlyCounted() {
		requests = b.countedRequests(p, stages)
		p.history.unfinished, p.history.omitted = nil, 0
	}
	for i := range p.history.unfinished {
		rec := &p.history.unfinished[i]
		request, verdict := p.history.last.Snapshot.Requests[rec.index], &p.history.last.Plan.Requests[rec.index]
		if b.filter.hasRequest(request, verdict.Group) {
			r := b.unfinished(p, rec, request, verdict)
			count(stages, &r)
			requests = append(requests, foundRequest{r, request})
		}
	}
	for _, step := range Steps() {
		if stage := stages[step]; stage != nil {
			made.Stages = append(made.Stages, *stage)
		}
	}
	return requests
}

// describe adds what a request says of itself.
func (p *poolBuilder) describe(found *foundRequest) {
	made, r := &found.made, found.request
	made.ID, made.RunID, made.Priority, made.URL = r.ID, r.RunID, r.Priority, p.organization.RunURL(r)
	made.Pipeline, made.Run, made.Demands = safetext.Line(r.Definition), safetext.Line(r.Run), p.shownDemands(r)
	made.Agent, made.Reason = safetext.Line(made.Agent), mask(safetext.Line(made.Reason))
}

// shownDemands returns the demands of a request as they may be shown. Requests share
// their lists.
func (p *poolBuilder) shownDemands(r *adoqueue.JobRequest) []string {
	if len(r.Demands) == 0 {
		return nil
	}
	shown, ok := p.demands[&r.Demands[0]]
	if !ok {
		shown = shownDemands(r.Demands)
		p.demands[&r.Demands[0]] = shown
	}
	return shown
}

// rank orders requests: those that somebody has to do something about come first,
// those that are over last.
func rank(p Progress) int {
	switch p {
	case Stopped:
		return 0
	case Finished:
		return 2
	default:
		return 1
	}
}

func (s *Summary) add(p Progress) {
	switch p {
	case Stopped:
		s.Stopped++
	case Coming:
		s.Coming++
	case Served:
		s.Served++
	case Finished:
		s.Finished++
	}
}

// count counts an unfinished request at the last step that it has reached.
func count(stages map[Step]*Stage, r *Request) {
	at := StepQueued
	for _, l := range r.Chain {
		if l.Status == Done {
			at = l.Step
		}
	}
	stage := stages[at]
	if stage == nil {
		stage = &Stage{Step: at}
		stages[at] = stage
	}
	stage.Requests++
	if r.Progress == Stopped {
		stage.Broken++
		stage.First = cmp.Or(stage.First, r.Broken)
	}
}

func (b *builder) unfinished(p *poolBuilder, rec *record, r *adoqueue.JobRequest, v *plan.Verdict) Request {
	made := Request{Outcome: v.Outcome.String(), Reason: v.Reason}
	if v.Group != (plan.Key{}) {
		made.ScaledJob = v.Group.String()
	}
	facts := rec.job
	view := b.view(p, rec, r, v)
	if view.job != nil { // newer than at the decision
		facts.name, facts.created = view.job.name, momentOf(view.job.created)
		if pod := view.job.pod; pod != nil {
			facts.pod, facts.scheduled, facts.started = pod.Name, momentOf(pod.Status.Scheduled), momentOf(pod.Status.Started)
		}
	}
	made.Job, made.Agent = facts.name, cmp.Or(r.Agent, facts.pod)
	made.Broken = firstBroken(view)
	var stops *Broken
	if made.Broken != nil && made.Broken.Code != CodeTaken {
		stops = made.Broken
	}
	switch {
	case stops != nil:
		made.Progress = Stopped
	case r.State == adoqueue.Queued:
		made.Progress = Coming
	default:
		made.Progress = Served
	}
	at := chainTimes{
		StepQueued: r.QueueTime, StepCounted: rec.counted.time(), StepReported: rec.reported.time(), StepJob: facts.created.time(),
		StepScheduled: facts.scheduled.time(), StepStarted: facts.started.time(), StepRegistered: rec.registered.time(),
	}
	if r.State >= adoqueue.Assigned {
		at[StepAssigned] = later(r.AssignTime, r.QueueTime)
	}
	if r.State >= adoqueue.Running {
		at[StepRunning] = r.ReceiveTime
	}
	made.Chain = at.chain(stops)
	return made
}

// requestOf returns a finished request.
func requestOf(rec *record, r *adoqueue.JobRequest) Request {
	made := Request{Progress: Finished, Outcome: rec.ended.outcome.String()}
	if rec.group != (plan.Key{}) {
		made.ScaledJob = rec.group.String()
	}
	made.Job, made.Agent = rec.job.name, cmp.Or(r.Agent, rec.job.pod)
	at := chainTimes{
		StepQueued: r.QueueTime, StepCounted: rec.counted.time(), StepReported: rec.reported.time(), StepJob: rec.job.created.time(),
		StepScheduled: rec.job.scheduled.time(), StepStarted: rec.job.started.time(), StepRegistered: rec.registered.time(),
		StepAssigned: r.AssignTime, StepRunning: r.ReceiveTime, StepFinished: rec.ended.at.time(),
	}
	made.Chain = at.chain(nil)
	return made
}

// chainTimes are when steps were reached.
type chainTimes map[Step]time.Time

// chain returns all steps with their status. A broken link is never one that was
// reached: KEDA may stop to ask after it got the metric.
func (t chainTimes) chain(broken *Broken) []Link {
	steps := Steps()
	reached := 0
	for i, step := range steps {
		if !t[step].IsZero() {
			reached = i
		}
	}
	failed := -1
	if broken != nil {
		failed = max(slices.Index(steps, broken.Step), reached+1)
	}
	chain := make([]Link, len(steps))
	for i, step := range steps {
		l := Link{Step: step, At: t[step], Status: Pending}
		switch {
		case !l.At.IsZero():
			l.Status = Done
		case i < reached:
			l.Status = Skipped
		case i == failed:
			l.Status = Failed
		case broken == nil && i == reached+1:
			l.Status = Next
		}
		chain[i] = l
	}
	return chain
}

// view returns what the first broken link of a request depends on.
func (b *builder) view(p *poolBuilder, rec *record, r *adoqueue.JobRequest, v *plan.Verdict) *view {
	made := &view{
		now: b.now, pool: &p.view, request: r, verdict: v, counted: rec.counted.time(), reported: rec.reported.time(),
		scaledJob: p.scaledJobs[v.Group], registered: rec.registered != 0, taken: rec.taken, takenAt: rec.takenAt.time(),
	}
	if v.Cause == plan.NoGroup {
		made.nearest, made.demands = p.nearestTo(r), p.shownDemands(r)
	}
	if v.Outcome != plan.ByWaitingJob && v.Outcome != plan.ByBusyJob {
		return made
	}
	if job := p.jobs[rec.job.uid]; job != nil {
		made.job = &jobView{name: job.Name, created: job.Created}
		if n := len(job.Pods); n > 0 {
			made.job.pod = &job.Pods[n-1]
		}
		if refusal, ok := b.cluster.Refusal(job.UID); ok && len(job.Pods) == 0 {
			made.job.refusal = &refusal
		}
	}
	return made
}

// nearestTo returns the ScaledJob that lacks the fewest of a request's demands; nil
// if none states what it offers.
func (p *poolBuilder) nearestTo(r *adoqueue.JobRequest) *nearest {
	var shared *adoqueue.Demand // requests share their lists
	if len(r.Demands) > 0 {
		shared = &r.Demands[0]
	}
	if known, ok := p.nearest[shared]; ok {
		return known
	}
	var best *nearest
	for i := range p.history.last.Groups {
		g := &p.history.last.Groups[i]
		if g.Offers == nil {
			continue
		}
		if lacks := g.Offers.Unmet(r.Demands); best == nil || len(lacks) < len(best.lacks) {
			best = &nearest{g.Key, shownDemands(lacks)}
		}
	}
	p.nearest[shared] = best
	return best
}
