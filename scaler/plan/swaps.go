package plan

import (
	"slices"
	"time"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue"
)

// Swap is a request that went to an agent of another shard. Azure DevOps assigns a
// request to any agent that meets its demands, so a Job that one cluster made for
// its own request may take one of another cluster's, for which that has made
// a Job as well. Each cluster has still made one Job for each of its requests:
// so the Job that is left over there serves the request that is left over here. A
// scaler that did not know this would make one more, and the other would regard the
// Job left over as its own and make one too few for the next request.
//
// No scaler sees the Jobs of another, but all see which agents requests go to. So
// both come to know of the swap by themselves.
type Swap struct {
	// Request is the one that went to an agent of another shard.
	Request adoqueue.JobRequest
	// Lent reports whether a Job of ours runs a request of another shard, so that
	// a Job there serves a request of ours; else the agent of somebody else runs a
	// request of ours, and we serve one of theirs.
	Lent bool
}

const (
	// lentFor bounds how long a request waits for the Job of another cluster, which
	// may have failed since or may never have been made: its scaler may be down.
	lentFor = 2 * time.Minute
	// borrowedFor has to be longer, by more than KEDA's polls are apart: a request
	// that neither serves would wait, and one that both serve costs an idle Job.
	borrowedFor = 4 * time.Minute
)

// swaps is what is remembered of swaps.
type swaps struct {
	byRequest map[int64]*swap
	order     []*swap // the oldest first
}

type swap struct {
	Swap
	seen time.Time
	// over is true once the swap makes no difference any more.
	over bool
	// settledBy is the swap the other way round that it was settled by, if any.
	settledBy *swap
}

// observe takes in which requests have gone to agents of other shards. At the first
// call, after a start, those of late may matter still.
func (s *swaps) observe(snapshot *adoqueue.Snapshot, m *Matcher, jobs []Job) {
	if m == nil || m.shards == nil {
		*s = swaps{}
		return
	}
	first := s.byRequest == nil
	if first {
		s.byRequest = map[int64]*swap{}
	}
	mine := make(map[string]bool, len(jobs))
	for i := range jobs {
		for _, agent := range jobs[i].Agents {
			mine[agent] = true
		}
	}
	unfinished := make(map[int64]bool, len(snapshot.Requests))
	for i := range snapshot.Requests {
		r := snapshot.Requests[i]
		unfinished[r.ID] = true
		if !hasAgent(r) {
			continue
		}
		seen := snapshot.RequestedAt
		if first {
			seen = r.AssignTime
		}
		s.learn(m, r, swap{Swap: Swap{*r, mine[r.Agent]}, seen: seen, over: snapshot.RequestedAt.Sub(seen) > lentFor})
	}
	s.expire(snapshot.RequestedAt)
	s.limit(snapshot, m)
	s.order = slices.DeleteFunc(s.order, func(of *swap) bool {
		if !of.over || unfinished[of.Request.ID] {
			return false
		}
		delete(s.byRequest, of.Request.ID)
		return true
	})
}

// learn takes in that a request has an agent. It may have been regarded as a swap
// before the Job of that agent came into view.
func (s *swaps) learn(m *Matcher, r *adoqueue.JobRequest, seen swap) {
	swapped := len(m.serving(r)) > 0 && m.ours(r) != seen.Lent
	known := s.byRequest[r.ID]
	if known != nil && swapped && known.Lent == seen.Lent {
		return
	}
	if known != nil {
		s.forget(known)
	}
	if !swapped {
		return
	}
	s.byRequest[r.ID] = &seen
	s.order = append(s.order, &seen)
	if seen.over {
		return
	}
	for _, earlier := range s.order {
		if !earlier.over && earlier.Lent != seen.Lent && includes(m.serving(r), m.serving(&earlier.Request)) {
			earlier.over, seen.over = true, true
			earlier.settledBy, seen.settledBy = &seen, earlier
			return
		}
	}
}

// forget undoes a swap that was none.
func (s *swaps) forget(of *swap) {
	if of.settledBy != nil {
		of.settledBy.over, of.settledBy.settledBy = false, nil
	}
	delete(s.byRequest, of.Request.ID)
	s.order = slices.DeleteFunc(s.order, func(other *swap) bool { return other == of })
}

func (s *swaps) expire(now time.Time) {
	for _, of := range s.order {
		lasts := borrowedFor
		if of.Lent {
			lasts = lentFor
		}
		if now.Sub(of.seen) > lasts {
			of.over = true
		}
	}
}

// limit ends swaps for which no request is left over: it was cancelled, or went to
// an agent of nobody, as may have the one that the swap is thought to be about.
// The remainder is a Job then, which belongs to the cluster it runs in.
func (s *swaps) limit(snapshot *adoqueue.Snapshot, m *Matcher) {
	var queued [2][]int // of ours, and of theirs
	for i := range snapshot.Requests {
		if r := snapshot.Requests[i]; r.State == adoqueue.Queued {
			theirs := 1
			if m.ours(r) {
				theirs = 0
			}
			queued[theirs] = append(queued[theirs], i)
		}
	}
	ours, theirs := newCandidates(m, snapshot.Requests, queued[0]), newCandidates(m, snapshot.Requests, queued[1])
	for _, of := range s.order {
		left := theirs
		if of.Lent {
			left = ours
		}
		of.over = of.over || left.next(&of.Request) < 0
	}
}

func (s *swaps) open() []Swap {
	var open []Swap
	for _, of := range s.order {
		if !of.over {
			open = append(open, of.Swap)
		}
	}
	return open
}
