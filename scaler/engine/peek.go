package engine

import (
	"context"
	"slices"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/plan"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/trigger"
)

// Peek returns what KEDA would get for a trigger, and a note about what makes the
// answer differ from what one may expect, "" if there is nothing. The caller is not
// KEDA, so nothing is learned from the request: the ScaledJob does not count as one
// that KEDA asks for, its trigger stays, and no pool is refreshed for it.
//
// Without metadata, the ScaledJob's own is used.
func (e *Engine) Peek(ctx context.Context, r Request) (a Answer, note string, err error) {
	ctx, cancel := context.WithTimeout(adoqueue.Peeking(ctx), e.options.Timeout)
	defer cancel()
	m := e.member(r.Key)
	switch {
	case m != nil && !m.gone && m.sends(r.Metadata):
		return e.peekMember(ctx, m, r)
	case e.scaledObject(r.Key, r.Metadata) != nil:
		c, err := e.answerObject(ctx, e.scaledObject(r.Key, r.Metadata), r)
		return c.Answer, "", err
	case m != nil && !m.gone:
		note = "the ScaledJob has other metadata"
	case e.options.Cluster != nil:
		note = "no ScaledJob in view has this name"
	}
	if len(r.Metadata) == 0 {
		return Answer{}, "", &ConfigError{"no ScaledJob " + r.Key.String() + " is in view; check its name and namespace, or pass the metadata of its trigger"}
	}
	t, err := e.Parse(r.Metadata)
	if err != nil {
		return Answer{}, "", err
	}
	a, err = e.peekAlone(ctx, t, r)
	return a, note, err
}

// sends reports whether KEDA may send this metadata for the ScaledJob.
func (m *member) sends(metadata map[string]string) bool {
	return len(metadata) == 0 || slices.ContainsFunc(m.scaledJob.Triggers, func(manifest map[string]string) bool {
		return trigger.Agrees(manifest, metadata)
	})
}

func (e *Engine) peekMember(ctx context.Context, m *member, r Request) (a Answer, note string, err error) {
	t := m.trigger
	switch {
	case t != nil:
	case len(r.Metadata) == 0 && m.manifest == nil:
		return Answer{}, "", &ConfigError{"no trigger of the ScaledJob has this scaler's address, as far as it is known; pass the trigger's metadata"}
	default:
		metadata := r.Metadata
		if len(metadata) == 0 {
			metadata = m.effective()
		}
		if t, err = e.Parse(metadata); err != nil {
			return Answer{}, "", err
		}
	}
	if m.problem != "" {
		return Answer{}, "", &ConfigError{m.problem}
	}
	if m.group == nil || !t.Count.Kubernetes {
		if t.Count.Kubernetes {
			note = "KEDA has not polled the ScaledJob yet"
		}
		a, err = e.peekAlone(ctx, t, r)
		return a, note, err
	}
	o := e.organizations[t.Organization]
	snapshot, err := o.queue.Snapshot(ctx, t.Pool, e.options.MaxAge)
	if err != nil {
		return Answer{}, "", err
	}
	d, err := e.decide(ctx, e.poolOf(o, snapshot.Pool), snapshot)
	if err != nil {
		return Answer{}, "", err
	}
	group, ok := d.Plan.Groups[r.Key]
	if !ok {
		a, err = e.peekAlone(ctx, t, r)
		return a, "the ScaledJob has no part in the decision about its pool yet", err
	}
	if i := slices.IndexFunc(d.Groups, func(g plan.Group) bool { return g.Key == r.Key }); i >= 0 && d.Groups[i].Blocked != "" {
		note = "the ScaledJob " + d.Groups[i].Blocked
	}
	return Answer{
		Pool: d.Snapshot.Pool.Name, Asked: t.Count.Name, Used: t.Count.Name,
		Value: group.Metric, Active: group.Metric > t.Activation,
	}, note, nil
}

// peekAlone counts for a trigger that has no part in a decision.
func (e *Engine) peekAlone(ctx context.Context, t *trigger.Trigger, r Request) (Answer, error) {
	o := e.organizations[t.Organization]
	snapshot, err := o.queue.Snapshot(ctx, t.Pool, e.options.MaxAge)
	if err != nil {
		return Answer{}, err
	}
	return answerAlone(t, snapshot, r.Key), nil
}
