package explain

import (
	"strings"
	"time"
	"unique"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/fleet"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/plan"
)

// record is what is remembered of one request: the times that no later decision
// shows. The rest of an unfinished request is in the newest decision.
type record struct {
	id int64
	// index is the request's position in the newest snapshot, and round says whether it
	// is in there at all.
	index int
	round uint64

	// group is the ScaledJob that it is counted for, zero if none is.
	group    plan.Key
	counted  moment
	reported moment
	job      jobFacts
	// registered is when the agent was first seen in the pool.
	registered moment
	// taken is the request that took the Job which was counted on for this one, 0 if
	// none did.
	taken   int64
	takenAt moment

	// late reports that it was counted as one that waits too long, and measured that its
	// way was measured.
	late, measured bool

	// ended is what is kept of a finished request, nil before.
	ended *ended
}

// jobFacts are about the Job that serves a request or is expected to.
type jobFacts struct {
	uid, name string
	created   moment
	pod       string
	scheduled moment
	started   moment
}

// moment is a time in Unix nanoseconds, 0 for none, which takes a third of the memory
// of a time.Time.
type moment int64

func momentOf(t time.Time) moment {
	if t.IsZero() {
		return 0
	}
	return moment(t.UnixNano())
}

func (m moment) time() time.Time {
	if m == 0 {
		return time.Time{}
	}
	return time.Unix(0, int64(m)).UTC()
}

// ended is what is kept of a request that has left the pool's list. Its texts are
// bounded, and equal ones are kept once.
type ended struct {
	at, queued, assigned, running moment
	pipeline, run, agent, project unique.Handle[string]
	demands                       unique.Handle[string] // one a line
	runID                         int64
	priority                      int
	outcome                       plan.Outcome
}

// The bounds of the texts of a finished request, in bytes.
const (
	maxKeptName    = 96
	maxKeptDemands = 240
)

// keep shortens a name.
func keep(text string) unique.Handle[string] {
	if len(text) > maxKeptName {
		text = strings.ToValidUTF8(text[:maxKeptName], "") + "…"
	}
	return unique.Make(text)
}

// keepDemands keeps the first demands, each whole: what is left of a secret would not
// look like one.
func keepDemands(demands []adoqueue.Demand) unique.Handle[string] {
	var text strings.Builder
	for _, d := range demands {
		line := d.String()
		if text.Len()+len(line) > maxKeptDemands {
			text.WriteString("…")
			break
		}
		text.WriteString(line + "\n")
	}
	return unique.Make(strings.TrimSuffix(text.String(), "\n"))
}

// follow takes in what a decision says of the request.
func (r *record) follow(v *plan.Verdict, now time.Time) {
	switch v.Outcome {
	case plan.ByNewJob, plan.ByWaitingJob, plan.ByBusyJob:
		if r.group != v.Group {
			r.group, r.counted, r.reported = v.Group, momentOf(now), 0
		}
	default:
		r.group, r.counted, r.reported = plan.Key{}, 0, 0
	}
	if uid, _, _ := strings.Cut(v.Job, "/"); uid != r.job.uid {
		r.job, r.registered = jobFacts{uid: uid}, 0
	}
}

// followJob takes in how far the request's Job has come.
func (r *record) followJob(j *fleet.Job) {
	f := &r.job
	f.name, f.created = j.Name, momentOf(j.Created)
	if len(j.Pods) == 0 {
		return
	}
	pod := &j.Pods[len(j.Pods)-1]
	if f.pod != pod.Name {
		f.pod, r.registered = pod.Name, 0
	}
	f.scheduled, f.started = momentOf(pod.Status.Scheduled), momentOf(pod.Status.Started)
}

// finish takes in that the request has left the list; last is how it was seen last.
func (r *record) finish(last *adoqueue.JobRequest, outcome plan.Outcome, at time.Time) {
	r.ended = &ended{
		at: momentOf(at), queued: momentOf(last.QueueTime), assigned: momentOf(last.AssignTime), running: momentOf(last.ReceiveTime),
		pipeline: keep(last.Definition), run: keep(last.Run), agent: keep(last.Agent),
		project: keep(last.Project), demands: keepDemands(last.Demands), runID: last.RunID, priority: last.Priority, outcome: outcome,
	}
	// The fate of its pod is of no interest any more, and its texts are the
	// cluster's.
	r.job.uid = ""
}

// request returns a finished request as far as it is known still.
func (e *ended) request(id int64) adoqueue.JobRequest {
	r := adoqueue.JobRequest{
		ID: id, State: adoqueue.Finished, QueueTime: e.queued.time(), AssignTime: e.assigned.time(), ReceiveTime: e.running.time(),
		Definition: e.pipeline.Value(), Run: e.run.Value(), Agent: e.agent.Value(), Project: e.project.Value(),
		RunID: e.runID, Priority: e.priority,
	}
	if text := e.demands.Value(); text != "" {
		for demand := range strings.SplitSeq(text, "\n") {
			r.Demands = append(r.Demands, adoqueue.ParseDemand(demand))
		}
	}
	return r
}
