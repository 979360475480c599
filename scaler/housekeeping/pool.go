package housekeeping

import (
	"context"
	"errors"
	"time"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue"
)

// reconcileTimeout bounds one reconciliation of a pool.
const reconcileTimeout = 2 * time.Minute

// poolKeeper keeps one pool.
type poolKeeper struct {
	options      *Options
	reporter     reporter
	organization string // its URL
	client       *adoqueue.Client
	pool         adoqueue.Pool

	members  []Member
	memory   *memory
	schedule schedule
	// reported are the actions that the last reconciliation reported instead of
	// executing them, by their ID.
	reported map[string]bool
}

func newPoolKeeper(o *organizationKeeper, pool adoqueue.Pool, now time.Time) *poolKeeper {
	return &poolKeeper{
		options: o.options, reporter: o.reporter, organization: o.url, client: o.client, pool: pool,
		memory: newMemory(), schedule: schedule{next: now},
	}
}

// reconcile observes the pool, executes what has to be done, and schedules the
// next reconciliation.
func (p *poolKeeper) reconcile(ctx context.Context, membersIncomplete bool) {
	now := time.Now()
	limited, cancel := context.WithTimeout(ctx, reconcileTimeout)
	defer cancel()
	o, err := p.observe(limited, now, membersIncomplete)
	if err == nil {
		err = p.executeAll(limited, o)
	}
	if ctx.Err() != nil {
		return
	}
	if first := p.schedule.update(now, err); first {
		p.reportFailure(err)
	}
}

// observe lists the agents of the pool and reads those whose marks are needed.
func (p *poolKeeper) observe(ctx context.Context, now time.Time, membersIncomplete bool) (*observation, error) {
	p.memory.refreshMembers(p.members, now)
	o := &observation{
		memory: p.memory, settings: p.options.Settings, owner: p.options.Owner,
		now: now, members: p.members, membersIncomplete: membersIncomplete,
	}
	// The Jobs come first: an agent that is listed after its Job has ended was
	// left behind.
	o.setJobs(jobsOf(p.options.Cluster, p.memory.recentMembers))
	agents, err := p.client.Agents(ctx, p.pool)
	if err != nil {
		return nil, err
	}
	o.setAgents(agents)
	for _, id := range o.agentsToRead() {
		agent, err := p.client.Agent(ctx, p.pool, id)
		switch {
		case errors.Is(err, adoqueue.ErrAgentNotFound):
			o.removeAgent(id)
		case err != nil:
			return nil, err
		default:
			o.recordAgent(&agent)
		}
	}
	for name, id := range o.modelsToRead() {
		agent, err := p.client.Agent(ctx, p.pool, id)
		switch {
		case errors.Is(err, adoqueue.ErrAgentNotFound): // the next one then
		case err != nil:
			return nil, err
		default:
			o.setModel(name, &agent)
		}
	}
	o.trackUnused()
	return o, nil
}

// executeAll executes what the observation calls for. A failure that concerns
// one agent alone does not prevent the other actions.
func (p *poolKeeper) executeAll(ctx context.Context, o *observation) error {
	reported := map[string]bool{}
	var failures []error
	for _, a := range o.decide() {
		if a.kind == nameTaken || p.options.Settings.DryRun {
			reported[a.id()] = true
			if !p.reported[a.id()] {
				p.reportNotDone(&a)
			}
			continue
		}
		done, err := p.execute(ctx, o, &a)
		switch {
		case err != nil:
			p.countAction(&a, outcomeFailed)
			failures = append(failures, err)
		case done:
			p.reportDone(&a)
		}
		if affectsPool(err) {
			break
		}
	}
	p.reported = reported
	return errors.Join(failures...)
}

// execute executes one action. It returns false if somebody else was faster.
func (p *poolKeeper) execute(ctx context.Context, o *observation, a *action) (done bool, err error) {
	switch a.kind {
	case addPlaceholder:
		var added adoqueue.Agent
		if added, err = p.client.AddAgent(ctx, p.pool, newPlaceholder(p.options.Owner, a.capabilities, a.system)); err == nil {
			o.memory.agents[added.ID] = &agentRecord{
				identity: placeholder, scaledJobs: a.scaledJobs, readAt: o.now, system: a.system,
				userCapabilities: placeholderCapabilities(p.options.Owner, a.capabilities),
			}
		}
	case updatePlaceholder:
		user := placeholderCapabilities(p.options.Owner, a.capabilities)
		if err = p.client.SetAgentCapabilities(ctx, p.pool, a.agent.ID, user); err == nil {
			o.memory.agents[a.agent.ID].userCapabilities = user
		}
	case modelPlaceholder:
		if err = p.client.ReplaceAgent(ctx, p.pool, a.agent.ID, newPlaceholder(p.options.Owner, a.capabilities, a.system)); err == nil {
			o.memory.agents[a.agent.ID].system = a.system
		}
	case markAgent:
		return p.mark(ctx, o, a)
	case removePlaceholder, removeAgent:
		return p.remove(ctx, o, a)
	case nameTaken: // can only be reported
	}
	return tolerateRace(err)
}

// mark adds the marks of a leftover agent to the user capabilities that the
// agent has.
func (p *poolKeeper) mark(ctx context.Context, o *observation, a *action) (done bool, err error) {
	current, err := p.client.Agent(ctx, p.pool, a.agent.ID)
	if err != nil {
		return tolerateRace(err)
	}
	record := o.memory.agents[a.agent.ID]
	marked := withLeftoverMarks(p.options.Owner, record.scaledJobs, current.User)
	if err := p.client.SetAgentCapabilities(ctx, p.pool, current.ID, marked); err != nil {
		return tolerateRace(err)
	}
	record.marked = true
	return true, nil
}

// remove reads the agent once more before it removes it, because the agent may
// have come back online.
func (p *poolKeeper) remove(ctx context.Context, o *observation, a *action) (done bool, err error) {
	current, err := p.client.Agent(ctx, p.pool, a.agent.ID)
	if err != nil {
		return tolerateRace(err)
	}
	if a.kind == removePlaceholder {
		o.recordAgent(&current)
		if o.memory.agents[current.ID].identity != placeholder { // somebody has removed our mark
			return false, nil
		}
	}
	if current.Online || current.Request != 0 || current.Name != a.agent.Name {
		return false, nil
	}
	return tolerateRace(p.client.RemoveAgent(ctx, p.pool, current.ID))
}

// tolerateRace ignores errors that mean that somebody else has changed the agent
// meanwhile; the next observation shows the result.
func tolerateRace(err error) (done bool, other error) {
	if errors.Is(err, adoqueue.ErrAgentExists) || errors.Is(err, adoqueue.ErrAgentNotFound) || errors.Is(err, adoqueue.ErrAgentBusy) {
		return false, nil
	}
	return err == nil, err
}
