package engine

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/fleet"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/plan"
)

// pool is the state of one agent pool.
type pool struct {
	organization *organization
	id           int
	// generation counts the changes of what a decision is made from besides the
	// snapshot.
	generation atomic.Uint64
	current    atomic.Pointer[Decision]

	// deciding guards what follows.
	deciding sync.Mutex
	name     string // in lower case
	history  plan.History
	backoffs map[plan.Key]*backoff
	startups map[plan.Key]*startups
	unknown  unknownAgents
	// matcher is for the groups of the members as they were last.
	matcher *plan.Matcher
	members []*member
}

// Decision is what every ScaledJob of a pool gets, and why. It is never changed.
type Decision struct {
	// Snapshot is what it was made from; MadeAt is when.
	Snapshot     *adoqueue.Snapshot
	MadeAt       time.Time
	Plan         plan.Plan
	Organization adoqueue.OrganizationURL
	// Backoffs are those of ScaledJobs whose last Jobs failed before accepting work.
	Backoffs map[plan.Key]Backoff
	// Groups are the ScaledJobs of the plan, and Jobs those of each; the Jobs are
	// shared with the view of Kubernetes.
	Groups []plan.Group
	Jobs   [][]fleet.Job
	// Unused are Jobs that have ended and never took a request, by UID.
	Unused map[string]plan.Key
	// Blocks are why ScaledJobs get no new Jobs.
	Blocks map[plan.Key]Block
	// Strays are agents that belong to no Job and hold requests which the waiting
	// Jobs of these ScaledJobs were made for; see warnOfUnknownAgents.
	Strays map[plan.Key]string
	// ParallelJobs is how many more jobs the organization could start, nil if that is
	// no bound.
	ParallelJobs *int
	// Busy reports whether agents may take requests before the next poll.
	Busy bool

	input      plan.Input
	generation uint64
	claims     uint64
	until      time.Time // when it would be another, if nothing else changes
}

