package engine

import (
	"maps"
	"slices"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/fleet"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/plan"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/trigger"
)

// member is a ScaledJob in view with what it asks for. It is replaced when either
// changes; only polls is carried on.
type member struct {
	scaledJob *fleet.ScaledJob
	// manifest is the metadata of its trigger, nil if none is ours.
	manifest map[string]string
	// sent is the metadata that KEDA sent last, nil if it has not asked since the
	// trigger changed. It replaces the manifest: KEDA knows the values of
	// variables.
	sent map[string]string
	// unresolved reports that the trigger has values that only KEDA knows and has
	// not sent yet.
	unresolved bool
	// trigger is what the metadata says, nil if it has mistakes, or lacks the pool
	// while it is unresolved.
	trigger *trigger.Trigger
	// problem is why the ScaledJob cannot work, "" if it can.
	problem string
	// warnings are what works badly.
	warnings []string
	// group is what is the same in all plans, if the ScaledJob is counted exactly.
	group *plan.Group
	// gone reports that the ScaledJob was deleted while Jobs of it were running.
	gone bool
	// since is when the ScaledJob or its trigger became as it is.
	since time.Time
	// levelChanged is when an edit last changed how many idle agents it keeps.
	levelChanged time.Time
	polls        *polls
}

// poolRef is a pool as triggers name it.
type poolRef struct {
	organization adoqueue.OrganizationURL
	name         string // in lower case
	id           int    // 0 if there is a name
}

func refOf(t *trigger.Trigger) poolRef {
	if t.Pool.Name != "" {
		return poolRef{organization: t.Organization, name: strings.ToLower(t.Pool.Name)}
	}
	return poolRef{organization: t.Organization, id: t.Pool.ID}
}

// changed takes in that a ScaledJob, or one of its Jobs, is not what it was.
func (e *Engine) changed(key plan.Key) {
	e.mu.Lock()
	// Read under the lock: else an older state could replace a newer one.
	s, ok := e.options.Cluster.ScaledJob(key)
	old := e.members[key]
	switch {
	case old == nil && !ok:
	case old != nil && ok && old.scaledJob == s: // its Jobs have changed
		e.outdate(old)
	case ok:
		e.replace(key, e.compile(s, old))
	case old.group == nil || old.gone:
		e.outdate(old)
		if !old.gone {
			e.replace(key, nil)
		}
	default:
		ended := *old
		ended.gone, ended.since = true, time.Now()
		e.replace(key, &ended)
	}
	fresh := e.members[key]
	e.mu.Unlock()
	if fresh != nil && fresh != old && ok {
		e.warn(fresh)
	}
}

// replace puts a member in the place of another; nil removes it. The caller holds
// the lock.
func (e *Engine) replace(key plan.Key, fresh *member) {
	delete(e.unplaced, key)
	if old := e.members[key]; old != nil {
		e.outdate(old)
		if old.trigger != nil {
			ref := refOf(old.trigger)
			delete(e.byPool[ref], key)
			if len(e.byPool[ref]) == 0 {
				delete(e.byPool, ref)
			}
		}
	}
	if fresh == nil {
		delete(e.members, key)
		return
	}
	e.members[key] = fresh
	if fresh.trigger != nil {
		ref := refOf(fresh.trigger)
		if e.byPool[ref] == nil {
			e.byPool[ref] = map[plan.Key]*member{}
		}
		e.byPool[ref][key] = fresh
	}
	if fresh.unplaced() {
		e.unplaced[key] = fresh
	}
	e.outdate(fresh)
}

// unplaced reports whether the member may be one of any pool.
func (m *member) unplaced() bool { return m.trigger == nil && m.group != nil }

// outdate makes the decisions about a member's pool be made again. The caller
// holds the lock.
func (e *Engine) outdate(m *member) {
	if m.unplaced() {
		for _, p := range e.pools {
			p.generation.Add(1)
		}
	}
	if m.trigger == nil {
		return
	}
	if p := e.pools[refOf(m.trigger)]; p != nil {
		p.generation.Add(1)
	}
}

func (e *Engine) outdateLocked(m *member) {
	e.mu.RLock()
	defer e.mu.RUnlock()
	e.outdate(m)
}

