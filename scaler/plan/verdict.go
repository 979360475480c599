package plan

import (
	"fmt"
	"strings"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue"
)

// Outcome is who serves a request.
type Outcome int

// The outcomes of a request.
const (
	Unserved     Outcome = iota // nobody, for the verdict's Reason
	ByWaitingJob                // a Job that waits for a request
	ByNewJob                    // a Job that is yet to be made
	ByBusyJob                   // the Job whose agent it has
	ByOtherAgent                // an agent of somebody else
	ByOtherShard                // a scaler with another shard
)

// String is the outcome in logs.
func (o Outcome) String() string {
	return [...]string{"unserved", "waiting Job", "new Job", "busy Job", "other agent", "other shard"}[o]
}

// Cause is why nobody serves a request, for the group that would be the first to.
type Cause int

// The causes.
const (
	Served        Cause = iota // somebody does
	NoGroup                    // no group's agents can run it
	GroupBlocked               // the group gets no new Jobs, see Group.Blocked
	AtMaxReplicas              // the group has as many Jobs as it may
	NoParallelJob              // the organization can start no more jobs
)

// Verdict says who serves a request. Azure DevOps may decide otherwise: for a
// queued request it is the Job that the plan counts on.
type Verdict struct {
	RequestID int64
	Outcome   Outcome
	// Group is the one that serves it, or would be the first to if it could.
	Group Key
	// Job is the UID of the Job that serves it, if there is one already.
	Job string
	// Reason is why nobody serves it, and Cause its kind.
	Reason string
	Cause  Cause
}

// String is the verdict in words.
func (v Verdict) String() string {
	switch {
	case v.Outcome == Unserved:
		return fmt.Sprintf("%s: %s", v.Outcome, v.Reason)
	case v.Outcome == ByOtherAgent || v.Outcome == ByOtherShard:
		return v.Outcome.String()
	case v.Job == "":
		return fmt.Sprintf("%s of %s", v.Outcome, v.Group)
	default:
		return fmt.Sprintf("%s %s of %s", v.Outcome, v.Job, v.Group)
	}
}

// verdicts returns who serves each request.
func (a *assignment) verdicts() []Verdict {
	requests := a.in.Snapshot.Requests
	verdicts := make([]Verdict, len(requests))
	for i := range requests {
		verdicts[i] = Verdict{RequestID: requests[i].ID}
		switch r := requests[i]; {
		case r.State != adoqueue.Queued:
			verdicts[i].byAgent(a, r)
		case a.class[i] == none:
			verdicts[i].Outcome = ByOtherShard
		}
	}
	used := make([]int, len(a.groups)) // of each group's waiting Jobs
	next := make([]int, len(a.matching.classes))
	for _, i := range a.queued {
		v, c := &verdicts[i], &a.matching.classes[a.class[i]]
		// The first of each class were placed, and those had the waiting Jobs
		// first.
		s := &next[a.class[i]]
		for *s < len(c.placed) && c.placed[*s] == 0 {
			*s++
		}
		if *s == len(c.placed) {
			v.Reason = a.reason(requests[i], c.groups)
			v.Cause, v.Group = a.cause(c.groups)
			continue
		}
		c.placed[*s]--
		v.place(a, c.slots[*s], used)
	}
	return verdicts
}

// place says who serves a request that has a place in a slot; used is how many of
// each group's waiting Jobs have one already.
func (v *Verdict) place(a *assignment, slot int, used []int) {
	n := len(a.groups)
	if slot >= 2*n {
		v.Outcome = ByOtherShard
		return
	}
	g := slot % n
	group := &a.groups[g]
	group.has.Queued++
	v.Group, v.Outcome = group.group.Key, ByNewJob
	if slot < n {
		v.Outcome, v.Job = ByWaitingJob, group.supply[used[g]].UID
		used[g]++
	}
}

func (v *Verdict) byAgent(a *assignment, r *adoqueue.JobRequest) {
	v.Outcome = ByOtherAgent
	if owner, ok := a.owners[r.Agent]; ok {
		v.Outcome, v.Group, v.Job = ByBusyJob, a.groups[owner.group].group.Key, owner.job.UID
	}
}

// maxReasons bounds how many groups a reason names.
const maxReasons = 5

// reason is why no group serves a request.
func (a *assignment) reason(r *adoqueue.JobRequest, groups []int) string {
	if len(groups) == 0 {
		return unmet(r)
	}
	reasons := make([]string, 0, min(len(groups), maxReasons+1))
	for i, g := range groups {
		group := a.groups[g].group
		switch {
		case i == maxReasons:
			reasons = append(reasons, fmt.Sprintf("and %d more", len(groups)-i))
			return strings.Join(reasons, "; ")
		case group.Blocked != "":
			reasons = append(reasons, fmt.Sprintf("%s %s", group.Key, group.Blocked))
		case a.exhausted && a.matching.slots[len(a.groups)+g].free() > 0:
			return "the organization has no free parallel job"
		default:
			reasons = append(reasons, fmt.Sprintf("%s is at maxReplicaCount %d", group.Key, group.MaxReplicas))
		}
	}
	return strings.Join(reasons, "; ")
}

// cause is why none of the groups that can run a request serves it.
func (a *assignment) cause(groups []int) (Cause, Key) {
	if len(groups) == 0 {
		return NoGroup, Key{}
	}
	first := a.groups[groups[0]].group
	for _, g := range groups {
		if a.exhausted && a.groups[g].group.Blocked == "" && a.matching.slots[len(a.groups)+g].free() > 0 {
			return NoParallelJob, a.groups[g].group.Key
		}
	}
	if first.Blocked != "" {
		return GroupBlocked, first.Key
	}
	return AtMaxReplicas, first.Key
}

func unmet(r *adoqueue.JobRequest) string {
	demands := make([]string, len(r.Demands))
	for i, d := range r.Demands {
		demands[i] = d.String()
	}
	switch len(demands) {
	case 0:
		return "no ScaledJob serves it"
	case 1:
		return "no ScaledJob meets the demand " + demands[0]
	default:
		return "no ScaledJob meets all of the demands " + strings.Join(demands, ", ")
	}
}
