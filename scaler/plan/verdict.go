package plan

import (
	"fmt"
	"slices"
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
)

// String is the outcome in logs.
func (o Outcome) String() string {
	return [...]string{"unserved", "waiting Job", "new Job", "busy Job", "other agent"}[o]
}

// Verdict says who serves a request. Azure DevOps may decide otherwise: for a
// queued request it is the Job that the plan counts on.
type Verdict struct {
	RequestID int64
	Outcome   Outcome
	Group     Key
	// Job is the UID of the Job that serves it, if there is one already.
	Job string
	// Reason is why nobody serves it.
	Reason string
}

// String is the verdict in words.
func (v Verdict) String() string {
	switch {
	case v.Outcome == Unserved:
		return fmt.Sprintf("%s: %s", v.Outcome, v.Reason)
	case v.Outcome == ByOtherAgent:
		return v.Outcome.String()
	case v.Job == "":
		return fmt.Sprintf("%s of %s", v.Outcome, v.Group)
	default:
		return fmt.Sprintf("%s %s of %s", v.Outcome, v.Job, v.Group)
	}
}

// verdicts tells of each request who serves it.
func (b *board) verdicts() []Verdict {
	requests := b.in.Snapshot.Requests
	verdicts := make([]Verdict, len(requests))
	for i := range requests {
		verdicts[i] = Verdict{RequestID: requests[i].ID}
		if r := &requests[i]; r.State != adoqueue.Queued {
			verdicts[i].byAgent(b, r)
		}
	}
	supply := make([][]*Job, len(b.groups))
	for g := range b.groups {
		supply[g] = b.groups[g].supply
	}
	// The first of each class were placed, and those had the waiting Jobs
	// first.
	left := make([][]int, len(b.matching.classes))
	for c := range left {
		left[c] = slices.Clone(b.matching.classes[c].placed)
	}
	for _, i := range b.queued {
		v, c := &verdicts[i], b.class[i]
		s := slices.IndexFunc(left[c], func(n int) bool { return n > 0 })
		if s == none {
			v.Reason = b.reason(&requests[i], b.matching.classes[c].groups)
			continue
		}
		left[c][s]--
		g := s % len(b.groups)
		b.groups[g].Queued++
		v.Group, v.Outcome = b.groups[g].Key, ByNewJob
		if s == g {
			v.Outcome, v.Job = ByWaitingJob, supply[g][0].UID
			supply[g] = supply[g][1:]
		}
	}
	return verdicts
}

func (v *Verdict) byAgent(b *board, r *adoqueue.JobRequest) {
	v.Outcome = ByOtherAgent
	if owner, ok := b.owners[r.Agent]; ok {
		v.Outcome, v.Group, v.Job = ByBusyJob, b.groups[owner.group].Key, owner.job.UID
	}
}

// reason is why no group serves a request.
func (b *board) reason(r *adoqueue.JobRequest, groups []int) string {
	if len(groups) == 0 {
		return unmet(r)
	}
	reasons := make([]string, 0, len(groups))
	for _, g := range groups {
		switch group := &b.groups[g]; {
		case group.Blocked != "":
			reasons = append(reasons, fmt.Sprintf("%s is held back: %s", group.Key, group.Blocked))
		case b.spent && b.matching.slots[len(b.groups)+g].free() > 0:
			return "the organization has no parallel job free"
		default:
			reasons = append(reasons, fmt.Sprintf("%s is at maxReplicaCount %d", group.Key, group.MaxReplicas))
		}
	}
	return strings.Join(reasons, "; ")
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
