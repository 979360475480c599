package engine

import (
	"context"
	"errors"
	"time"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/fleet"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/plan"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/warm"
)

// waitingAge is how old the snapshot may be from which WaitingGroups are found.
const waitingAge = 5 * time.Second

// IdleGroup is a ScaledJob, and its Jobs that wait for a request.
type IdleGroup struct {
	Key          plan.Key
	Organization adoqueue.OrganizationURL
	Pool         adoqueue.Pool
	// Level is that of the period now, and Changed is when an edit changed it, or the
	// schedule in the last minute, whichever was later.
	Level   warm.Level
	Changed time.Time
	// Needed is how many waiting Jobs it takes: the idle ones, and one for each
	// queued request.
	Needed int
	// Spare is how many Jobs there are beyond minReplicaCount.
	Spare int
	// Waiting are the oldest first.
	Waiting []IdleJob
}

// IdleJob is a Job that waits for a request.
type IdleJob struct {
	Job fleet.Job
	// Agents are the names of its pods, which are those of their agents.
	Agents []string
	// Retired reports that another Job is created in its place.
	Retired bool
}

// IdleGroups returns the ScaledJobs that keep idle agents, from decisions that are
// no older than those that KEDA gets. Pools that cannot be read now are left out;
// the error says which.
func (e *Engine) IdleGroups(ctx context.Context) ([]IdleGroup, error) {
	return e.groups(ctx, e.options.MaxAge, (*member).knowsIdle)
}

// WaitingGroups returns the ScaledJobs of our launcher that have Jobs, whether they
// keep idle agents or not, from decisions that may be some seconds old. Pools that
// cannot be read now are left out; the error says which.
func (e *Engine) WaitingGroups(ctx context.Context) ([]IdleGroup, error) {
	return e.groups(ctx, max(waitingAge, e.options.MaxAge), func(m *member) bool { return m.counts() && m.scaledJob.Launcher })
}

// groups returns the ScaledJobs that have Jobs and that are wanted.
func (e *Engine) groups(ctx context.Context, maxAge time.Duration, wanted func(*member) bool) ([]IdleGroup, error) {
	if e.options.Cluster == nil {
		return nil, nil
	}
	var groups []IdleGroup
	var failures []error
	for ref, pool := range e.poolsOf(wanted) {
		ctx, cancel := context.WithTimeout(ctx, e.options.Timeout)
		decision, p, err := e.recent(ctx, ref, pool, maxAge)
		cancel()
		if err != nil {
			failures = append(failures, err)
			continue
		}
		groups = append(groups, e.groupsOf(p, decision, wanted)...)
	}
	return groups, errors.Join(failures...)
}

// poolsOf returns the pools with a wanted ScaledJob that has Jobs, by how its
// trigger names them.
func (e *Engine) poolsOf(wanted func(*member) bool) map[poolRef]adoqueue.PoolRef {
	pools := map[poolRef]adoqueue.PoolRef{}
	e.mu.RLock()
	defer e.mu.RUnlock()
	for key, m := range e.members {
		if wanted(m) && len(e.options.Cluster.JobsOf(key)) > 0 {
			pools[refOf(m.trigger)] = m.trigger.Pool
		}
	}
	return pools
}

// counts reports whether a member has a part in the decisions about its pool.
func (m *member) counts() bool {
	return m.group != nil && !m.gone && !m.unresolved && m.trigger != nil
}

// knowsIdle reports whether it is known how many idle agents a member keeps. One that
// has kept some before an edit keeps none now.
func (m *member) knowsIdle() bool {
	return m.counts() && (keepsIdle(m.trigger) || !m.levelChanged.IsZero())
}

// recent returns the decision about a pool from a snapshot that did not fail.
func (e *Engine) recent(ctx context.Context, ref poolRef, of adoqueue.PoolRef, maxAge time.Duration) (*Decision, *pool, error) {
	o := e.organizations[ref.organization]
	snapshot, err := o.queue.Snapshot(ctx, of, maxAge)
	if err == nil {
		err = snapshot.Err
	}
	if err != nil {
		return nil, nil, err
	}
	p := e.poolOf(o, snapshot.Pool)
	d, err := e.decide(ctx, p, snapshot)
	return d, p, err
}

func (e *Engine) groupsOf(p *pool, d *Decision, wanted func(*member) bool) []IdleGroup {
	taken := map[plan.Key]int{} // waiting Jobs that have a request to take
	for _, verdict := range d.Plan.Requests {
		if verdict.Outcome == plan.ByWaitingJob {
			taken[verdict.Group]++
		}
	}
	var groups []IdleGroup
	p.deciding.Lock() // guards what the input refers to
	defer p.deciding.Unlock()
	for i := range d.Groups {
		key := d.Groups[i].Key
		m := e.member(key)
		if m == nil || !wanted(m) {
			continue
		}
		has := d.Plan.Groups[key]
		settings := idleSettings(m.trigger, 0)
		changed := settings.LastChange(d.MadeAt.Add(-time.Minute), d.MadeAt)
		if m.levelChanged.After(changed) {
			changed = m.levelChanged
		}
		groups = append(groups, IdleGroup{
			Key: key, Organization: p.organization.url, Pool: d.Snapshot.Pool, Level: settings.Level(d.MadeAt), Changed: changed,
			Needed: has.Idle + taken[key], Spare: has.Unfinished - m.group.MinReplicas, Waiting: e.idleJobs(d, key),
		})
	}
	return groups
}

func (e *Engine) idleJobs(d *Decision, key plan.Key) []IdleJob {
	known := map[string]fleet.Job{}
	for _, job := range e.options.Cluster.JobsOf(key) {
		known[job.UID] = job
	}
	var jobs []IdleJob
	for _, waiting := range plan.Waiting(d.input, key) {
		// A Job that runs its second pod has another UID here: it counts, but it is
		// nobody's to delete.
		job := known[waiting.UID]
		jobs = append(jobs, IdleJob{Job: job, Agents: waiting.Agents, Retired: waiting.Retired})
	}
	return jobs
}

// ObserveStartup takes in how long the agent of a ScaledJob took to start, from
// the creation of its Job on.
func (e *Engine) ObserveStartup(group IdleGroup, took time.Duration) {
	p := e.poolOf(e.organizations[group.Organization], group.Pool)
	p.deciding.Lock()
	defer p.deciding.Unlock()
	p.startupsOf(group.Key).add(took)
}
