package housekeeping

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"go.uber.org/zap"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/engine"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/fleet"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/plan"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/warm"
)

const (
	// idleInterval is the time between two reconciliations of the idle agents.
	idleInterval = 5 * time.Second
	// afterPeriod is how long agents have to be too many after a change of the period
	// until they are ended, and spareFor how long at other times: the next job may
	// need them.
	afterPeriod = 15 * time.Second
	spareFor    = 5 * time.Minute
	// periodJustChanged is how long after its change a period is to blame for what is
	// too much.
	periodJustChanged = time.Minute
)

// Idle are the ScaledJobs that keep idle agents; *engine.Engine is one.
type Idle interface {
	IdleGroups(ctx context.Context) ([]engine.IdleGroup, error)
	// WaitingGroups returns the ScaledJobs of our launcher that have Jobs.
	WaitingGroups(ctx context.Context) ([]engine.IdleGroup, error)
	// ObserveStartup takes in how long an agent took to start.
	ObserveStartup(group engine.IdleGroup, took time.Duration)
}

// idleAgents ends idle agents that are replaced or not needed any more, by deleting
// their Jobs. Their launcher then leaves the pool, unless Azure DevOps has given it
// a job meanwhile, which it finishes first.
type idleAgents struct {
	options  *Options
	reporter reporter

	excess  map[plan.Key]*excess
	started map[string]bool // UIDs of Jobs whose agents were observed to be ready
	dryRun  map[string]bool // UIDs of Jobs that were reported
	failing bool
}

func newIdleAgents(k *Keeper) *idleAgents {
	return &idleAgents{options: &k.options, reporter: k.reporter, excess: map[plan.Key]*excess{}, started: map[string]bool{}}
}

// excess is by how much a ScaledJob's idle agents are too many.
type excess struct {
	level   warm.Level
	changed time.Time // when the level did, zero if that was before it is known
	known   bool
	since   time.Time // zero if there are not too many
	least   int       // at any time since then
}

// update takes in how many agents are too many now, and returns how many were for
// long enough.
func (x *excess) update(g *engine.IdleGroup, now time.Time, tooMany int) int {
	switch {
	case !x.known: // a new leader knows of the schedule alone
		x.known, x.level, x.changed = true, g.Level, g.Changed
	case x.level != g.Level:
		x.level, x.changed, x.since = g.Level, now, time.Time{}
	}
	switch {
	case tooMany <= 0:
		x.since = time.Time{}
		return 0
	case x.since.IsZero():
		x.since, x.least = now, tooMany
	default:
		x.least = min(x.least, tooMany)
	}
	wait := spareFor
	if x.since.Sub(x.changed) <= periodJustChanged {
		wait = afterPeriod
	}
	if now.Sub(x.since) < wait {
		return 0
	}
	return x.least
}

// reconcile is called every idleInterval.
func (a *idleAgents) reconcile(ctx context.Context) {
	groups, err := a.options.Idle.IdleGroups(ctx)
	now := time.Now()
	seen, waiting := map[plan.Key]*excess{}, map[string]bool{}
	pools := newPoolAgents(a.options)
	failures := []error{err}
	incomplete := err != nil
	for i := range groups {
		g := &groups[i]
		if seen[g.Key] = a.excess[g.Key]; seen[g.Key] == nil {
			seen[g.Key] = &excess{}
		}
		for j := range g.Waiting {
			waiting[g.Waiting[j].Job.UID] = true
		}
		tooMany := seen[g.Key].update(g, now, unretired(g)-g.Needed)
		if tooMany == 0 && unretired(g) == len(g.Waiting) {
			continue
		}
		agents, err := pools.of(ctx, g)
		if agents == nil {
			failures = append(failures, err)
			continue
		}
		a.observeStartups(g, agents)
		failures = append(failures, a.end(ctx, g, dismissed(g, tooMany, agents)))
	}
	if incomplete { // what is known of the pools that cannot be read is kept
		maps.Copy(a.excess, seen)
	} else {
		a.excess = seen
	}
	maps.DeleteFunc(a.started, func(uid string, _ bool) bool { return !waiting[uid] })
	maps.DeleteFunc(a.dryRun, func(uid string, _ bool) bool { return !waiting[uid] })
	a.report(ctx, errors.Join(failures...))
}

