// Package adoqueue reads the queue of an Azure DevOps agent pool.
//
// A Client speaks to one organization (or one collection of an Azure DevOps
// Server). A Cache on top of it serves any number of callers from one Snapshot
// per pool, so that frequent polls cost Azure DevOps little.
//
// Texts of Azure DevOps that the package returns, errors included, are
// printable: no control characters, escape sequences or bidi marks.
//
// The package knows nothing of gRPC or Kubernetes, and reads neither flags nor
// the environment.
package adoqueue

import (
	"fmt"
	"time"
)

// Pool is an agent pool of an organization.
type Pool struct {
	ID   int
	Name string
	// Hosted is true for the pools of Microsoft-hosted agents.
	Hosted bool
	// Elastic is true for pools whose agents are a virtual machine scale set
	// that Azure DevOps itself sizes.
	Elastic bool
}

// String names the pool for people: pool "Linux" (id 12).
func (p Pool) String() string {
	if p.Name == "" {
		return fmt.Sprintf("pool %d", p.ID)
	}
	return fmt.Sprintf("pool %q (id %d)", p.Name, p.ID)
}

// PoolRef names a pool as a user does: by name or by id. The name wins if both
// are given.
type PoolRef struct {
	Name string
	ID   int
}

// String names the reference for people.
func (r PoolRef) String() string {
	return Pool{ID: r.ID, Name: r.Name}.refString()
}

func (p Pool) refString() string {
	if p.Name != "" {
		return fmt.Sprintf("pool %q", p.Name)
	}
	return fmt.Sprintf("pool %d", p.ID)
}

// State is the progress of a job request.
type State int

// The states of a job request, in the order in which it passes through them.
const (
	Queued   State = iota // waits for an agent
	Assigned              // an agent is reserved for it
	Running               // the agent has received it
	Finished              // it has a result
)

// String is the state's name in logs and metrics.
func (s State) String() string {
	return [...]string{"queued", "assigned", "running", "finished"}[s]
}

// JobRequest is one pipeline job that needs, or has, an agent of a pool.
type JobRequest struct {
	ID    int64
	State State
	// JobID stays the same when the job is tried again; ID does not.
	JobID string

	QueueTime   time.Time
	AssignTime  time.Time
	ReceiveTime time.Time

	Demands []Demand
	// Agent is the name of the agent reserved for the request, if any.
	Agent string
	// MatchedAgents are the names of the registered agents that meet the demands
	// by Azure DevOps' own reckoning. Nil means unknown, not none.
	MatchedAgents []string
	// MatchesAllAgents is true if every agent registered in the pool meets the
	// demands; MatchedAgents is nil then.
	MatchesAllAgents bool

	Definition string // name of the pipeline
	Run        string // name or number of the run
	RunID      int64  // id of the run, 0 if it is none of a pipeline
	Project    string // id of the project
	Priority   int
}

// Snapshot is what a pool's list of unfinished job requests was at one moment.
// It is shared by all callers and must not be changed.
type Snapshot struct {
	Pool Pool
	// Requests are the unfinished job requests, oldest first. Unchanged ones
	// are shared with the previous snapshot.
	Requests []*JobRequest
	// RequestedAt is when the request was sent that this is the answer to:
	// whatever happened before it is in here.
	RequestedAt time.Time
	// Err is why there is no newer snapshot, nil if this is the newest.
	Err error
}

// Count returns the number of requests in each state.
func (s *Snapshot) Count() map[State]int {
	counts := map[State]int{Queued: 0, Assigned: 0, Running: 0}
	for i := range s.Requests {
		counts[s.Requests[i].State]++
	}
	return counts
}
