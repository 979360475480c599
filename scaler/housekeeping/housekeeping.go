// Package housekeeping keeps agent pools fit for scaling from zero.
//
// Azure DevOps fails a job at once if no registered agent could ever run it, so
// a pool without agents needs placeholders: agents that are registered and stay
// offline. Agents that were killed leave entries that look the same and mislead.
// And a Job whose pod cannot start holds a place without anybody being told.
//
// What is to be done is decided by functions without I/O, from what a look at a
// pool finds; the next look finds the rest, so a Keeper that ends in the middle
// of anything needs no cleaning up after.
package housekeeping

import (
	"cmp"
	"context"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/fleet"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/plan"
)

// The defaults of Settings.
const (
	DefaultGrace      = 10 * time.Minute
	DefaultStuckAfter = 15 * time.Minute
)

// Settings switch the parts of housekeeping on, one by one.
type Settings struct {
	// Placeholders keeps one offline agent for each set of capabilities.
	Placeholders bool
	// OfflineAgents removes agents of Jobs that ended without taking them out.
	OfflineAgents bool
	// Grace is how long an agent must have been offline, or a placeholder
	// without a ScaledJob, to be removed; 0 means DefaultGrace.
	Grace time.Duration
	// StuckAfter is how long the pod of a Job may take to start before that is
	// told of; 0 is for ever.
	StuckAfter time.Duration
	// DeleteStuck deletes such Jobs.
	DeleteStuck bool
	// DryRun changes nothing and tells what would be.
	DryRun bool
}

// Member is a ScaledJob that serves a pool.
type Member struct {
	plan.Key
	// Organization is its URL, as in Options.
	Organization string
	Pool         adoqueue.PoolRef
	// Capabilities are what its agents offer, and what a placeholder is to have
	// for it. An empty set is met by jobs without demands. Nil means that it
	// needs no placeholder, having one of its own.
	Capabilities adoqueue.Capabilities
}

// Cluster is what Kubernetes holds, and where people look.
type Cluster interface {
	// Jobs includes those that were deleted in the last minutes.
	Jobs() []fleet.Job
	// Note and Warn record an event on a ScaledJob.
	Note(namespace, scaledJob, reason, message string)
	Warn(namespace, scaledJob, reason, message string)
}

// Options are what a Keeper needs.
type Options struct {
	Settings
	// Owner tells this scaler from others that keep the same pools, such as
	// that of another cluster. It has to be the same for all of its replicas,
	// and after a restart. It shows in the pool.
	Owner string
	// Organizations are the clients by the organization's URL.
	Organizations map[string]*adoqueue.Client
	// Members gives the ScaledJobs that are served, as they are now. It is
	// called every second.
	Members func() []Member
	Cluster Cluster
	// Pods looks into Jobs that do not start; needed for StuckAfter only.
	Pods    Pods
	Metrics *Metrics
	Logger  *zap.Logger
}

// Keeper does the housekeeping.
type Keeper struct {
	Options
	reporter
}

// New makes a Keeper.
func New(options Options) *Keeper {
	options.Grace = cmp.Or(options.Grace, DefaultGrace)
	return &Keeper{Options: options, reporter: reporter{
		cluster: options.Cluster, metrics: options.Metrics, logger: options.Logger,
	}}
}

// Run keeps house until ctx ends. Of several replicas only one may be in it at a
// time, though nothing breaks while two are for a moment. What goes wrong is
// logged, told in events and tried again.
func (k *Keeper) Run(ctx context.Context) {
	var group errgroup.Group
	if k.Placeholders || k.OfflineAgents {
		for url, client := range k.Organizations {
			o := newOrganization(k, url, client)
			group.Go(func() error { return each(ctx, time.Second, o.step) })
		}
	}
	if k.StuckAfter > 0 {
		s := &stuckJobs{Keeper: k}
		group.Go(func() error { return each(ctx, lookEvery, s.step) })
	}
	_ = group.Wait() // each ends with ctx
	k.Metrics.leave()
}

// each calls step at once and then in this interval until ctx ends.
func each(ctx context.Context, interval time.Duration, step func(context.Context)) error {
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		step(ctx)
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}
