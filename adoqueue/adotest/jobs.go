package adotest

import (
	"cmp"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"time"
)

// Job describes a pipeline job to queue.
type Job struct {
	Name    string   `json:"name,omitzero"` // default "Job"
	Demands []string `json:"demands,omitempty"`
	// NoVersionDemand leaves out the demand on Agent.Version that Azure DevOps
	// adds to most jobs, though not to all.
	NoVersionDemand bool `json:"noVersionDemand,omitzero"`
	// SkipMatch queues the job even if no registered agent could run it.
	SkipMatch bool `json:"skipMatch,omitzero"`

	// Duration is how long an agent runs the job. An agent without a session
	// finishes it by itself after that; 0: only Finish does.
	Duration time.Duration `json:"-"`
	Result   string        `json:"result,omitzero"` // what the agent reports, default "succeeded"
	// Script is run by bash as the job's step, by agents of the stand-in's package;
	// it takes the place of waiting. Its exit code decides between Result and
	// "failed".
	Script string `json:"script,omitzero"`

	// Age is how long ago the job was queued: a stage that was never cleaned up
	// may be listed for days.
	Age time.Duration `json:"-"`

	Plan     string `json:"plan,omitzero"`     // "Build" (default), "Release", "Deployment"
	Pipeline string `json:"pipeline,omitzero"` // name of the definition, default "app"
	Public   bool   `json:"public,omitzero"`   // of a public project: needs no paid parallel job
	Priority int    `json:"priority,omitzero"` // higher goes first
	// StatusMessage is an explanation shown with the request.
	StatusMessage string `json:"statusMessage,omitzero"`
}

// jobJSON is a Job with its time spans in Go's text form, such as "1.5s".
type jobJSON struct {
	jobFields
	Duration duration `json:"duration,omitzero"`
	Age      duration `json:"age,omitzero"`
}

type jobFields Job

func jobText(j Job) jobJSON { return jobJSON{jobFields(j), duration(j.Duration), duration(j.Age)} }

func (in jobJSON) job() Job {
	j := Job(in.jobFields)
	j.Duration, j.Age = time.Duration(in.Duration), time.Duration(in.Age)
	return j
}

// MarshalJSON writes time spans as text.
func (j Job) MarshalJSON() ([]byte, error) { return json.Marshal(jobText(j)) }

// UnmarshalJSON reads time spans as text.
func (j *Job) UnmarshalJSON(data []byte) error {
	var in jobJSON
	err := json.Unmarshal(data, &in)
	*j = in.job()
	return err
}

// duration is a time span in Go's text form.
type duration time.Duration

// MarshalText serves encoding/json.
func (d duration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }

// UnmarshalText serves encoding/json.
func (d *duration) UnmarshalText(text []byte) error {
	parsed, err := time.ParseDuration(string(text))
	*d = duration(parsed)
	return err
}

// State is where a request is in its life.
type State string

// The states, by the fields that a client sees: result or finishTime, else
// receiveTime, else assignTime or reservedAgent, else none of them.
const (
	Queued   State = "queued"
	Assigned State = "assigned"
	Running  State = "running"
	Finished State = "finished"
)

// RequestState is what the stand-in knows about a request.
type RequestState struct {
	ID          int64     `json:"id"`
	Pool        string    `json:"pool"`
	PoolID      int       `json:"poolId"`
	JobID       string    `json:"jobId"` // the same for all retries of a job
	Job         Job       `json:"job"`
	State       State     `json:"state"`
	Agent       string    `json:"agent,omitzero"` // also after the end
	Result      string    `json:"result,omitzero"`
	QueueTime   time.Time `json:"queueTime,omitzero"`
	AssignTime  time.Time `json:"assignTime,omitzero"`
	ReceiveTime time.Time `json:"receiveTime,omitzero"`
	FinishTime  time.Time `json:"finishTime,omitzero"`
	LockedUntil time.Time `json:"lockedUntil,omitzero"`
	// Attempts is how often an agent was reserved. All but the last did not receive
	// the request.
	Attempts int64 `json:"attempts,omitzero"`
}

