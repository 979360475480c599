// Package housekeeping keeps agent pools fit for scaling from zero.
//
// Azure DevOps fails a job at once if no registered agent could ever run it, so
// a pool without agents needs placeholders: agents that are registered and stay
// offline. Agents that were killed leave entries that look the same and mislead.
// And a Job whose pod cannot start occupies a slot without anybody noticing.
//
// A Keeper reconciles each pool: functions without I/O decide what to do from an
// observation of the pool, and the next observation shows what is still missing.
// So a Keeper that ends in the middle of anything needs no clean-up.
package housekeeping

import (
	"cmp"
	"context"
	"sync"
	"time"

	"go.uber.org/zap"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/fleet"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/plan"
)

// The defaults of Settings.
const (
	DefaultGrace      = 10 * time.Minute
	DefaultStuckAfter = 15 * time.Minute
)

const (
	// membersInterval is the time between two calls of Options.Members.
	membersInterval = time.Second
	// reconcileInterval is the time between two reconciliations of a pool, or of
	// stuck Jobs, while nothing changes.
	reconcileInterval = time.Minute
)

// Settings select the parts of housekeeping.
type Settings struct {
	// Placeholders keeps one offline agent for each set of capabilities.
	Placeholders bool
	// OfflineAgents removes agents of Jobs that ended without removing them from
	// the pool.
	OfflineAgents bool
	// Grace is how long an agent must have been offline, or a placeholder
	// unused, before it is removed; 0 means DefaultGrace.
	Grace time.Duration
	// StuckAfter is how long the pod of a Job may take to start before an event
	// is emitted; 0 disables the check.
	StuckAfter time.Duration
	// DeleteStuck deletes Jobs whose pods have not started by then.
	DeleteStuck bool
	// EndIdle deletes Jobs of our launcher whose idle agents are surplus after a
	// period of the schedule, or were replaced.
	EndIdle bool
	// AnnotateJobs adds the pipeline and the run to a Job once its agent holds a
	// request.
	AnnotateJobs bool
	// EvictableIdle keeps a PodDisruptionBudget for each ScaledJob of our launcher,
	// which protects its agents but for those that have been idle for a while.
	EvictableIdle bool
	// DryRun only reports what would be done.
	DryRun bool
}

// poolsEnabled reports whether there is anything to do in pools.
func (s *Settings) poolsEnabled() bool { return s.Placeholders || s.OfflineAgents }

// Member is a ScaledJob that serves a pool.
type Member struct {
	// Key identifies the ScaledJob.
	Key plan.Key
	// Organization is its URL, as in Options.
	Organization string
	Pool         adoqueue.PoolRef
	// Capabilities are what its agents offer, and what its placeholder needs.
	// Jobs without demands are met by an empty set. Nil means that the ScaledJob
	// needs no placeholder because it has its own.
	Capabilities adoqueue.Capabilities
	// UID is that of the ScaledJob. Launcher reports whether its agents are started
	// by our launcher.
	UID      types.UID
	Launcher bool
}

// Cluster is the Kubernetes cluster as housekeeping uses it.
type Cluster interface {
	// Jobs returns all Jobs, including those deleted in the last minutes.
	Jobs() []fleet.Job
	// Note records a normal event on a ScaledJob.
	Note(namespace, scaledJob, reason, message string)
	// Warn records a warning event on a ScaledJob.
	Warn(namespace, scaledJob, reason, message string)
}

// jobsOf returns the Jobs of the ScaledJobs that are keys of the map.
func jobsOf[V any](cluster Cluster, scaledJobs map[plan.Key]V) []fleet.Job {
	var jobs []fleet.Job
	for _, job := range cluster.Jobs() {
		if _, ok := scaledJobs[scaledJobOf(&job)]; ok {
			jobs = append(jobs, job)
		}
	}
	return jobs
}

func scaledJobOf(job *fleet.Job) plan.Key {
	return plan.Key{Namespace: job.Namespace, Name: job.ScaledJob}
}

// Options are what a Keeper needs.
type Options struct {
	Settings Settings
	// Owner distinguishes this scaler from others that keep the same pools, such
	// as that of another cluster. All replicas need the same value, and it must
	// not change with a restart. It is visible in the pool.
	Owner string
	// Organizations are the clients by the organization's URL.
	Organizations map[string]*adoqueue.Client
	// Members returns the ScaledJobs that are served now. It is called every
	// second.
	Members func() []Member
	Cluster Cluster
	// Pods finds the Jobs whose pods do not start. Settings.StuckAfter requires
	// it.
	Pods Pods
	// Idle returns the ScaledJobs that keep idle agents. Settings.EndIdle and
	// Settings.EvictableIdle require it.
	Idle Idle
	// Budgets protects pods from eviction. Settings.EvictableIdle requires it.
	Budgets Budgets
	// Held returns the Jobs to annotate, and Jobs annotates them.
	// Settings.AnnotateJobs requires both.
	Held    Held
	Jobs    Jobs
	Metrics *Metrics
	Logger  *zap.Logger
}

// Keeper does the housekeeping.
type Keeper struct {
	options  Options
	reporter reporter
}

// New returns a Keeper.
func New(options Options) *Keeper {
	options.Settings.Grace = cmp.Or(options.Settings.Grace, DefaultGrace)
	return &Keeper{options: options, reporter: reporter{
		cluster: options.Cluster, metrics: options.Metrics, logger: options.Logger,
	}}
}

// Run does the housekeeping until ctx ends. Failures are logged, recorded as
// events and retried. Only one replica at a time should be in Run, but nothing
// breaks while two briefly are.
func (k *Keeper) Run(ctx context.Context) {
	var running sync.WaitGroup
	if k.options.Settings.poolsEnabled() {
		for url, client := range k.options.Organizations {
			o := newOrganizationKeeper(k, url, client)
			running.Go(func() { wait.NonSlidingUntilWithContext(ctx, o.reconcile, membersInterval) })
		}
	}
	if k.options.Settings.StuckAfter > 0 {
		s := newStuckJobs(k)
		running.Go(func() { wait.NonSlidingUntilWithContext(ctx, s.reconcile, reconcileInterval) })
	}
	if k.options.Settings.EndIdle {
		a := newIdleAgents(k)
		running.Go(func() { wait.NonSlidingUntilWithContext(ctx, a.reconcile, idleInterval) })
	}
	if k.options.Settings.AnnotateJobs {
		a := newAnnotator(k)
		running.Go(func() { wait.NonSlidingUntilWithContext(ctx, a.reconcile, annotateInterval) })
	}
	if k.options.Settings.EvictableIdle {
		b := newBudgets(k)
		running.Go(func() { wait.NonSlidingUntilWithContext(ctx, b.reconcile, idleInterval) })
	}
	running.Wait()
	k.options.Metrics.clearStuck()
}
