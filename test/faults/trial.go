package faults

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue/adotest"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/test/cluster"
)

const (
	scaledJob = "build"
	// patience bounds each wait, on a machine that has much else to do.
	patience = 3 * time.Minute
)

// Trial is a fault that is tried.
type Trial struct {
	*cluster.Env

	// KEDA is the path from KEDA to the scaler; API is that from the scaler to
	// Kubernetes.
	KEDA, API *Link
	Scalers   []*replica

	Fault Fault
	lab   *Lab
	setup Setup
	tap   *Tap
	front *Front
	dir   string
	pool  int // id

	begin, end time.Time // of the fault
	requests   []int64

	mu        sync.Mutex
	killed    map[string]bool // agents that were
	cancelled map[int64]bool
}

// Try tries a fault.
func (l *Lab) Try(ctx context.Context, f Fault) (result Result, err error) {
	t, end, err := l.prepare(ctx, f)
	if err != nil {
		return Result{}, err
	}
	defer func() { err = errors.Join(err, end()) }()
	if err := t.run(ctx); err != nil {
		return Result{}, errors.Join(err, t.keepTimeline())
	}
	result, err = t.result()
	return result, errors.Join(err, t.keepTimeline())
}

// run queues jobs before, during and after the fault.
func (t *Trial) run(ctx context.Context) error {
	running, err := t.Queue(2, t.Fault.outlasting())
	if err != nil {
		return err
	}
	if err := t.await(ctx, running, adotest.Running); err != nil {
		return err
	}
	if _, err := t.Queue(1, t.Fault.jobTime()); err != nil {
		return err
	}
	t.begin = time.Now()
	repair, err := t.Fault.Begin(ctx, t)
	if err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	err = t.during(ctx)
	if err := errors.Join(err, repair(ctx)); err != nil {
		return err
	}
	t.end = time.Now()
	if err := t.hold(ctx); err != nil {
		return err
	}
	if _, err := t.Queue(2, t.Fault.jobTime()); err != nil {
		return err
	}
	if err := t.await(ctx, t.requests, adotest.Finished); err != nil {
		return err
	}
	return t.settle(ctx)
}

// during lets the fault last.
func (t *Trial) during(ctx context.Context) error {
	for _, step := range []struct {
		pause time.Duration
		jobs  int
	}{{t.Fault.lasts() / 4, 2}, {t.Fault.lasts() / 2, 1}, {t.Fault.lasts() / 4, 0}} {
		if err := cluster.Sleep(ctx, step.pause); err != nil {
			return err
		}
		if _, err := t.Queue(step.jobs, t.Fault.jobTime()); err != nil {
			return err
		}
	}
	return nil
}

// hold waits until the last answer of the fault allows the next request. That
// counts as the fault's end.
func (t *Trial) hold(ctx context.Context) error {
	if t.Fault.Hold == 0 {
		return nil
	}
	for _, call := range t.Azure.Calls() {
		if call.Time.Before(t.end) && call.Time.After(t.begin) && call.Time.Add(t.Fault.Hold).After(t.end) {
			t.end = call.Time.Add(t.Fault.Hold)
		}
	}
	return cluster.Sleep(ctx, time.Until(t.end))
}

// Queue queues jobs that run for this long.
func (t *Trial) Queue(n int, duration time.Duration) ([]int64, error) {
	var ids []int64
	for range n {
		id, err := t.Azure.Queue(cluster.Pool, adotest.Job{Duration: duration})
		if err != nil {
			return nil, err
		}
		ids = append(ids, id)
	}
	t.requests = append(t.requests, ids...)
	return ids, nil
}

// Cancel cancels a job unless it has ended.
func (t *Trial) Cancel(id int64) {
	if t.Azure.Cancel(id) == nil {
		t.mu.Lock()
		defer t.mu.Unlock()
		t.cancelled[id] = true
	}
}

// await waits until all these requests are in a state. One that still waits for an
// agent after patience is given up: it is lost.
func (t *Trial) await(ctx context.Context, ids []int64, state adotest.State) error {
	deadline := time.Now().Add(patience)
	for _, id := range ids {
		if err := cluster.Until(ctx, func() bool {
			r, _ := t.Azure.Request(id)
			return r.State == state || r.State == adotest.Finished || time.Now().After(deadline)
		}); err != nil {
			return err
		}
	}
	return nil
}

// settle waits until all Jobs have ended and KEDA has polled since. A surplus Job
// may not end; then that is the result.
func (t *Trial) settle(ctx context.Context) error {
	deadline := time.Now().Add(agentTimes.Patience / 4)
	if err := cluster.Until(ctx, func() bool {
		for _, job := range t.lab.Record.Of(t.Namespace) {
			if job.Ended.IsZero() {
				return time.Now().After(deadline)
			}
		}
		return true
	}); err != nil {
		return err
	}
	return t.polledAgain(ctx, 3)
}

// polledAgain waits until KEDA has got so many answers from now on.
func (t *Trial) polledAgain(ctx context.Context, times int) error {
	ctx, cancel := context.WithTimeoutCause(ctx, patience, errors.New("KEDA does not poll"))
	defer cancel()
	begin := t.tap.Polls()
	return cluster.Until(ctx, func() bool { return t.tap.Polls()-begin >= times })
}
