// Package plan decides how many agents each ScaledJob of a pool lacks: it joins
// what is queued in Azure DevOps with the Jobs that exist in Kubernetes, so that
// every queued pipeline job gets exactly one Job.
//
// A count of requests alone cannot do this. A Job is made long before its agent
// shows up in the pool, and lives on after its request has left the list; only
// who knows both can distinguish a Job that will take a request from one that has had
// its own.
//
// The package is pure: it knows no clock, no network and no Kubernetes.
package plan

import (
	"slices"
	"time"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue"
)

// Key names a ScaledJob.
type Key struct{ Namespace, Name string }

// String is the key in logs: namespace/name.
func (k Key) String() string { return k.Namespace + "/" + k.Name }

// Group is a ScaledJob that serves the pool.
type Group struct {
	Key
	// Offers are the capabilities of its agents, if the group states them:
	// requests whose demands these meet are served.
	Offers adoqueue.Capabilities
	// Placeholder is the name of a registered agent that stands for those of a
	// group that states what it offers. That Azure DevOps has matched it with a
	// request counts for more than the capabilities. "" if there is none.
	Placeholder string
	// Serves reports whether the agents can run a request, in a group that does
	// not state what it offers. It must look at nothing but the request's demands
	// and matched agents: it is asked once about requests that are alike in these.
	Serves func(*adoqueue.JobRequest) bool
	// Shard is the share of the requests that its agents can run which it gets new
	// Jobs for. Scalers with other shards serve the rest of the pool.
	Shard adoqueue.Shard
	// Priority decides between groups that could serve a request, the highest
	// first; then the one with the fewest Capabilities, which are the fewest
	// to spare; then the name.
	Priority     int
	Capabilities int
	// MinIdle is how many waiting Jobs to keep beyond those that have a
	// request to take.
	MinIdle int
	// Idle, if it is not nil, replaces MinIdle by what it returns for a number of
	// busy Jobs.
	Idle func(busy int) int
	// MinReplicas and MaxReplicas bound the unfinished Jobs, as in the
	// ScaledJob.
	MinReplicas, MaxReplicas int
	// Blocked, if not empty, is why the group gets no new Jobs now, such as "is
	// paused". Those it has still count.
	Blocked string
}

// Job is a Job of one of the groups, with the agent that runs in it.
type Job struct {
	UID   string
	Group Key
	// Agents are the names of its pods, which are those of their agents.
	Agents  []string
	Created time.Time
	// Ended is when it became complete or failed, in whole seconds as
	// Kubernetes has it, and zero before. A Job that ended must stay in the
	// Input while a snapshot from before its end may be used, even if it is
	// deleted meanwhile.
	Ended time.Time
	// Retired reports that a waiting Job is about to leave: it may still take a
	// request, but it is none of the idle ones that the group keeps.
	Retired bool
}

// Input is all that a plan is made from. Nothing in it is changed.
type Input struct {
	Snapshot *adoqueue.Snapshot
	Groups   []Group // one for each ScaledJob
	// Matcher is one for these groups in this order, from an earlier plan; nil
	// means a new one.
	Matcher *Matcher
	Jobs    []Job
	// Held reports which Jobs have held a request before; see History. It is
	// not asked about Jobs that hold one in the snapshot.
	Held func(uid string) bool
	// Swaps are those that are open; see History.
	Swaps []Swap
	// ParallelJobs is how many pipeline jobs more the organization can start
	// now, those that waiting Jobs will take included. Nil means no bound.
	ParallelJobs *int
}

// Plan says what each group lacks and who serves each request.
type Plan struct {
	Groups map[Key]GroupPlan
	// Requests are in the snapshot's order.
	Requests []Verdict
}

// GroupPlan is what one group has and lacks.
type GroupPlan struct {
	// Missing is how many Jobs to make.
	Missing int
	// Metric is the value from which KEDA's strategy "default" gets there.
	Metric int64
	// Unfinished Jobs are Waiting for a request, Busy with one, or Draining:
	// they have had theirs and are about to end.
	Unfinished, Waiting, Busy, Draining int
	// Ended are Jobs that ended since the snapshot and may have taken one of
	// its queued requests, for which they still stand in.
	Ended int
	// Queued is how many queued requests the group is to serve.
	Queued int
	// Idle is how many waiting Jobs the group keeps beyond those that have a
	// request to take.
	Idle int
}

// Waiting returns the Jobs of a group that wait for a request, the oldest first.
func Waiting(in Input, group Key) []*Job {
	a := newAssignment(&in)
	for g := range a.groups {
		if a.groups[g].group.Key == group {
			return slices.DeleteFunc(a.groups[g].supply, func(j *Job) bool { return !j.Ended.IsZero() })
		}
	}
	return nil
}

// Make decides what is missing.
func Make(in Input) Plan {
	a := newAssignment(&in)
	a.match()
	plan := Plan{Groups: make(map[Key]GroupPlan, len(a.groups)), Requests: a.verdicts()}
	for g := range a.groups {
		plan.Groups[a.groups[g].group.Key] = a.groupPlan(g)
	}
	return plan
}

func (a *assignment) groupPlan(g int) GroupPlan {
	group := a.groups[g].group
	p := a.groups[g].has
	p.Idle = a.groups[g].idle()
	p.Missing = a.matching.slots[len(a.groups)+g].used
	if group.Blocked == "" {
		// KEDA creates these itself; without KEDA they count as
		// missing.
		p.Missing = max(p.Missing, min(group.MinReplicas, group.MaxReplicas)-p.Unfinished)
	}
	p.Metric = metric(p.Missing, p.Unfinished, group.MinReplicas)
	return p
}

// metric is the value that makes KEDA create what is missing: its strategy
// "default" creates metric - (unfinished - minReplicaCount), where it counts
// the unfinished Jobs itself, some milliseconds after our answer. Jobs created
// since cancel out. Jobs that ended since do not: each makes it create one too
// many. So when nothing is missing the metric leaves out all of
// them, busy and draining alike, and 0 creates nothing whatever KEDA sees. When
// something is missing they have to be in, or the queue would wait for their
// end; then a Job too many is made now and then, and the next request takes it.
func metric(missing, unfinished, minReplicas int) int64 {
	if missing == 0 {
		return 0
	}
	return int64(max(0, missing+unfinished-minReplicas))
}
