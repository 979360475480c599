package faults

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue/adotest"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/test/cluster"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/test/workload"
)

// Load is a long time of jobs.
type Load struct {
	For   time.Duration // how long jobs are queued
	Every time.Duration // the time between two
	// Watch looks at the scaler until its context ends, which it does with the load.
	Watch func(context.Context, *cluster.Scaler) error
}

// LoadResult is what became of a load's jobs.
type LoadResult struct {
	Requests, Jobs, Surplus, Lost int
	Median, P99                   time.Duration // that a request waited for its agent
	Answers, Errors               int
	Zeros                         []string // answers of 0 that were wrong
}

// String sums it up.
func (r LoadResult) String() string {
	return fmt.Sprintf("%d requests, %d Jobs, %d surplus, %d lost, wait %.1f s, p99 %.1f s, %d of %d answers were errors, %d wrong zeros",
		r.Requests, r.Jobs, r.Surplus, r.Lost, r.Median.Seconds(), r.P99.Seconds(), r.Errors, r.Answers, len(r.Zeros))
}

// Problem returns what must not be.
func (r LoadResult) Problem() error {
	if r.Surplus != 0 || r.Lost != 0 || r.Errors != 0 || r.Requests == 0 || len(r.Zeros) > 0 {
		return errors.New(strings.Join(append([]string{r.String()}, r.Zeros...), "\n"))
	}
	return nil
}

// Soak queues jobs for a long time.
func (l *Lab) Soak(ctx context.Context, load Load) (result LoadResult, err error) {
	t, end, err := l.prepare(ctx, Fault{Name: "soak", Lists: true, Setup: func(s *Setup) {
		s.Job = func(job *workload.ScaledJob) { job.MaxReplicas = 1000 }
	}})
	if err != nil {
		return LoadResult{}, err
	}
	defer func() { err = errors.Join(err, end()) }()
	watching, stop := context.WithCancel(ctx)
	watched := make(chan error, 1)
	go func() { watched <- load.Watch(watching, t.Scalers[0].Scaler) }()
	err = t.load(ctx, load)
	stop()
	if err := errors.Join(err, <-watched); err != nil {
		return LoadResult{}, err
	}
	if err := t.await(ctx, t.requests, adotest.Finished); err != nil {
		return LoadResult{}, err
	}
	if err := t.settle(ctx); err != nil {
		return LoadResult{}, err
	}
	return t.loadResult()
}

// load queues jobs at the rate, however long each takes to queue.
func (t *Trial) load(ctx context.Context, load Load) error {
	random := rand.New(rand.NewPCG(14, 14))
	begin := time.Now()
	for at := time.Duration(0); at < load.For; at += load.Every {
		if err := cluster.Sleep(ctx, time.Until(begin.Add(at))); err != nil {
			return err
		}
		if _, err := t.Queue(1, usualJobTime+time.Duration(random.Int64N(int64(usualJobTime)))); err != nil {
			return err
		}
	}
	return nil
}

func (t *Trial) loadResult() (LoadResult, error) {
	all, err := t.result()
	if err != nil {
		return LoadResult{}, err
	}
	r := LoadResult{
		Requests: all.Requests, Jobs: all.Jobs, Surplus: all.Surplus, Lost: all.Lost, Answers: all.Answers, Errors: all.Errors,
		Zeros: all.Zeros,
	}
	var waits []time.Duration
	for _, id := range t.requests {
		if request, _ := t.Azure.Request(id); !request.ReceiveTime.IsZero() {
			waits = append(waits, request.ReceiveTime.Sub(request.QueueTime))
		}
	}
	slices.Sort(waits)
	if n := len(waits); n > 0 {
		r.Median, r.P99 = waits[n/2], waits[n*99/100]
	}
	return r, nil
}
