package main

import (
	"context"
	"time"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue/adotest"
	"golang.org/x/sync/errgroup"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/test/cluster"
)

// feed queues the bursts. Each comes a little later in KEDA's rhythm than the one
// before, so that over a run all moments between two polls are met: otherwise
// the waiting times would show when the run happened to begin.
func (t *trial) feed(ctx context.Context) error {
	t.begin, t.asked = time.Now(), t.env.Azure.Count("", 0)
	every := t.scenario.every + t.interval/time.Duration(t.scenario.bursts)
	group, ctx := errgroup.WithContext(ctx)
	for i, jobs := range t.scenario.jobs() {
		if err := cluster.Sleep(ctx, time.Until(t.begin.Add(time.Duration(i)*every))); err != nil {
			return err
		}
		requests, err := t.queue(jobs)
		if err != nil {
			return err
		}
		t.queued = append(t.queued, requests...)
		for k, after := range t.scenario.cancel {
			request := requests[len(requests)-1-k]
			group.Go(func() error { return t.cancel(ctx, request, after) })
		}
	}
	return group.Wait()
}

func (t *trial) queue(jobs []adotest.Job) (requests []int64, err error) {
	for _, job := range jobs {
		request, err := t.env.Azure.Queue(cluster.Pool, job)
		if err != nil {
			return nil, err
		}
		requests = append(requests, request)
	}
	return requests, nil
}

// cancel cancels a job unless an agent has got it by then.
func (t *trial) cancel(ctx context.Context, request int64, after time.Duration) error {
	if err := cluster.Sleep(ctx, after); err != nil {
		return err
	}
	if r, _ := t.env.Azure.Request(request); r.State != adotest.Queued {
		return nil
	}
	return t.env.Azure.Cancel(request)
}

// settle waits until all jobs have ended or starved, their agents too, and KEDA
// has polled since.
func (t *trial) settle(ctx context.Context) error {
	for _, request := range t.queued {
		if err := cluster.Until(ctx, func() bool {
			r, _ := t.env.Azure.Request(request)
			return r.State == adotest.Finished || r.State == adotest.Queued && time.Since(r.QueueTime) > starvedAfter
		}); err != nil {
			return err
		}
	}
	return cluster.Sleep(ctx, agentTimes.Cleaning+2*t.interval)
}
