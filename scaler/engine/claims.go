package engine

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/plan"
)

// claimFor is how long a pool that nobody asks about any more has a claim on the
// organization's parallel jobs.
const claimFor = time.Minute

// claims are what the pools of an organization have claimed of its parallel jobs:
// queued requests that some Job is to take.
type claims struct {
	// generation counts the changes of claims.
	generation atomic.Uint64

	mu     sync.Mutex
	byPool map[*pool]claim
	// unbounded reports that the parallel jobs could not be read last.
	unbounded bool
}

type claim struct {
	requests int
	at       time.Time
}

// parallelJobs returns those of the organization if they are to bound the agents,
// nil if not. They are no older than the snapshot: a request assigned in between
// would be missed and a surplus Job created.
func (e *Engine) parallelJobs(ctx context.Context, o *organization, snapshot *adoqueue.Snapshot) (*adoqueue.ParallelJobs, error) {
	if !e.options.CapByParallelJobs {
		return nil, nil //nolint:nilnil // no bound and nothing wrong
	}
	limit, err := o.queue.ParallelJobs(ctx, time.Since(snapshot.RequestedAt))
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	o.claims.mu.Lock()
	reported := o.claims.unbounded
	o.claims.unbounded = err != nil
	o.claims.mu.Unlock()
	if err == nil {
		return &limit, nil
	}
	if !reported {
		e.options.Logger.Warn("agents are not bounded by the organization's parallel jobs, which cannot be read",
			zap.Stringer("organization", o.url), zap.Error(err))
	}
	return nil, nil //nolint:nilnil // reported; without a bound is better than without agents
}

// bound sets how many requests the plan of a decision may start.
func (c *claims) bound(in *plan.Input, d *Decision, of *pool, limit *adoqueue.ParallelJobs) {
	c.mu.Lock()
	defer c.mu.Unlock()
	d.claims = c.generation.Load()
	if limit == nil {
		return
	}
	free := limit.Limit - limit.Used
	for other, claimed := range c.byPool {
		if other != of && time.Since(claimed.at) < claimFor {
			free -= claimed.requests
		}
	}
	in.ParallelJobs = &free
}

// claim takes in what a decision claims. One that was made while another pool's
// claim changed stays behind, and is made again.
func (c *claims) claim(d *Decision, of *pool) {
	requests := 0
	for _, group := range d.Plan.Groups {
		requests += group.Queued
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.byPool == nil {
		c.byPool = map[*pool]claim{}
	}
	if c.byPool[of].requests != requests && c.generation.Add(1) == d.claims+1 {
		d.claims++
	}
	c.byPool[of] = claim{requests, time.Now()}
}
