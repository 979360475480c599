package housekeeping

import (
	"context"
	"errors"
	"time"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue"
)

const (
	// lookEvery is the time between two looks at what has not changed.
	lookEvery = time.Minute
	// firstPause is the time until the next look after one that failed; it
	// doubles up to lookEvery.
	firstPause = 5 * time.Second
	// refusedFor is the time until the next look after Azure DevOps has refused
	// the credential. Somebody has to give it a right first.
	refusedFor = 10 * time.Minute
	// lookWithin bounds one look.
	lookWithin = 2 * time.Minute
)

// pool is a pool that is kept.
type pool struct {
	*organization
	adoqueue.Pool
	members []Member
	memory  *memory

	next    time.Time     // when to look
	pause   time.Duration // after a failure, 0 if there was none
	refused bool          // the credential was refused, and that has been told
	told    map[string]bool
}

// refusal tells whether an error will come again until somebody gives the
// credential a right.
func refusal(err error) bool {
	return errors.Is(err, adoqueue.ErrForbidden) || errors.Is(err, adoqueue.ErrUnauthorized)
}

// outOfReach tells whether the next request will fail as well.
func outOfReach(err error) bool {
	return refusal(err) || errors.Is(err, adoqueue.ErrThrottled) || errors.Is(err, adoqueue.ErrUnavailable) ||
		errors.Is(err, adoqueue.ErrPoolNotFound) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}

// look looks at the pool, does what there is to do, and says when to look again.
func (p *pool) look(ctx context.Context, complete bool) {
	now := time.Now()
	within, cancel := context.WithTimeout(ctx, lookWithin)
	defer cancel()
	err := p.tidy(within, &look{
		memory: p.memory, settings: p.Settings, owner: p.Owner, now: now, members: p.members, keep: !complete,
	})
	switch {
	case ctx.Err() != nil:
	case err == nil:
		p.next, p.pause, p.refused = now.Add(lookEvery), 0, false
	case refusal(err):
		p.next = now.Add(refusedFor)
		if !p.refused {
			p.refused = true
			p.refusedToManage(p, err)
		}
	default:
		if p.pause == 0 {
			p.cannotManage(p, err)
		}
		p.pause = min(max(2*p.pause, firstPause), lookEvery)
		p.next = now.Add(p.pause)
	}
}

// tidy does what there is to do. It goes on after what fails for one agent
// alone.
func (p *pool) tidy(ctx context.Context, l *look) error {
	l.begin(p.Cluster.Jobs()) // before the agents: see there
	agents, err := p.client.Agents(ctx, p.Pool)
	if err != nil {
		return err
	}
	l.list(agents)
	if err := p.read(ctx, l); err != nil {
		return err
	}
	l.settle()
	told := map[string]bool{}
	var failures []error
	for _, a := range l.decide() {
		if a.kind == nameTaken || p.DryRun {
			told[a.id()] = true
			if !p.told[a.id()] {
				p.wouldDo(p, &a)
			}
			continue
		}
		done, err := p.carryOut(ctx, l, &a)
		switch {
		case err != nil:
			p.metrics.did(p, a.kind, failed)
			failures = append(failures, err)
		case done:
			p.didDo(p, &a)
		}
		if outOfReach(err) {
			break
		}
	}
	p.told = told
	return errors.Join(failures...)
}

// read reads the marks that the look needs.
func (p *pool) read(ctx context.Context, l *look) error {
	for _, id := range l.unread() {
		agent, err := p.client.Agent(ctx, p.Pool, id)
		switch {
		case errors.Is(err, adoqueue.ErrAgentNotFound):
			l.drop(id)
		case err != nil:
			return err
		default:
			l.learn(&agent)
		}
	}
	return nil
}

// carryOut does one thing. It is not done if somebody else was faster.
func (p *pool) carryOut(ctx context.Context, l *look, a *action) (done bool, err error) {
	switch a.kind {
	case addPlaceholder:
		var added adoqueue.Agent
		if added, err = p.client.AddAgent(ctx, p.Pool, newPlaceholder(p.Owner, a.capabilities)); err == nil {
			l.agents[added.ID] = &record{
				identity: placeholder, of: a.scaledJobs, user: placeholderCapabilities(p.Owner, a.capabilities), readAt: l.now,
			}
		}
	case mendPlaceholder:
		user := placeholderCapabilities(p.Owner, a.capabilities)
		if err = p.client.SetAgentCapabilities(ctx, p.Pool, a.agent.ID, user); err == nil {
			l.agents[a.agent.ID].user = user
		}
	case markAgent:
		return p.mark(ctx, l, a)
	case removePlaceholder, removeAgent:
		return p.remove(ctx, l, a)
	case nameTaken: // is only told
	}
	return settled(err)
}

// mark keeps the user capabilities that the agent has.
func (p *pool) mark(ctx context.Context, l *look, a *action) (done bool, err error) {
	now, err := p.client.Agent(ctx, p.Pool, a.agent.ID)
	if err != nil {
		return settled(err)
	}
	known := l.agents[a.agent.ID]
	if err := p.client.SetAgentCapabilities(ctx, p.Pool, now.ID, markLeft(p.Owner, known.of, now.User)); err != nil {
		return settled(err)
	}
	known.marked = true
	return true, nil
}

// remove looks once more at the agent, which may have come back.
func (p *pool) remove(ctx context.Context, l *look, a *action) (done bool, err error) {
	now, err := p.client.Agent(ctx, p.Pool, a.agent.ID)
	if err != nil {
		return settled(err)
	}
	if a.kind == removePlaceholder {
		l.learn(&now)
		if l.agents[now.ID].identity != placeholder { // somebody has taken it over
			return false, nil
		}
	}
	if now.Online || now.Request != 0 || now.Name != a.agent.Name {
		return false, nil
	}
	return settled(p.client.RemoveAgent(ctx, p.Pool, now.ID))
}

// settled makes no failure of what somebody else has done already; the next look
// shows it.
func settled(err error) (done bool, other error) {
	if errors.Is(err, adoqueue.ErrAgentExists) || errors.Is(err, adoqueue.ErrAgentNotFound) || errors.Is(err, adoqueue.ErrAgentBusy) {
		return false, nil
	}
	return err == nil, err
}
