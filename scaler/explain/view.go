package explain

import (
	"time"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/engine"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/fleet"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/plan"
)

// view is all that the first broken link of one unfinished request depends on.
type view struct {
	now     time.Time
	pool    *poolView
	request *adoqueue.JobRequest
	verdict *plan.Verdict
	// counted and reported are when the request was counted for its ScaledJob, and when
	// KEDA got the metric with it.
	counted, reported time.Time
	// scaledJob is the one that the request is counted for, or that would be the first
	// to serve it; nil if there is none.
	scaledJob *scaledJobView
	// demands are those of the request as they may be shown, if nobody serves it.
	demands []string
	// nearest is the ScaledJob that lacks the fewest of the demands, if none meets all.
	nearest *nearest
	// job is the one that is expected to serve the request, nil if there is none.
	job *jobView
	// registered reports whether the agent of the Job has been seen in the pool.
	registered bool
	// taken is the request that took the Job which was made for this one, 0 if none
	// did.
	taken   int64
	takenAt time.Time
}

// poolView is what concerns all requests of a pool.
type poolView struct {
	name           string
	reading        adoqueue.Reading
	throttledUntil time.Time
	scaledJobs     int
	podsInView     bool
	standalone     bool  // there is no KEDA
	outOfDate      error // of the view of Kubernetes
	// agents are those that are registered, by name in lower case; nil if that is
	// unknown.
	agents map[string]*adoqueue.Agent
	// pods are the names of the pods of our Jobs, in lower case.
	pods map[string]bool
}

// scaledJobView is a ScaledJob with what it has.
type scaledJobView struct {
	key    plan.Key
	member *engine.MemberState // nil if it is gone
	block  engine.Block        // zero if it gets new Jobs
	plan   plan.GroupPlan
	max    int
	idle   int // Jobs to keep waiting now
	ready  fleet.Condition
	// failed is the pod whose failure holds the ScaledJob back.
	failed fleet.PodStatus
	// stray is an agent of no Job that seems to be one of its waiting Jobs'.
	stray string
	// placeholder is the name of the placeholder that it should have, "" if none.
	placeholder string
}

// jobView is a Job that waits for a request.
type jobView struct {
	name    string
	created time.Time
	pod     *fleet.Pod // the newest, nil if there is none
	refusal *fleet.Refusal
}

// nearest is the ScaledJob that lacks the fewest of a request's demands.
type nearest struct {
	key   plan.Key
	lacks []string
}

func (v *view) interval() time.Duration {
	if v.scaledJob == nil || v.scaledJob.member == nil {
		return 0
	}
	return v.scaledJob.member.ScaledJob.PollingInterval
}