// poolOf returns the state of a pool.
func (e *Engine) poolOf(o *organization, of adoqueue.Pool) *pool {
	byID, byName := poolRef{organization: o.url, id: of.ID}, poolRef{organization: o.url, name: strings.ToLower(of.Name)}
	e.mu.RLock()
	p := e.pools[byID]
	known := p != nil && (of.Name == "" || e.pools[byName] == p)
	e.mu.RUnlock()
	if known {
		return p
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if p = e.pools[byID]; p == nil {
		p = &pool{organization: o, id: of.ID, backoffs: map[plan.Key]*backoff{}}
		e.pools[byID] = p
	}
	if of.Name != "" {
		e.pools[byName] = p
		p.generation.Add(1) // members may name it so
	}
	return p
}

// holds reports whether the decision is what would be made now. An older snapshot
// than its own is useless: the decision has seen more.
func (d *Decision) holds(p *pool, snapshot *adoqueue.Snapshot) bool {
	return d != nil && !snapshot.RequestedAt.After(d.Snapshot.RequestedAt) &&
		d.generation == p.generation.Load() && d.claims == p.organization.claims.generation.Load() &&
		(d.until.IsZero() || time.Now().Before(d.until))
}

// decide returns the decision about a pool. The error is the context's.
func (e *Engine) decide(ctx context.Context, p *pool, snapshot *adoqueue.Snapshot) (*Decision, error) {
	if d := p.current.Load(); d.holds(p, snapshot) {
		return d, nil
	}
	p.deciding.Lock()
	defer p.deciding.Unlock()
	if err := ctx.Err(); err != nil { // nobody waits for it any more
		return nil, err
	}
	last := p.current.Load()
	if last.holds(p, snapshot) {
		return last, nil
	}
	if last != nil && snapshot.RequestedAt.Before(last.Snapshot.RequestedAt) {
		snapshot = last.Snapshot
	}
	parallel, err := e.parallelJobs(ctx, p.organization, snapshot)
	if err != nil {
		return nil, err
	}
	d := &Decision{
		Snapshot: snapshot, MadeAt: time.Now(), Organization: p.organization.url,
		Backoffs: map[plan.Key]Backoff{}, Blocks: map[plan.Key]Block{},
		// Before anything is read that it counts the changes of.
		generation: p.generation.Load(),
	}
	e.refreshMembers(p, snapshot.Pool, d.MadeAt)
	jobs, all := e.jobsOf(p, snapshot)
	in := plan.Input{Snapshot: snapshot, Matcher: p.matcher, Jobs: all, Groups: make([]plan.Group, 0, len(p.members))}
	p.observeStartups(snapshot, in.Jobs)
	p.history.Observe(snapshot, in.Matcher, in.Jobs)
	in.Held, in.Swaps = p.history.Held, p.history.Swaps()
	for i, m := range p.members {
		g := e.blocked(p, d, m, jobs[i])
		e.keepWarm(p, d, m, &g)
		in.Groups = append(in.Groups, g)
	}
	retired := e.retire(p, d, jobs, &in)
	p.organization.claims.bound(&in, d, p, parallel)
	d.Plan, d.input = plan.Make(in), in
	d.Groups, d.ParallelJobs = in.Groups, in.ParallelJobs
	for i := range jobs {
		d.Jobs = append(d.Jobs, jobs[i].jobs)
	}
	d.Unused = p.unused(snapshot, jobs)
	d.Busy = busy(d.Plan, retired)
	if parallel != nil {
		p.organization.claims.claim(d, p)
	}
	e.warnOfUnknownAgents(p, d, jobs)
	p.current.Store(d)
	if e.options.Observer != nil {
		e.options.Observer.Decided(d)
	}
	return d, nil
}

// busy reports whether agents may take requests before the next poll. Idle
// agents may wait for hours, and some are retired.
func busy(made plan.Plan, retired map[plan.Key]int) bool {
	for key, has := range made.Groups {
		if has.Queued > 0 || has.Waiting-retired[key] > has.Idle {
			return true
		}
	}
	return false
}

// refreshMembers finds the members of the pool, and makes a new Matcher if they
// are not those of the last decision. One that is unresolved is none any more once
// it is known that KEDA does not ask for it: its Jobs would stand in for requests
// of others forever.
func (e *Engine) refreshMembers(p *pool, of adoqueue.Pool, now time.Time) {
	p.name = strings.ToLower(of.Name)
	var members []*member
	e.mu.RLock()
	for _, ref := range []poolRef{{organization: p.organization.url, id: p.id}, {organization: p.organization.url, name: p.name}} {
		if ref.id == 0 && ref.name == "" {
			continue
		}
		for _, m := range e.byPool[ref] {
			if m.group != nil {
				members = append(members, m)
			}
		}
	}
	for _, m := range e.unplaced {
		members = append(members, m)
	}
	e.mu.RUnlock()
	members = slices.DeleteFunc(members, func(m *member) bool { return m.unresolved && now.After(e.pollingUntil(m)) })
	slices.SortFunc(members, func(a, b *member) int {
		return cmp.Or(cmp.Compare(a.group.Namespace, b.group.Namespace), cmp.Compare(a.group.Name, b.group.Name))
	})
	same := slices.EqualFunc(members, p.members, func(a, b *member) bool { return a.group == b.group })
	p.members = members
	if p.matcher != nil && same {
		return
	}
	groups := make([]plan.Group, len(members))
	for i, m := range members {
		groups[i] = *m.group
		if _, ok := p.backoffs[m.group.Key]; !ok {
			p.backoffs[m.group.Key] = &backoff{}
		}
	}
	if len(p.backoffs) > len(members) {
		for key := range p.backoffs {
			if !slices.ContainsFunc(members, func(m *member) bool { return m.group.Key == key }) {
				delete(p.backoffs, key)
				delete(p.startups, key)
			}
		}
	}
	p.matcher = plan.NewMatcher(groups)
}

// blocked returns a member's group with the reason why it gets no new Jobs now,
// if there is one.
func (e *Engine) blocked(p *pool, d *Decision, m *member, jobs memberJobs) plan.Group {
	g, now := *m.group, d.MadeAt
	back := p.backoffs[g.Key]
	failed := back.observe(jobs.jobs, p.history.Held)
	if back.failures > 0 {
		d.Backoffs[g.Key] = Backoff{Failures: back.failures, Until: back.until}
	}
	asking := e.pollingUntil(m)
	if m.unresolved {
		d.expire(asking)
	}
	block := func(cause BlockCause, reason string) {
		g.Blocked = reason
		d.Blocks[g.Key] = Block{Cause: cause}
	}
	switch reason := back.blocked(now); {
	case m.gone:
		block(Deleting, "was deleted")
		if jobs.unfinished == 0 {
			e.forget(m)
		}
	case m.unresolved:
		block(Unresolved, "has values that KEDA has not sent yet")
	case m.problem != "":
		block(Invalid, "cannot work, see its events")
	case m.scaledJob.Deleting:
		block(Deleting, "is being deleted")
	case m.scaledJob.Paused:
		block(Paused, "is paused")
	case now.After(asking):
		block(NotPolled, "is not asked for by KEDA")
		m.polls.block()
	case reason != "":
		g.Blocked = "is held back: " + reason
		d.expire(back.until)
		d.Blocks[g.Key] = Block{Cause: HeldBack, Until: back.until, Job: back.job}
		if failed {
			e.warnOfFailures(m, reason)
		}
	default:
		d.expire(asking)
	}
	return g
}

// expire makes the decision hold no longer than until then.
func (d *Decision) expire(then time.Time) {
	if d.until.IsZero() || then.Before(d.until) {
		d.until = then
	}
}

func (e *Engine) warnOfFailures(m *member, reason string) {
	key := m.scaledJob.Key
	e.options.Logger.Warn("a ScaledJob is held back", zap.String("namespace", key.Namespace), zap.String("name", key.Name),
		zap.String("reason", reason))
	e.options.Cluster.Warn(key.Namespace, key.Name, "AgentStartFailed", reason)
}

// forget drops a deleted ScaledJob whose Jobs have all ended.
func (e *Engine) forget(m *member) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.members[m.scaledJob.Key] == m {
		e.replace(m.scaledJob.Key, nil)
	}
}
