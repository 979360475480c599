package explain

import (
	"context"
	"sync"
	"time"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/engine"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/fleet"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/limit"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/plan"
)

// Reader says how well an organization can be read.
type Reader interface {
	Status() adoqueue.Status
	Agents(ctx context.Context, pool adoqueue.Pool, maxAge time.Duration) ([]adoqueue.Agent, error)
}

// Cluster is what Kubernetes holds now.
type Cluster interface {
	JobsOf(key plan.Key) []fleet.Job
	PodsInView() bool
	OutOfDate() error
	Ready(key plan.Key) fleet.Condition
	Refusal(jobUID string) (fleet.Refusal, bool)
}

// Engine is whose decisions are explained.
type Engine interface {
	MemberStates() []engine.MemberState
}

// ServedOrganization is one that the engine serves.
type ServedOrganization struct {
	URL    adoqueue.OrganizationURL
	Reader Reader
	// Credential is its kind.
	Credential string
}

// Options say what an Explainer reads.
type Options struct {
	Organizations []ServedOrganization
	// PlaceholderName is as in the engine's options.
	PlaceholderName func(adoqueue.Capabilities) string
	// Standalone reports that this program creates Jobs itself, and no KEDA.
	Standalone bool
}

// Explainer remembers what an engine decides, and reports it. It is safe for
// concurrent use.
type Explainer struct {
	options Options
	started time.Time
	history history
	// turns are taken to make answers over HTTP: a large one takes several times its
	// size, and anybody may ask.
	turns *limit.Turns

	mu      sync.Mutex
	engine  Engine  // nil before Explain
	cluster Cluster // nil if there is no view of Kubernetes
}

// New returns an Explainer, to be the Observer of an engine, which Explain names.
func New(options Options) *Explainer {
	return &Explainer{options: options, started: time.Now(), turns: limit.NewTurns()}
}

// Turns returns the turns in which answers over HTTP are made, for others that make some
// from Reports.
func (x *Explainer) Turns() *limit.Turns { return x.turns }

// Explain sets the engine that the Explainer observes, and the view of Kubernetes,
// nil if there is none.
func (x *Explainer) Explain(e Engine, c Cluster) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.engine, x.cluster = e, c
}

// explained returns the ScaledJobs of the engine, and the view of Kubernetes.
func (x *Explainer) explained() ([]engine.MemberState, Cluster) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.engine == nil {
		return nil, nil
	}
	return x.engine.MemberStates(), x.cluster
}

// Decided implements engine.Observer.
func (x *Explainer) Decided(d *engine.Decision) { x.history.decided(d) }

// Counted implements engine.Observer.
func (x *Explainer) Counted(c engine.Counted) { x.history.counted(c) }

// Answered implements engine.Observer.
func (x *Explainer) Answered(key plan.Key, at time.Time) { x.history.answered(key, at) }

// Report returns what is known now. It asks Azure DevOps for nothing but the names of
// a pool's agents, at most four times a minute for a pool, and waits no longer for them
// than a second.
func (x *Explainer) Report(ctx context.Context, f Filter) Report {
	now := time.Now()
	members, cluster := x.explained()
	r := Report{
		SchemaVersion: SchemaVersion, MadeAt: now, Since: x.started,
		Organizations: []Organization{}, Pools: []Pool{},
		KubernetesInView: cluster != nil, PodsInView: cluster != nil && cluster.PodsInView(),
	}
	b := &builder{options: &x.options, cluster: cluster, filter: f.withDefaults(), now: now, report: &r, status: map[adoqueue.OrganizationURL]adoqueue.Status{}, unpooled: map[plan.Key]bool{}}
	for _, o := range x.options.Organizations {
		b.addOrganization(o)
	}
	b.addPools(x.history.copy(&b.filter), x.history.countedOf(&b.filter, now), members)
	b.shareOut()
	ctx, cancel := context.WithTimeout(ctx, agentsTimeout)
	defer cancel()
	for _, p := range b.pools {
		b.nameAgents(ctx, p)
		b.addPool(p)
	}
	return r
}