func (a *idleAgents) report(ctx context.Context, err error) {
	if ctx.Err() != nil {
		return
	}
	if err != nil && !a.failing {
		a.reporter.logger.Warn("ending idle agents failed; retried automatically", zap.Error(err))
	}
	a.failing = err != nil
}

// unretired is how many of a group's Jobs are not replaced.
func unretired(g *engine.IdleGroup) int {
	n := 0
	for i := range g.Waiting {
		if !g.Waiting[i].Retired {
			n++
		}
	}
	return n
}

// state is what an agent of a Job is in its pool.
type state int

const (
	starting state = iota // it is not there yet
	ready                 // it waits for a job
	working               // it has a job
)

func stateOf(job *engine.IdleJob, agents map[string]adoqueue.Agent) (state, adoqueue.Agent) {
	names := job.Agents
	if base := job.Job.PodBase(); len(names) == 0 && base == job.Job.Name+"-" { // else it may be that of several Jobs
		names = []string{base} // its pod is not in view
	}
	for _, name := range names {
		switch agent, ok := agents[name]; {
		case !ok:
		case agent.Request != 0:
			return working, agent
		case agent.Online && agent.Enabled:
			return ready, agent
		}
	}
	return starting, adoqueue.Agent{}
}

// observeStartups reports how long the agents took that are there now.
func (a *idleAgents) observeStartups(g *engine.IdleGroup, agents map[string]adoqueue.Agent) {
	for i := range g.Waiting {
		job := &g.Waiting[i]
		s, agent := stateOf(job, agents)
		unknown := job.Job.UID == "" // one that runs its second pod
		if s != ready || unknown || agent.StatusChanged.IsZero() || a.started[job.Job.UID] {
			continue
		}
		a.started[job.Job.UID] = true
		a.options.Idle.ObserveStartup(*g, agent.StatusChanged.Sub(job.Job.Created))
	}
}

// dismissed returns the Jobs to delete: those that are retired, once enough others
// are ready, and of the rest as many as are too many, those first that are not
// ready yet.
func dismissed(g *engine.IdleGroup, tooMany int, agents map[string]adoqueue.Agent) []fleet.Job {
	var retired, notReady, idle []fleet.Job
	readyNow, staying := 0, 0
	for i := range g.Waiting {
		job := &g.Waiting[i]
		s, _ := stateOf(job, agents)
		if !job.Retired {
			staying++
		}
		if s == ready && !job.Retired {
			readyNow++
		}
		switch {
		case s == working, !job.Job.Launcher:
		case job.Retired:
			retired = append(retired, job.Job)
		case s == ready:
			idle = append(idle, job.Job)
		default:
			notReady = append(notReady, job.Job)
		}
	}
	if readyNow < g.Needed {
		retired = nil
	}
	rest := slices.Concat(notReady, idle)
	rest = rest[:max(0, min(tooMany, staying-g.Needed, len(rest)))]
	all := slices.Concat(retired, rest)
	return all[:max(0, min(len(all), g.Spare))]
}

// end deletes Jobs.
func (a *idleAgents) end(ctx context.Context, g *engine.IdleGroup, jobs []fleet.Job) error {
	var failures []error
	for _, job := range jobs {
		if a.options.Settings.DryRun {
			a.reportDryRun(g, &job)
			continue
		}
		outcome := outcomeDone
		if err := a.options.Pods.Delete(ctx, job); err != nil {
			failures = append(failures, err)
			outcome = outcomeFailed
		}
		a.count(g, outcome)
		if outcome == outcomeDone {
			a.reporter.logger.Debug("ended an idle agent", zap.Stringer("scaledJob", g.Key), zap.String("job", job.Name))
		}
	}
	return errors.Join(failures...)
}

func (a *idleAgents) reportDryRun(g *engine.IdleGroup, job *fleet.Job) {
	if a.dryRun[job.UID] {
		return
	}
	if a.dryRun == nil {
		a.dryRun = map[string]bool{}
	}
	a.dryRun[job.UID] = true
	a.count(g, outcomeDryRun)
	a.reporter.note("IdleAgentEnded", "dry run: would end the idle agent of Job "+job.Name, g.Key)
}

func (a *idleAgents) count(g *engine.IdleGroup, outcome string) {
	a.reporter.metrics.countAction(g.Organization.String(), g.Pool.Name, "end_idle", outcome)
}
