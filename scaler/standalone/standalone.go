// Package standalone drives agent pools without KEDA: it creates the Jobs that the
// engine's decisions lack.
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

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/engine"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/fleet"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/plan"
)

// reportEvery is how often it is logged that passes keep failing.
const reportEvery = time.Minute

// Cluster takes in the Jobs that are created, before an event shows them.
type Cluster interface {
	JobOf(job *batchv1.Job) fleet.Job
	AddCreated(job fleet.Job)
}

// Creator creates Jobs in the namespace of the pools.
type Creator interface {
	Create(ctx context.Context, job *batchv1.Job, options metav1.CreateOptions) (*batchv1.Job, error)
}

// Pool is an agent pool and the Jobs it gets.
type Pool struct {
	// Key is what stands for a ScaledJob of the pool in the engine's view.
	Key plan.Key
	// Name is for people.
	Name string
	// Job is what an agent runs in. Kubernetes completes its name.
	Job *batchv1.Job
}

// Options say what a Runner keeps.
type Options struct {
	Engine  *engine.Engine
	Pools   []Pool
	Cluster Cluster
	Creator Creator
	// Delay is the pause between two passes over a pool.
	Delay time.Duration
	// Timeout bounds what is done for a pool in one pass.
	Timeout time.Duration
	Logger  *zap.Logger
}

// Runner creates the Jobs that pools lack.
type Runner struct{ options Options }

// New returns a Runner.
func New(options Options) *Runner { return &Runner{options: options} }

// Run serves each pool again and again until ctx ends, independent of the others: a
// slow pool delays none. Failures are logged and retried.
func (r *Runner) Run(ctx context.Context) {
	var pools sync.WaitGroup
	for i := range r.options.Pools {
		pools.Go(func() { r.keep(ctx, &r.options.Pools[i]) })
	}
	pools.Wait()
}

func (r *Runner) keep(ctx context.Context, pool *Pool) {
	ticker := time.NewTicker(r.options.Delay)
	defer ticker.Stop()
	failures := failures{logger: r.options.Logger.With(zap.String("pool", pool.Name))}
	for {
		if err := r.serve(ctx, pool); ctx.Err() == nil {
			failures.report(err)
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
	}
}

// failures are those of one pool.
type failures struct {
	logger     *zap.Logger
	failing    bool
	reportedAt time.Time
}

// report logs that passes fail, and that they succeed again, but not every pass.
func (f *failures) report(err error) {
	switch {
	case err == nil && f.failing:
		f.logger.Info("working again")
	case err != nil && (!f.failing || time.Since(f.reportedAt) >= reportEvery):
		f.logger.Error("serving a pool failed; retried automatically", zap.Error(err))
		f.reportedAt = time.Now()
	}
	f.failing = err != nil
}

// Pass creates what each pool lacks, once. The error holds that of each pool that
// could not be served.
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
	missing, snapshot, err := r.options.Engine.Missing(ctx, pool.Key)
	if err != nil {
		return err
	}
	created, err := r.create(ctx, pool, missing)
	if created > 0 {
		r.options.Logger.Info("created Jobs", zap.String("pool", pool.Name), zap.Int("jobs", created))
	}
	// An old snapshot is still an answer, and yet something is wrong.
	return errors.Join(snapshot.Err, err)
}

// create creates Jobs until one cannot be created, and returns how many it has.
func (r *Runner) create(ctx context.Context, pool *Pool, missing int) (created int, err error) {
	for created < missing {
		job, err := r.options.Creator.Create(ctx, pool.Job.DeepCopy(), metav1.CreateOptions{})
		if err != nil {
			return created, fmt.Errorf("create a Job for pool %q: %w", pool.Name, err)
		}
		r.options.Cluster.AddCreated(r.options.Cluster.JobOf(job))
		created++
	}
	return created, nil
}
