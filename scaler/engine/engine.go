// Package engine decides how many agents each ScaledJob gets. It keeps one state
// for each pool and makes one decision from a snapshot of the pool and what
// Kubernetes holds; whoever asks while neither changes reads the same decision.
//
// The package knows neither gRPC nor how Jobs are created: the drivers above it
// read its decisions.
package engine

import (
	"context"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/fleet"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/plan"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/trigger"
)

// Queue returns snapshots of an organization's pools, and its parallel jobs.
type Queue interface {
	Snapshot(ctx context.Context, pool adoqueue.PoolRef, maxAge time.Duration) (*adoqueue.Snapshot, error)
	ParallelJobs(ctx context.Context, maxAge time.Duration) (adoqueue.ParallelJobs, error)
}

// Organization is one that triggers may name.
type Organization struct {
	URL   adoqueue.OrganizationURL
	Queue Queue
}

// Cluster is a view of Kubernetes. Returned values are shared and never changed.
type Cluster interface {
	// OnChange sets the function to call with the ScaledJob that has changed, or
	// whose Jobs have.
	OnChange(changed func(plan.Key))
	ScaledJob(key plan.Key) (*fleet.ScaledJob, bool)
	ScaledJobs() []*fleet.ScaledJob
	ScaledObject(key plan.Key) (*fleet.ScaledObject, bool)
	// JobsOf includes Jobs that ended, even if deleted, for as long as a snapshot
	// from before may be used.
	JobsOf(key plan.Key) []fleet.Job
	// PodsInView reports whether Jobs show their pods.
	PodsInView() bool
	// OutOfDate returns why all this may be out of date, nil if it is not.
	OutOfDate() error
	// Warn records a warning event on a ScaledJob or ScaledObject.
	Warn(namespace, name, reason, message string)
}

// Options say what an Engine decides about.
type Options struct {
	// Organizations are all that triggers may name; at least one.
	Organizations []Organization
	// MaxAge is the age up to which a snapshot may be used for a decision.
	MaxAge time.Duration
	// Timeout bounds how long an answer may wait for Azure DevOps, and the refresh
	// of a pool between two polls; KEDA itself sets no deadline.
	Timeout time.Duration
	// Cluster is the view of Kubernetes; nil means that there is none, and that
	// count exact falls back to owned.
	Cluster Cluster
	// Address is how triggers name this scaler, if it is known before KEDA asks.
	Address string
	// PlaceholderName returns the name of our placeholder for capabilities; nil
	// means that there are none.
	PlaceholderName func(adoqueue.Capabilities) string
	// CapByParallelJobs bounds the agents, with count exact, to those that the
	// organization's parallel jobs let run at once.
	CapByParallelJobs bool
	// EndsIdle reports that somebody deletes idle Jobs of our launcher which are not
	// needed any more; see [Engine.IdleGroups].
	EndsIdle bool
	// Observer is notified of decisions and answers; nil disables it.
	Observer Observer
	Logger   *zap.Logger
}

// Engine is safe for concurrent use.
type Engine struct {
	options        Options
	parsing        trigger.Context
	started        time.Time
	organizations  map[adoqueue.OrganizationURL]*organization
	unknownCallers *unknownCallers
	fallbacks      *fallbacks
	objects        *objects
	refresher      *refresher

	mu      sync.RWMutex
	members map[plan.Key]*member
	// byPool are the members by how their triggers name the pool.
	byPool map[poolRef]map[plan.Key]*member
	// unplaced are members that may be ones of any pool, since only KEDA knows
	// which.
	unplaced map[plan.Key]*member
	// pools are by their ids and by their names.
	pools map[poolRef]*pool
	// addresses are those by which triggers name this scaler: of ScaledJobs that
	// KEDA has asked it about. Triggers with other addresses are other scalers'.
	addresses map[string]bool
}

// organization is one with what its pools share.
type organization struct {
	url    adoqueue.OrganizationURL
	queue  Queue
	claims claims
}

// New returns an engine. Close ends it.
func New(options Options) *Engine {
	e := &Engine{
		options: options, started: time.Now(),
		organizations: map[adoqueue.OrganizationURL]*organization{}, unknownCallers: newUnknownCallers(), fallbacks: newFallbacks(),
		objects: newObjects(),
		members: map[plan.Key]*member{}, byPool: map[poolRef]map[plan.Key]*member{}, unplaced: map[plan.Key]*member{}, pools: map[poolRef]*pool{},
		addresses: map[string]bool{},
	}
	e.parsing.DefaultCount = trigger.Owned
	if options.Cluster != nil {
		e.parsing.DefaultCount = trigger.Exact
	}
	for _, o := range options.Organizations {
		e.organizations[o.URL] = &organization{url: o.URL, queue: o.Queue}
		e.parsing.Organizations = append(e.parsing.Organizations, o.URL)
	}
	if options.Address != "" {
		e.addresses[options.Address] = true
	}
	e.refresher = newRefresher(options.MaxAge)
	if options.Cluster != nil {
		options.Cluster.OnChange(e.changed)
		for _, s := range options.Cluster.ScaledJobs() {
			e.changed(s.Key)
		}
	}
	return e
}

// Close ends what goes on between polls.
func (e *Engine) Close() {
	if e.options.Cluster != nil {
		e.options.Cluster.OnChange(func(plan.Key) {})
	}
	e.refresher.close()
}

// Parse reads the metadata of a trigger.
func (e *Engine) Parse(metadata map[string]string) (*trigger.Trigger, error) {
	t, err := trigger.Parse(metadata, e.parsing)
	if err != nil {
		return nil, &ConfigError{err.Error()}
	}
	return t, nil
}

// ConfigError is a mistake in a ScaledJob or in its trigger, in words for its
// author.
type ConfigError struct{ message string }

func (e *ConfigError) Error() string { return e.message }

// ViewError is that the view of Kubernetes is out of date, so that nobody knows how
// many Jobs there are.
type ViewError struct{ cause error }

func (e *ViewError) Error() string { return e.cause.Error() }
func (e *ViewError) Unwrap() error { return e.cause }

// outOfDate returns a ViewError if the view of Kubernetes is out of date.
func (e *Engine) outOfDate() error {
	if err := e.options.Cluster.OutOfDate(); err != nil {
		return &ViewError{err}
	}
	return nil
}
