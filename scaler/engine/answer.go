package engine

import (
	"context"
	"maps"
	"time"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/fleet"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/plan"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/trigger"
)

// Request is what KEDA asks about one trigger.
type Request struct {
	Key      plan.Key
	Metadata map[string]string
	Half     Half
}

// Answer is what one trigger gets.
type Answer struct {
	// Value is the metric; Active reports whether it is above the activation
	// threshold.
	Value  int64
	Active bool
	// Pool is the name of the agent pool.
	Pool string
	// Asked is the count that the trigger asks for, Used the one it got.
	Asked, Used string
}

// Answer returns what a trigger gets: from the decision about its pool if its
// ScaledJob is in view and counted exactly, else by counting requests. Errors are
// a ConfigError, a ViewError, one of adoqueue, or the context's.
func (e *Engine) Answer(ctx context.Context, r Request) (Answer, error) {
	m := e.adopt(r.Key, r.Metadata)
	if r.Half == Whole {
		return e.answer(ctx, m, r)
	}
	pairs := pairs(e.unknownCallers)
	if m != nil {
		pairs = m.polls
		if m.polls.asked(time.Now()) {
			e.outdateLocked(m)
		}
	}
	asked := digest(r.Key, r.Metadata)
	if a, ok := pairs.take(r.Half, asked); ok {
		return a, nil
	}
	a, err := e.answer(ctx, m, r)
	if err == nil {
		pairs.put(r.Half, asked, a)
	}
	if m != nil {
		m.polls.ended(err)
		if err == nil {
			e.answered(r.Key)
		}
	}
	return a, err
}

// answered notifies the observer.
func (e *Engine) answered(key plan.Key) {
	if e.options.Observer != nil {
		e.options.Observer.Answered(key, time.Now())
	}
}

// pairs keeps half answers.
type pairs interface {
	take(half Half, asked uint64) (Answer, bool)
	put(half Half, asked uint64, answer Answer)
}

func (e *Engine) answer(ctx context.Context, m *member, r Request) (Answer, error) {
	if m != nil {
		return e.answerMember(ctx, m, r)
	}
	if s := e.scaledObject(r.Key, r.Metadata); s != nil {
		c, err := e.answerObject(ctx, s, r)
		e.counted(c)
		return c.Answer, err
	}
	a, err := e.answerUnknownCaller(ctx, r)
	if err == nil {
		e.noticeFallback(r.Key, a)
	}
	return a, err
}

// answerMember answers for a ScaledJob in view.
func (e *Engine) answerMember(ctx context.Context, m *member, r Request) (Answer, error) {
	if m.trigger == nil { // it has mistakes, or has just changed
		return e.answerUnknownCaller(ctx, r)
	}
	if m.problem != "" {
		return Answer{}, &ConfigError{m.problem}
	}
	return e.answerTrigger(ctx, m.trigger, r.Key, m.group != nil)
}

// answerUnknownCaller answers for a caller that nothing in view can be: of another
// namespace, or changed a moment ago.
func (e *Engine) answerUnknownCaller(ctx context.Context, r Request) (Answer, error) {
	t, err := e.Parse(r.Metadata)
	if err != nil {
		return Answer{}, err
	}
	return e.answerTrigger(ctx, t, r.Key, e.member(r.Key) != nil)
}

// answerTrigger counts for a trigger, exactly if it asks for that and its
// ScaledJob has a part in the decision about the pool.
func (e *Engine) answerTrigger(ctx context.Context, t *trigger.Trigger, key plan.Key, planned bool) (Answer, error) {
	if t.Count.Name == trigger.Scheduled.Name {
		return answerScheduled(t), nil
	}
	planned = planned && t.Count.Kubernetes
	if planned {
		if err := e.outOfDate(); err != nil {
			return Answer{}, err
		}
		if p, d := e.ready(t); d != nil {
			if a, ok := e.answerPlanned(p, d, t, key); ok {
				return a, nil
			}
		}
	}
	ctx, cancel := context.WithTimeout(ctx, e.options.Timeout)
	defer cancel()
	if m := e.member(key); m != nil && m.trigger == t {
		ctx = adoqueue.Preferred(ctx)
	}
	o := e.organizations[t.Organization]
	snapshot, err := o.queue.Snapshot(ctx, t.Pool, e.options.MaxAge)
	if err != nil {
		return Answer{}, err
	}
	if planned {
		p := e.poolOf(o, snapshot.Pool)
		d, err := e.decide(ctx, p, snapshot)
		if err != nil {
			return Answer{}, err
		}
		if a, ok := e.answerPlanned(p, d, t, key); ok {
			return a, nil
		}
	}
	a := answerAlone(t, snapshot, key)
	e.counted(Counted{Key: key, InView: e.InView(key), Trigger: t, Snapshot: snapshot, Answer: a})
	return a, nil
}

