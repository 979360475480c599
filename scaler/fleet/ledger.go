package fleet

import (
	"slices"
	"sync"
	"time"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/plan"
)

// promiseFor is how long a pool that nobody asks about any more has a claim on
// the organization's parallel jobs.
const promiseFor = time.Minute

// Ledger makes plans and remembers what they need from before: which Jobs have
// held a request, whose Jobs fail, and what the pools of an organization have
// claimed of its parallel jobs. It is safe for concurrent use.
type Ledger struct {
	jobs func() []Job

	mu       sync.Mutex
	pools    map[poolKey]*page
	backoffs map[plan.Key]*backoff
}

// poolKey tells the pools of all organizations apart.
type poolKey struct {
	organization string
	pool         int
}

// page is what is remembered about one pool.
type page struct {
	history plan.History
	claimed int // queued requests that some Job is to take
	at      time.Time
}

// NewLedger makes an empty ledger; jobs gives all Jobs as Kubernetes holds them
// now.
func NewLedger(jobs func() []Job) *Ledger {
	return &Ledger{jobs: jobs, pools: map[poolKey]*page{}, backoffs: map[plan.Key]*backoff{}}
}

// Question is about one pool.
type Question struct {
	Organization adoqueue.OrganizationURL
	Snapshot     *adoqueue.Snapshot
	// Groups are the ScaledJobs that serve the pool; whether one is blocked is
	// the ledger's to say.
	Groups map[plan.Key]plan.Group
	// ParallelJobs are those of the organization; nil means no bound.
	ParallelJobs *adoqueue.ParallelJobs
}

// Pause tells that a ScaledJob gets no new Jobs since its last ones failed
// before they took a request.
type Pause struct {
	plan.Key
	Until  time.Time // zero if its Jobs do not fail
	Reason string    // "" if the pause is over
	New    bool      // it was not told of before
}

// Plan joins the snapshot with the Jobs of the groups. It also tells of each
// group's pause.
func (l *Ledger) Plan(q Question) (plan.Plan, []Pause) {
	l.mu.Lock()
	defer l.mu.Unlock()
	// In here, so that a later view of the Jobs is never followed by an
	// earlier one, of which the history would forget what it lacks.
	jobs := l.jobs()
	key := poolKey{q.Organization.String(), q.Snapshot.Pool.ID}
	p := l.pools[key]
	if p == nil {
		p = &page{}
		l.pools[key] = p
	}
	in := plan.Input{Snapshot: q.Snapshot, Jobs: planJobs(jobs, q.Groups, q.Snapshot)}
	p.history.Observe(q.Snapshot, in.Jobs)
	in.Held = p.history.Held
	var pauses []Pause
	for _, group := range q.Groups {
		pause := l.pause(group.Key, jobs, &p.history)
		group.Blocked = pause.Reason
		in.Groups = append(in.Groups, group)
		pauses = append(pauses, pause)
	}
	p.at = time.Now()
	if q.ParallelJobs != nil {
		free := q.ParallelJobs.Limit - q.ParallelJobs.Used - l.claimedBeside(key)
		in.ParallelJobs = &free
	}
	made := plan.Make(in)
	p.claimed = 0
	for _, group := range made.Groups {
		p.claimed += group.Queued
	}
	return made, pauses
}

// claimedBeside is what the other pools of the organization have claimed.
func (l *Ledger) claimedBeside(key poolKey) int {
	claimed := 0
	for other, p := range l.pools {
		if other.organization == key.organization && other != key && time.Since(p.at) < promiseFor {
			claimed += p.claimed
		}
	}
	return claimed
}

func (l *Ledger) pause(key plan.Key, jobs []Job, history *plan.History) Pause {
	own := slices.DeleteFunc(slices.Clone(jobs), func(job Job) bool {
		return job.Namespace != key.Namespace || job.ScaledJob != key.Name
	})
	b := l.backoffs[key]
	if b == nil {
		b = &backoff{}
		l.backoffs[key] = b
	}
	failures := b.failures
	b.observe(own, history.Held)
	reason := b.blocked(time.Now())
	return Pause{Key: key, Until: b.until, Reason: reason, New: reason != "" && b.failures != failures}
}

// planJobs are the Jobs of the groups, with the agents that the snapshot shows
// of them.
func planJobs(all []Job, groups map[plan.Key]plan.Group, snapshot *adoqueue.Snapshot) []plan.Job {
	agents := map[string][]string{}
	for i := range snapshot.Requests {
		if name := snapshot.Requests[i].Agent; name != "" {
			prefix := PrefixOfPod(name)
			agents[prefix] = append(agents[prefix], name)
		}
	}
	var jobs []plan.Job
	for _, job := range all {
		key := plan.Key{Namespace: job.Namespace, Name: job.ScaledJob}
		if _, ok := groups[key]; ok {
			jobs = append(jobs, plan.Job{
				UID: job.UID, Group: key, Agents: agents[job.PodPrefix()], Created: job.Created, Ended: job.Ended,
			})
		}
	}
	return jobs
}