// compile reads what a ScaledJob asks for; old is what it was before, if it was
// in view. The caller holds the lock.
func (e *Engine) compile(s *fleet.ScaledJob, old *member) *member {
	m := &member{scaledJob: s, since: time.Now(), polls: &polls{}}
	if old != nil {
		m.polls, m.levelChanged = old.polls, old.levelChanged
	}
	ours := slices.DeleteFunc(slices.Clone(s.Triggers), func(metadata map[string]string) bool {
		return !e.addresses[metadata[trigger.ScalerAddress]]
	})
	if len(ours) == 0 {
		return m
	}
	m.manifest = ours[0]
	if old != nil && old.sent != nil {
		for _, manifest := range ours {
			if trigger.Agrees(manifest, old.sent) {
				m.manifest, m.sent = manifest, old.sent
			}
		}
	}
	t, err := trigger.Parse(m.effective(), e.parsing)
	if m.unresolved = m.sent == nil && trigger.NeedsEnvironment(m.manifest, e.parsing); m.unresolved {
		m.group = unresolvedGroup(s, m.manifest)
	}
	if err != nil {
		return m // reported when KEDA asks
	}
	m.trigger = t
	if old != nil && old.trigger != nil && levelOf(old.trigger, m.since) != levelOf(t, m.since) {
		m.levelChanged = m.since
	}
	if m.unresolved {
		return m
	}
	m.problem, m.warnings = check(s, ours, t, e.options.Cluster.PodsInView())
	m.warnings = append(m.warnings, checkWarm(t, e.options.EndsIdle)...)
	if t.Count.Name == trigger.Exact.Name {
		m.group = e.groupOf(m)
	}
	return m
}

// groupOf returns what is the same in all plans.
func (e *Engine) groupOf(m *member) *plan.Group {
	s, requests := m.scaledJob, &m.trigger.Requests
	g := &plan.Group{
		Key: s.Key, Priority: m.trigger.Priority, Capabilities: len(requests.Capabilities),
		MinReplicas: s.MinReplicas, MaxReplicas: s.MaxReplicas, Serves: requests.Serves,
		Shard: requests.Shard,
	}
	if requests.Capabilities != nil && requests.Parent == "" {
		g.Offers = requests.Capabilities.WithSystem(adoqueue.SystemDefaults{
			OS: s.Template.OS, Architecture: s.Template.Architecture,
		})
		if e.options.PlaceholderName != nil {
			g.Placeholder = e.options.PlaceholderName(requests.Capabilities)
		}
	}
	return g
}

// unresolvedGroup returns the group of a ScaledJob of which nobody knows yet what
// its agents can run. That its Jobs take a request is possible for any, and so is
// assumed: KEDA asks soon, and the Jobs that others would get meanwhile for the
// same requests would be too many.
func unresolvedGroup(s *fleet.ScaledJob, manifest map[string]string) *plan.Group {
	shard, _ := adoqueue.ParseShard(manifest["shard"]) // a mistake is reported when KEDA asks
	return &plan.Group{
		Key: s.Key, Shard: shard, MinReplicas: s.MinReplicas, MaxReplicas: s.MaxReplicas,
		Serves: func(*adoqueue.JobRequest) bool { return true },
	}
}

// adopt takes in that KEDA asks for a ScaledJob with this metadata, and returns
// the member that it is now; nil if no ScaledJob in view can have sent it.
func (e *Engine) adopt(key plan.Key, metadata map[string]string) *member {
	m := e.member(key)
	if m == nil || m.gone {
		return nil
	}
	if m.sent != nil && maps.Equal(m.sent, metadata) {
		return m
	}
	i := slices.IndexFunc(m.scaledJob.Triggers, func(manifest map[string]string) bool { return trigger.Agrees(manifest, metadata) })
	if i < 0 {
		return nil
	}
	e.mu.Lock()
	e.learn(m.scaledJob.Triggers[i][trigger.ScalerAddress])
	if m = e.members[key]; m == nil || m.gone {
		e.mu.Unlock()
		return nil
	}
	fresh := *m
	fresh.sent = metadata
	if m.trigger != nil && !m.unresolved && maps.Equal(m.effective(), metadata) {
		// As most are asked for after a start: nothing is decided again.
		e.members[key], e.byPool[refOf(m.trigger)][key] = &fresh, &fresh
		e.mu.Unlock()
		e.warn(&fresh)
		return &fresh
	}
	compiled := e.compile(m.scaledJob, &fresh)
	compiled.since = m.since
	e.replace(key, compiled)
	e.mu.Unlock()
	e.warn(compiled)
	return compiled
}

// effective returns the metadata that the trigger was read from.
func (m *member) effective() map[string]string {
	if m.sent != nil {
		return m.sent
	}
	return trigger.WithoutEnvironment(m.manifest)
}

func (e *Engine) member(key plan.Key) *member {
	e.mu.RLock()
	defer e.mu.RUnlock()
	return e.members[key]
}

// learn takes in that an address is this scaler's, which makes all ScaledJobs
// whose triggers have it members. The caller holds the lock.
func (e *Engine) learn(address string) {
	if e.addresses[address] {
		return
	}
	e.addresses[address] = true
	for key, old := range e.members {
		if !old.gone {
			fresh := e.compile(old.scaledJob, old)
			fresh.since = old.since
			e.replace(key, fresh)
		}
	}
}

// warn reports what works badly in a ScaledJob, once for each change.
func (e *Engine) warn(m *member) {
	for _, warning := range m.polls.unreported(m.warnings) {
		key := m.scaledJob.Key
		e.options.Logger.Warn("ScaledJob warning", zap.String("namespace", key.Namespace), zap.String("name", key.Name),
			zap.String("warning", warning))
		e.options.Cluster.Warn(key.Namespace, key.Name, "ScaledJobWarning", warning)
	}
}
