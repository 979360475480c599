package engine

import (
	"context"
	"slices"
	"strings"
	"sync"

	"go.uber.org/zap"
	"k8s.io/utils/lru"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/fleet"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/plan"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/trigger"
)

// A ScaledObject's agents run job after job, so that there are no Jobs to join
// requests with: the metric is the number of agents that have work. It has no
// part in the decision about the pool.

// objects remembers what was seen and reported of ScaledObjects, of a bounded
// number of them.
type objects struct {
	mu    sync.Mutex
	known *lru.Cache // of *objectState, by workload
}

// workload is a ScaledObject with what it scales.
type workload struct {
	key        plan.Key
	kind, name string
}

type objectState struct {
	// named reports that an agent was seen that is named after one of its pods.
	named bool
	// warned reports that a warning was given.
	warned bool
}

func newObjects() *objects { return &objects{known: lru.New(maxUnknownCallers)} }

// update applies a change to the state of a ScaledObject, and returns what it
// returns.
func (o *objects) update(s *fleet.ScaledObject, change func(*objectState) bool) bool {
	key := workload{s.Key, s.TargetKind, s.TargetName}
	o.mu.Lock()
	defer o.mu.Unlock()
	known, _ := o.known.Get(key)
	state, ok := known.(*objectState)
	if !ok {
		state = &objectState{}
		o.known.Add(key, state)
	}
	return change(state)
}

// scaledObject returns the ScaledObject in view that a call with this metadata is
// for, nil if there is none. KEDA does not say the kind, and a ScaledJob may have
// the same name: then the metadata decides.
func (e *Engine) scaledObject(key plan.Key, metadata map[string]string) *fleet.ScaledObject {
	if e.options.Cluster == nil {
		return nil
	}
	o, ok := e.options.Cluster.ScaledObject(key)
	if !ok {
		return nil
	}
	if _, both := e.options.Cluster.ScaledJob(key); both && triggerOf(o, metadata) < 0 {
		return nil
	}
	return o
}

// triggerOf returns the index of the trigger that sends this metadata, -1 if none
// can.
func triggerOf(o *fleet.ScaledObject, metadata map[string]string) int {
	return slices.IndexFunc(o.Triggers, func(t fleet.ObjectTrigger) bool { return trigger.Agrees(t.Metadata, metadata) })
}

// parseObject reads the metadata of a ScaledObject's trigger.
func (e *Engine) parseObject(metadata map[string]string) (*trigger.Trigger, error) {
	in := e.parsing
	in.ScaledObject, in.DefaultCount = true, trigger.Unfinished
	t, err := trigger.Parse(metadata, in)
	if err != nil {
		return nil, &ConfigError{err.Error()}
	}
	return t, nil
}

// answerObject answers for a ScaledObject in view.
func (e *Engine) answerObject(ctx context.Context, s *fleet.ScaledObject, r Request) (Counted, error) {
	t, err := e.parseObject(r.Metadata)
	if err != nil {
		return Counted{}, err
	}
	if i := triggerOf(s, r.Metadata); i >= 0 && s.Triggers[i].MetricType == "Value" {
		return Counted{}, &ConfigError{"the ScaledObject cannot work: metricType Value makes the autoscaler multiply the metric " +
			"by the number of replicas; leave it out, which means AverageValue"}
	}
	if t.Count.Name == trigger.Scheduled.Name {
		return Counted{Answer: answerScheduled(t)}, nil
	}
	o := e.organizations[t.Organization]
	snapshot, err := o.queue.Snapshot(adoqueue.Preferred(ctx), t.Pool, e.options.MaxAge)
	if err != nil {
		return Counted{}, err
	}
	a := Answer{Pool: snapshot.Pool.Name, Asked: t.Count.Name, Used: t.Count.Name}
	if t.Count.Name == trigger.Queued.Name {
		e.warnOfQueued(s)
		a.Value = value(t, t.Count, snapshot, r.Key.Name)
	} else {
		a.Value = e.agentsWithWork(s, t, o, snapshot)
	}
	a.Active = a.Value > t.Activation
	return Counted{Key: r.Key, Object: true, InView: true, Trigger: t, Snapshot: snapshot, Answer: a}, nil
}

// agentsWithWork returns how many agents a ScaledObject needs: one for each
// request that waits for an agent of its kind, and one for each that one of its
// agents has, whatever that demands.
//
// A request on an agent of somebody else counts for nothing, provided that this
// can be known by the agent's name. If it cannot, the request counts: one agent
// too many costs less than a build that ends because its agent is scaled away.
func (e *Engine) agentsWithWork(s *fleet.ScaledObject, t *trigger.Trigger, o *organization, snapshot *adoqueue.Snapshot) (n int64) {
	named := e.namedAfterPods(s, snapshot)
	for i := range snapshot.Requests {
		r := snapshot.Requests[i]
		switch {
		case r.State == adoqueue.Queued || r.Agent == "":
			if t.Requests.Serves(r) {
				n++
			}
		case s.OwnsAgent(r.Agent):
			n++
		case !named && t.Requests.Serves(r) && !e.runsInJob(o, snapshot.Pool, r.Agent):
			n++
		}
	}
	return n
}

// namedAfterPods reports whether an agent named after a pod of the ScaledObject
// has been seen with a request, now or before.
func (e *Engine) namedAfterPods(s *fleet.ScaledObject, snapshot *adoqueue.Snapshot) bool {
	seen := slices.ContainsFunc(snapshot.Requests, func(r *adoqueue.JobRequest) bool { return s.OwnsAgent(r.Agent) })
	return e.objects.update(s, func(state *objectState) bool {
		state.named = state.named || seen
		return state.named
	})
}

// runsInJob reports whether an agent is one of the ScaledJobs that serve the pool.
func (e *Engine) runsInJob(o *organization, of adoqueue.Pool, agent string) bool {
	e.mu.RLock()
	defer e.mu.RUnlock()
	for _, ref := range []poolRef{{organization: o.url, id: of.ID}, {organization: o.url, name: strings.ToLower(of.Name)}} {
		for key := range e.byPool[ref] {
			if fleet.OwnsAgent(key.Name, agent) {
				return true
			}
		}
	}
	return false
}

// warnOfQueued reports, once, a count with which busy agents are scaled away.
func (e *Engine) warnOfQueued(s *fleet.ScaledObject) {
	if !e.objects.update(s, func(state *objectState) (first bool) {
		first = !state.warned
		state.warned = true
		return first
	}) {
		return
	}
	const message = "count queued leaves out the jobs that run, so that the autoscaler ends busy agents; use count unfinished"
	e.options.Logger.Warn("ScaledObject warning", zap.String("namespace", s.Key.Namespace), zap.String("name", s.Key.Name),
		zap.String("warning", message))
	e.options.Cluster.Warn(s.Key.Namespace, s.Key.Name, "ScaledObjectWarning", message)
}
