//go:build !nodemo

package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue/adotest"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/proto/externalscaler"
)

// demoKEDA plays KEDA with one ScaledJob per pool, named after it: it asks the
// scaler for the metric and makes Jobs for what exceeds its unfinished ones, as
// KEDA's default strategy does. Each Job runs one agent, which takes one
// pipeline job and leaves the pool.
type demoKEDA struct {
	conn    *grpc.ClientConn
	standIn *adotest.Server
	agents  sync.WaitGroup

	mu      sync.Mutex
	metrics map[string]int64 // by pool, what the scaler said last
	jobs    map[string]int   // by pool, unfinished Jobs
}

func newDemoKEDA(scalerAddr string, standIn *adotest.Server) (*demoKEDA, error) {
	conn, err := grpc.NewClient(scalerAddr, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return nil, err
	}
	return &demoKEDA{conn: conn, standIn: standIn, metrics: map[string]int64{}, jobs: map[string]int{}}, nil
}

func (k *demoKEDA) close() { _ = k.conn.Close() }

// run polls until ctx ends and waits for its agents.
func (k *demoKEDA) run(ctx context.Context, interval time.Duration) error {
	defer k.agents.Wait()
	for tick(ctx, interval) {
		for _, pool := range demoPools {
			if err := k.poll(ctx, pool); err != nil && ctx.Err() == nil {
				return err
			}
		}
	}
	return nil
}

func (k *demoKEDA) poll(ctx context.Context, pool string) error {
	answer, err := externalscaler.NewExternalScalerClient(k.conn).GetMetrics(ctx, &externalscaler.GetMetricsRequest{
		ScaledObjectRef: &externalscaler.ScaledObjectRef{
			Name: pool, Namespace: "demo", ScalerMetadata: map[string]string{"poolName": pool},
		},
	}, grpc.WaitForReady(true))
	if err != nil {
		return err
	}
	if len(answer.GetMetricValues()) != 1 {
		return fmt.Errorf("the scaler returned %d values", len(answer.GetMetricValues()))
	}
	metric := int64(answer.GetMetricValues()[0].GetMetricValueFloat())
	k.mu.Lock()
	defer k.mu.Unlock()
	k.metrics[pool] = metric
	for range metric - int64(k.jobs[pool]) {
		k.jobs[pool]++
		k.agents.Go(func() { k.runAgent(ctx, pool) })
	}
	return nil
}

// runAgent is a Job from its start to its end.
func (k *demoKEDA) runAgent(ctx context.Context, pool string) {
	defer func() {
		k.mu.Lock()
		defer k.mu.Unlock()
		k.jobs[pool]--
	}()
	name := fmt.Sprintf("%s-%s-%s", pool, suffix(), suffix())
	if !tick(ctx, between(time.Second, 3*time.Second)) { // image, pod, registration
		return
	}
	if _, err := k.standIn.AddAgent(pool, adotest.Agent{Name: name}); err != nil {
		return
	}
	for tick(ctx, 200*time.Millisecond) {
		if k.finished(pool, name) && k.standIn.RemoveAgent(pool, name) == nil {
			return
		}
	}
}

// finished reports whether the agent has had its job.
func (k *demoKEDA) finished(pool, agent string) bool {
	for _, r := range k.standIn.Requests(pool) {
		if r.Agent == agent && r.State == adotest.Finished {
			return true
		}
	}
	return false
}

// queueJobs queues jobs now and then until ctx ends.
func queueJobs(ctx context.Context, standIn *adotest.Server) error {
	for tick(ctx, between(500*time.Millisecond, 2500*time.Millisecond)) {
		pool := demoPools[rand.IntN(len(demoPools))]
		for range 1 + rand.IntN(3) {
			if _, err := standIn.Queue(pool, adotest.Job{Duration: between(2*time.Second, 6*time.Second)}); err != nil {
				return errors.New("queueing a job: " + err.Error())
			}
		}
	}
	return nil
}

// tick waits, and reports whether to go on.
func tick(ctx context.Context, d time.Duration) bool {
	select {
	case <-time.After(d):
		return true
	case <-ctx.Done():
		return false
	}
}

func between(least, most time.Duration) time.Duration {
	return least + rand.N(most-least)
}

// suffix is what Kubernetes appends to generated names.
func suffix() string {
	const letters = "bcdfghjklmnpqrstvwxz2456789"
	text := make([]byte, 5)
	for i := range text {
		text[i] = letters[rand.IntN(len(letters))]
	}
	return string(text)
}
