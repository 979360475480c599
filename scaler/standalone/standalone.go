// Package standalone gives agent pools their Jobs where there is no KEDA: from
// the same snapshot and the same plan, it creates the Jobs that are missing.
package standalone

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"go.uber.org/zap"
	batchv1 "k8s.io/api/batch/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/fleet"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/plan"
)

// tellAgain is after how long it is logged once more that passes fail.
const tellAgain = time.Minute

// Queue gives snapshots of an organization's pools, and its parallel jobs.
type Queue interface {
	Snapshot(ctx context.Context, pool adoqueue.PoolRef, maxAge time.Duration) (*adoqueue.Snapshot, error)
	ParallelJobs(ctx context.Context, maxAge time.Duration) (adoqueue.ParallelJobs, error)
}

// Cluster is what Kubernetes holds.
type Cluster interface {
	// Jobs includes those that ended, even if deleted, for as long as a
	// snapshot from before may be used.
	Jobs() []fleet.Job
	JobOf(job *batchv1.Job) fleet.Job
}

// Creator creates Jobs in the namespace of the pools.
type Creator interface {
	Create(ctx context.Context, job *batchv1.Job, options metav1.CreateOptions) (*batchv1.Job, error)
}

// Pool is an agent pool and what it is to have.
type Pool struct {
	Ref adoqueue.PoolRef
	// Group is who serves the pool; its name is what marks the pool's Jobs.
	Group plan.Group
	// Job is what an agent runs in. Kubernetes completes its name.
	Job *batchv1.Job
}

// Options say what a Runner keeps.
type Options struct {
	Organization adoqueue.OrganizationURL
	Queue        Queue
	Pools        []Pool
	Cluster      Cluster
	Creator      Creator
	// Delay is the pause between two passes, and the least time between two
	// requests about a pool.
	Delay time.Duration
	// Timeout bounds what is done for a pool in one pass.
	Timeout time.Duration
	// CapByParallelJobs bounds the agents to those that the organization's
	// parallel jobs let run at once.
	CapByParallelJobs bool
	Logger            *zap.Logger
}

// Runner creates the Jobs that pools lack.
type Runner struct {
	options Options
	ledger  *fleet.Ledger

	mu      sync.Mutex
	created map[string]fleet.Job // by UID: those that are not in view yet

	failing bool
	toldAt  time.Time
}

// New makes a Runner.
func New(options Options) *Runner {
	r := &Runner{options: options, created: map[string]fleet.Job{}}
	r.ledger = fleet.NewLedger(r.jobs)
	return r
}

// Run makes passes until ctx ends. What fails is logged and tried again.
func (r *Runner) Run(ctx context.Context) {
	ticker := time.NewTicker(r.options.Delay)
	defer ticker.Stop()
	for {
		if err := r.Pass(ctx); ctx.Err() == nil {
			r.tell(err)
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
	}
}

// tell logs that passes fail, and that they do no longer, but not every pass.
func (r *Runner) tell(err error) {
	switch {
	case err == nil && r.failing:
		r.options.Logger.Info("working again")
	case err != nil && (!r.failing || time.Since(r.toldAt) >= tellAgain):
		r.options.Logger.Error("not all pools could be served, trying again", zap.Error(err))
		r.toldAt = time.Now()
	}
	r.failing = err != nil
}

// Pass looks at each pool once and creates what it lacks. The error holds that
// of each pool that could not be served.
func (r *Runner) Pass(ctx context.Context) error {
	failures := make([]error, len(r.options.Pools))
	var pools sync.WaitGroup
	for i := range r.options.Pools {
		pools.Go(func() { failures[i] = r.serve(ctx, &r.options.Pools[i]) })
	}
	pools.Wait()
	return errors.Join(failures...)
}

func (r *Runner) serve(ctx context.Context, pool *Pool) error {
	ctx, cancel := context.WithTimeout(ctx, r.options.Timeout)
	defer cancel()
	snapshot, err := r.options.Queue.Snapshot(ctx, pool.Ref, r.options.Delay)
	if err != nil {
		return err
	}
	limit, unbounded := r.parallelJobs(ctx, snapshot)
	made, pauses := r.ledger.Plan(fleet.Question{
		Organization: r.options.Organization, Snapshot: snapshot, ParallelJobs: limit,
		Groups: map[plan.Key]plan.Group{pool.Group.Key: pool.Group},
	})
	for _, pause := range pauses {
		if pause.New {
			r.options.Logger.Warn("a pool is held back", zap.String("pool", snapshot.Pool.Name), zap.String("reason", pause.Reason))
		}
	}
	// An old snapshot serves on, and yet something is wrong.
	return errors.Join(snapshot.Err, unbounded, r.create(ctx, pool, made.Groups[pool.Group.Key].Missing))
}

// parallelJobs are those of the organization if they are to bound the agents,
// no older than the snapshot: of a request given to an agent between the two,
// neither would know.
func (r *Runner) parallelJobs(ctx context.Context, snapshot *adoqueue.Snapshot) (*adoqueue.ParallelJobs, error) {
	if !r.options.CapByParallelJobs {
		return nil, nil //nolint:nilnil // no bound and nothing wrong
	}
	limit, err := r.options.Queue.ParallelJobs(ctx, time.Since(snapshot.RequestedAt))
	if err != nil {
		return nil, fmt.Errorf("agents are not bounded by the parallel jobs: %w", err)
	}
	return &limit, nil
}

// create makes Jobs, until one cannot be made.
func (r *Runner) create(ctx context.Context, pool *Pool, missing int) error {
	for n := range missing {
		job, err := r.options.Creator.Create(ctx, pool.Job.DeepCopy(), metav1.CreateOptions{})
		if err != nil {
			r.log(pool, n)
			return fmt.Errorf("create a Job for %s: %w", pool.Ref, err)
		}
		r.mu.Lock()
		r.created[string(job.UID)] = r.options.Cluster.JobOf(job)
		r.mu.Unlock()
	}
	r.log(pool, missing)
	return nil
}

func (r *Runner) log(pool *Pool, created int) {
	if created > 0 {
		r.options.Logger.Info("created Jobs", zap.Stringer("pool", pool.Ref), zap.Int("jobs", created))
	}
}

// jobs are those in view and those that are so new that they are not: without
// these, each pass would make them once more.
func (r *Runner) jobs() []fleet.Job {
	r.mu.Lock()
	defer r.mu.Unlock()
	list := r.options.Cluster.Jobs()
	for i := range list {
		delete(r.created, list[i].UID)
	}
	for uid, job := range r.created {
		if time.Since(job.Created) > fleet.RememberFor { // it came and went unseen
			delete(r.created, uid)
			continue
		}
		list = append(list, job)
	}
	return list
}