// counted notifies the observer, unless nothing was counted.
func (e *Engine) counted(c Counted) {
	if e.options.Observer != nil && c.Snapshot != nil {
		c.Organization, c.At = c.Trigger.Organization, time.Now()
		e.options.Observer.Counted(c)
	}
}

// answerAlone returns what a trigger gets that has no part in a decision.
func answerAlone(t *trigger.Trigger, snapshot *adoqueue.Snapshot, key plan.Key) Answer {
	count := t.Count
	if count.Kubernetes {
		count = trigger.Owned
	}
	a := Answer{Pool: snapshot.Pool.Name, Asked: t.Count.Name, Used: count.Name}
	a.Value = value(t, count, snapshot, key.Name)
	a.Active = a.Value > t.Activation
	return a
}

// ready returns the decision about the pool of a trigger if it holds and its
// snapshot may be used for an answer. Nearly all requests are answered so, without a
// deadline, whose timer costs as much as the rest of the answer.
func (e *Engine) ready(t *trigger.Trigger) (*pool, *Decision) {
	e.mu.RLock()
	p := e.pools[refOf(t)]
	e.mu.RUnlock()
	if p == nil {
		return nil, nil
	}
	d := p.current.Load()
	if d == nil || d.Snapshot.Err != nil || time.Since(d.Snapshot.RequestedAt) >= e.options.MaxAge || !d.holds(p, d.Snapshot) {
		return nil, nil
	}
	return p, d
}

// answerPlanned returns what a ScaledJob gets by a decision; ok is false if it has
// no part in it.
func (e *Engine) answerPlanned(p *pool, d *Decision, t *trigger.Trigger, key plan.Key) (a Answer, ok bool) {
	group, ok := d.Plan.Groups[key]
	if !ok {
		return Answer{}, false
	}
	if d.Busy {
		e.refresher.watch(p, e.refresh(p, t.Pool))
	}
	return Answer{
		Pool: d.Snapshot.Pool.Name, Asked: t.Count.Name, Used: t.Count.Name,
		Value: group.Metric, Active: group.Metric > t.Activation,
	}, true
}

// Target returns how many requests one agent stands for by a trigger's metadata, 1
// if that has mistakes: they are reported with the answer.
func (e *Engine) Target(key plan.Key, metadata map[string]string) int64 {
	if m := e.member(key); m != nil && m.trigger != nil && (len(metadata) == 0 || maps.Equal(m.sent, metadata)) {
		return m.trigger.Target
	}
	parse := e.Parse
	if e.scaledObject(key, metadata) != nil {
		parse = e.parseObject
	}
	t, err := parse(metadata)
	if err != nil {
		return 1
	}
	return t.Target
}

// Missing returns how many Jobs a ScaledJob in view lacks. The error is one of
// adoqueue, a ViewError, or a ConfigError.
func (e *Engine) Missing(ctx context.Context, key plan.Key) (missing int, snapshot *adoqueue.Snapshot, err error) {
	m := e.member(key)
	if m == nil || m.trigger == nil || m.group == nil {
		return 0, nil, &ConfigError{key.String() + " is not counted exactly"}
	}
	if err := e.outOfDate(); err != nil {
		return 0, nil, err
	}
	m.polls.asked(time.Now())
	o := e.organizations[m.trigger.Organization]
	if snapshot, err = o.queue.Snapshot(adoqueue.Preferred(ctx), m.trigger.Pool, e.options.MaxAge); err != nil {
		return 0, nil, err
	}
	d, err := e.decide(ctx, e.poolOf(o, snapshot.Pool), snapshot)
	if err != nil {
		return 0, nil, err
	}
	e.answered(key)
	return d.Plan.Groups[key].Missing, snapshot, nil
}

// value counts the requests that make up the metric, without a view of the Jobs.
func value(t *trigger.Trigger, count trigger.Count, snapshot *adoqueue.Snapshot, scaledJob string) int64 {
	n, busy := int64(0), 0
	for i := range snapshot.Requests {
		r := snapshot.Requests[i]
		if counts(t, count, r, scaledJob) {
			n++
		}
		if r.State != adoqueue.Queued && fleet.OwnsAgent(scaledJob, r.Agent) {
			busy++
		}
	}
	settings := idleSettings(t, defaultStartup)
	demand, _ := settings.At(time.Now())
	return n + int64(demand.Agents(busy))
}

func counts(t *trigger.Trigger, count trigger.Count, r *adoqueue.JobRequest, scaledJob string) bool {
	switch count.Name {
	case trigger.Queued.Name:
		return r.State < adoqueue.Running && t.Requests.Counts(r)
	case trigger.Unfinished.Name:
		return t.Requests.Counts(r)
	default:
		// A request that has an agent belongs to the owner of that agent,
		// whoever else could have served it.
		if r.State == adoqueue.Queued {
			return t.Requests.Counts(r)
		}
		return fleet.OwnsAgent(scaledJob, r.Agent)
	}
}
