package main

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue/adotest"
)

// pollingDelay is the scaler's default: a pool is asked about once in it at most.
const pollingDelay = time.Second

// sharing is the number of requests to Azure DevOps about pools on which nothing
// differs but the number of ScaledJobs and when they are polled.
type sharing struct {
	// jobsWait reports whether a job is queued, so that the scaler refreshes the
	// pool between polls.
	jobsWait              bool
	one, together, spread int
}

// shared counts the requests about pools with one ScaledJob, with many that are
// polled together, and with many whose polls are spread over the interval.
func (m measurement) shared(ctx context.Context) ([]sharing, error) {
	progress("counting requests to Azure DevOps for %v", m.duration)
	var pools []sharedPool
	for _, jobsWait := range []bool{false, true} {
		pools = append(pools,
			sharedPool{scaledJobs: 1, jobsWait: jobsWait, poll: (*poller).together},
			sharedPool{scaledJobs: m.sharing, jobsWait: jobsWait, poll: (*poller).together},
			sharedPool{scaledJobs: m.sharing, jobsWait: jobsWait, poll: (*poller).spread})
	}
	for i := range pools {
		pools[i].name = fmt.Sprintf("shared-%d", i)
		if err := m.prepare(ctx, &pools[i]); err != nil {
			return nil, err
		}
	}
	if err := m.poll(ctx, pools); err != nil {
		return nil, err
	}
	counts := []sharing{}
	for i := 0; i < len(pools); i += 3 {
		counts = append(counts, sharing{pools[i].jobsWait, pools[i].requests, pools[i+1].requests, pools[i+2].requests})
	}
	return counts, nil
}

// sharedPool is a pool of the comparison.
type sharedPool struct {
	name       string
	scaledJobs int
	jobsWait   bool
	poll       func(*poller, context.Context, time.Duration)
	poller     *poller
	requests   int
}

// prepare creates a pool and its ScaledJobs.
func (m measurement) prepare(ctx context.Context, p *sharedPool) error {
	m.azure.addPool(p.name)
	if p.jobsWait {
		if _, err := m.azure.Queue(p.name, adotest.Job{SkipMatch: true}); err != nil {
			return err
		}
	}
	refs := make([]ref, p.scaledJobs)
	for i := range refs {
		refs[i] = ref{name: fmt.Sprintf("%s-%d", p.name, i), pool: p.name}
	}
	_, err := m.server.createScaledJobs(ctx, refs, m.azure.URL(), m.interval)
	p.poller = newPoller(m.keda, refs)
	return err
}

// poll polls for the ScaledJobs of all pools and counts whole intervals of polls.
func (m measurement) poll(ctx context.Context, pools []sharedPool) error {
	ctx, stop := context.WithCancel(ctx)
	var polling sync.WaitGroup
	defer polling.Wait()
	defer stop()
	for _, p := range pools {
		polling.Go(func() { p.poll(p.poller, ctx, m.interval) })
	}
	// Between two polls of those that are polled together.
	if err := sleep(ctx, m.interval+m.interval/2); err != nil {
		return err
	}
	for i := range pools {
		pools[i].requests = -m.azure.Count("", m.azure.pools[pools[i].name])
	}
	if err := sleep(ctx, max(m.duration.Truncate(m.interval), m.interval)); err != nil {
		return err
	}
	for i := range pools {
		pools[i].requests += m.azure.Count("", m.azure.pools[pools[i].name])
		if n, err := pools[i].poller.failures(); n > 0 {
			return fmt.Errorf("%d polls failed: %w", n, err)
		}
	}
	return nil
}
