// Package trigger reads the metadata of KEDA triggers: which pool a ScaledJob
// serves, which of the pool's job requests it counts, and how.
package trigger

import (
	"cmp"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/warm"
)

// Trigger is the parsed metadata of one trigger. It is never changed once parsed.
type Trigger struct {
	Organization adoqueue.OrganizationURL
	Pool         adoqueue.PoolRef
	Count        Count
	Requests     Selector
	// Priority decides between ScaledJobs that could serve a request, the
	// highest first.
	Priority int
	// MinIdle is how many agents to keep waiting beyond those with work, where Warm
	// does not say otherwise.
	MinIdle int
	// Warm is the schedule of agents that wait for jobs, nil if there is none.
	Warm *warm.Schedule
	// WarmMaxAge is the age at which an idle agent is replaced; 0 means that only
	// its idle timeout ends it.
	WarmMaxAge time.Duration
	// Target is how many requests one agent stands for; 1 with the counts that
	// count agents.
	Target int64
	// Activation is the value above which the trigger is active.
	Activation int64
}

// Count is a way to turn a pool's requests into the metric.
type Count struct {
	Name string
	// Strategies are KEDA's scaling strategies that create the right number of
	// Jobs from this count, the recommended one first.
	Strategies []string
	// Agents reports whether the count is one of agents, idle ones included, and
	// not of requests.
	Agents bool
	// Kubernetes reports whether the count joins requests with Jobs, so that it
	// needs a view of Kubernetes.
	Kubernetes bool
}

// The counts. With another strategy than those named KEDA would create Jobs
// again and again, or too few.
var (
	Exact      = Count{Name: "exact", Strategies: []string{"default"}, Agents: true, Kubernetes: true}
	Owned      = Count{Name: "owned", Strategies: []string{"default"}, Agents: true}
	Queued     = Count{Name: "queued", Strategies: []string{"accurate", "custom"}}
	Unfinished = Count{Name: "unfinished", Strategies: []string{"default", "custom"}}
	// Scheduled counts nothing: it is what warm and minIdle say. It scales pods that
	// keep nodes for agents which are yet to come.
	Scheduled = Count{Name: "scheduled", Strategies: []string{"default"}}
)

// counts is the one table of counts, in the order in which messages list them.
var counts = []Count{Exact, Owned, Queued, Unfinished, Scheduled}

// CheckStrategy returns the strategy to use instead if the count does not work
// with this one of a ScaledJob, in which "" means KEDA's default, and "" if it
// does.
func (c Count) CheckStrategy(strategy string) (instead string) {
	if slices.Contains(c.Strategies, cmp.Or(strategy, "default")) {
		return ""
	}
	return c.Strategies[0]
}

// Context is what the meaning of a trigger's metadata depends on besides itself.
type Context struct {
	// Organizations are those that triggers may name. A trigger that names none
	// means the only one.
	Organizations []adoqueue.OrganizationURL
	// DefaultCount is for triggers that name no count.
	DefaultCount Count
	// ScaledObject reports whether the trigger is a ScaledObject's, whose agents
	// run job after job.
	ScaledObject bool
}

// ScalerAddress is the key by which a trigger names its scaler.
const ScalerAddress = "scalerAddress"

// fromEnv ends the keys whose values KEDA takes from the environment of the
// ScaledJob's container. The calls carry the value, under the same key.
const fromEnv = "FromEnv"

// Parse reads the metadata of a trigger as KEDA sends it. The error lists the
// mistakes, at most ten of them.
func Parse(values map[string]string, in Context) (*Trigger, error) {
	m := newMetadata(values)
	t := &Trigger{
		Organization: m.organization(in.Organizations),
		Pool:         m.pool(),
		Count:        m.readCount(in.DefaultCount),
		Requests:     m.selector(),
		Priority:     int(m.integer("priority", 0, math.MinInt32)),
		MinIdle:      int(m.integer("minIdle", 0, 0)),
		Warm:         m.warm(),
		WarmMaxAge:   m.duration("warmMaxAge", time.Minute),
		Target:       m.integer("targetPipelinesQueueLength", 1, 1),
		Activation:   m.integer("activationTargetPipelinesQueueLength", 0, 0),
	}
	m.checkCount(t, in)
	m.checkIgnored()
	if err := m.err(); err != nil {
		return nil, err
	}
	return t, nil
}

// checkCount checks what the count, and what the trigger belongs to, allow.
func (m *metadata) checkCount(t *Trigger, in Context) {
	switch {
	case in.ScaledObject && t.Count.Agents:
		m.problem("count", "is for ScaledJobs, since it counts their Jobs; leave it out, which means unfinished for a ScaledObject")
	case t.Count.Agents && t.Target != 1:
		m.problem("targetPipelinesQueueLength", "must be 1 with count %s, which counts one agent for each job", t.Count.Name)
	}
	if t.Count.Name == Scheduled.Name {
		m.checkScheduled(t)
		return
	}
	for _, key := range []string{"minIdle", "warm", "warmMaxAge"} {
		switch {
		case !m.has(key) || key == "minIdle" && t.MinIdle == 0:
		case in.ScaledObject:
			m.problem(key, "is for ScaledJobs; set the ScaledObject's minReplicaCount")
		case !t.Count.Agents:
			m.problem(key, "requires count exact or owned, since the other counts cannot distinguish idle agents from busy ones")
		}
	}
}

// checkScheduled checks a trigger that counts nothing.
func (m *metadata) checkScheduled(t *Trigger) {
	if t.MinIdle == 0 && !m.has("warm") {
		m.problem("count", "is what warm and minIdle say; set one of them")
	}
	if m.has("warmMaxAge") {
		m.problem("warmMaxAge", "is for agents; leave it out with count %s", Scheduled.Name)
	}
}

// Agrees reports whether metadata that a caller sends can be that of a trigger
// whose manifest reads so: equal, but for the keys whose values KEDA takes from
// the environment.
func Agrees(manifest, sent map[string]string) bool {
	matched := 0
	for key, value := range manifest {
		got, ok := sent[key]
		switch {
		case strings.HasSuffix(key, fromEnv):
			if ok {
				matched++
			}
		case !ok || got != value:
			return false
		default:
			matched++
		}
	}
	return matched == len(sent)
}

// NeedsEnvironment reports whether a manifest takes values from the environment
// without which it is unknown what the trigger serves. The organization is not one
// of them if there is only one.
func NeedsEnvironment(manifest map[string]string, in Context) bool {
	for key := range manifest {
		name, variable := strings.CutSuffix(key, fromEnv)
		if variable && (name != "organizationURL" || len(in.Organizations) > 1) {
			return true
		}
	}
	return false
}

// WithoutEnvironment returns the metadata of a manifest without the keys whose
// values only KEDA knows.
func WithoutEnvironment(manifest map[string]string) map[string]string {
	known := maps.Clone(manifest)
	maps.DeleteFunc(known, func(key, _ string) bool { return strings.HasSuffix(key, fromEnv) })
	return known
}
