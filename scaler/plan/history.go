package plan

import "github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue"

// History remembers which Jobs have held a request. An agent takes only one, so
// such a Job is useless for another, even when its request has left the
// snapshot. It also remembers which requests went to agents of another shard; see
// Swap. The zero value is ready for use; it is not safe for concurrent use.
type History struct {
	held  map[string]bool
	swaps swaps
}

// Observe learns which Jobs hold a request and forgets those that are gone.
// After a restart one call makes up for all the missed ones, apart from Jobs
// that are about to end, and from swaps.
func (h *History) Observe(snapshot *adoqueue.Snapshot, matcher *Matcher, jobs []Job) {
	holders := holdersOf(snapshot)
	held := make(map[string]bool, len(h.held))
	for i := range jobs {
		if h.held[jobs[i].UID] || holders.has(&jobs[i]) {
			held[jobs[i].UID] = true
		}
	}
	h.held = held
	h.swaps.observe(snapshot, matcher, jobs)
}

// Swaps returns those that are open, the oldest first.
func (h *History) Swaps() []Swap { return h.swaps.open() }

// Held reports whether the Job has been seen with a request.
func (h *History) Held(uid string) bool { return h.held[uid] }

// holders are the agents that hold a request in a snapshot.
type holders map[string]bool

func holdersOf(snapshot *adoqueue.Snapshot) holders {
	h := make(holders)
	for i := range snapshot.Requests {
		if r := snapshot.Requests[i]; hasAgent(r) {
			h[r.Agent] = true
		}
	}
	return h
}

func (h holders) has(job *Job) bool {
	for _, agent := range job.Agents {
		if h[agent] {
			return true
		}
	}
	return false
}

// hasAgent reports whether an agent is reserved for the request or runs it.
func hasAgent(r *adoqueue.JobRequest) bool {
	return r.Agent != "" && (r.State == adoqueue.Assigned || r.State == adoqueue.Running)
}