// request is a job request.
type request struct {
	id     int64
	origin int64 // of the first attempt: plan and job keep their ids
	pool   *pool
	job    Job
	agent  *agent // reserved, also after the end

	queued, assigned, received, finished time.Time

	result      string
	lockedUntil time.Time
	lockToken   string
	attempts    int64         // how often an agent was reserved
	taken       int64         // the message by which its agent received it
	cancelled   bool          // the agent has received, or will receive, the cancellation
	timers      []*time.Timer // of an agent that the stand-in plays
	lock        *time.Timer   // fires when the lock lapses
}

func (q *request) state() State {
	switch {
	case !q.finished.IsZero():
		return Finished
	case !q.received.IsZero():
		return Running
	case !q.assigned.IsZero():
		return Assigned
	default:
		return Queued
	}
}

// Queue queues a job. If no registered agent matches, online or not, enabled or
// not, it fails with Azure DevOps' text and nothing is listed.
func (s *Server) Queue(pool string, j Job) (requestID int64, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p, err := s.findPool(pool)
	if err != nil {
		return 0, err
	}
	j.Name, j.Plan = cmp.Or(j.Name, "Job"), cmp.Or(j.Plan, "Build")
	j.Pipeline, j.Result = cmp.Or(j.Pipeline, "app"), cmp.Or(j.Result, "succeeded")
	j.Demands = slices.Clone(j.Demands)
	named := slices.ContainsFunc(parseDemands(j.Demands), func(d demand) bool { return strings.EqualFold(d.name, versionCapability) })
	if !named && !j.NoVersionDemand {
		j.Demands = append(j.Demands, versionCapability+" -gtVersion 2.182.1")
	}
	return s.queue(&request{pool: p, job: j})
}

func (s *Server) queue(q *request) (int64, error) {
	if !q.job.SkipMatch && !s.opts.AllowUnmatched && len(q.matches()) == 0 {
		return 0, refuse(http.StatusBadRequest, "NoAgentMatchedException",
			"No agent found in pool %s which satisfies the specified demands: %s", q.pool.Name, strings.Join(q.job.Demands, ", "))
	}
	s.lastRequest++
	q.id, q.queued = s.lastRequest, time.Now().Add(-q.job.Age)
	q.origin = cmp.Or(q.origin, q.id)
	s.requests[q.id] = q
	q.pool.requests = append(q.pool.requests, q)
	s.dispatch()
	return q.id, nil
}

// Retry queues a finished job again: a new request of the same job.
func (s *Server) Retry(id int64) (newID int64, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	q, refused := s.find(id, Finished)
	if refused != nil {
		return 0, refused
	}
	again := q.job
	again.Age = 0
	return s.queue(&request{pool: q.pool, job: again, origin: q.origin})
}

// matches are the registered agents that could run the job.
func (q *request) matches() []*agent { return q.pool.matching(q.job.Demands) }

// find returns a request that is in one of the states.
func (s *Server) find(id int64, states ...State) (*request, *Error) {
	q := s.requests[id]
	if q == nil {
		return nil, refuse(http.StatusNotFound, "TaskAgentJobNotFoundException", "Job request %d was not found.", id)
	}
	if !slices.Contains(states, q.state()) {
		return nil, refuse(http.StatusConflict, "TaskAgentJobStateException",
			"Job request %d is %s, which allows no such change.", id, q.state())
	}
	return q, nil
}

// Request returns what is known about a request, and whether there is one.
func (s *Server) Request(id int64) (RequestState, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	q := s.requests[id]
	if q == nil {
		return RequestState{}, false
	}
	return s.inspect(q), true
}

// Requests returns all requests of a pool in order of their ids.
func (s *Server) Requests(pool string) []RequestState {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.poolByName(pool)
	if p == nil {
		return nil
	}
	return s.inspectAll(p)
}

func (s *Server) inspectAll(p *pool) []RequestState {
	states := make([]RequestState, len(p.requests))
	for i, q := range p.requests {
		states[i] = s.inspect(q)
	}
	return states
}

func (s *Server) inspect(q *request) RequestState {
	state := RequestState{
		ID: q.id, Pool: q.pool.Name, PoolID: q.pool.ID, JobID: guid("job", q.origin), Job: q.job,
		State: q.state(), Result: q.result,
		QueueTime: q.queued, AssignTime: q.assigned, ReceiveTime: q.received, FinishTime: q.finished,
		LockedUntil: s.lockEnd(q), Attempts: q.attempts,
	}
	state.Job.Demands = slices.Clone(q.job.Demands)
	if q.agent != nil {
		state.Agent = q.agent.name
	}
	return state
}
