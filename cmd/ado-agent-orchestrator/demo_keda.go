//go:build !nodemo

package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue/adotest"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/proto/externalscaler"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/fleet"
)

// How long agents take, and wait for a job.
const (
	demoIdleTimeout = 3 * time.Second
	demoCleanUp     = 1500 * time.Millisecond
)

// demoKEDA plays KEDA: it asks the scaler for the metric of each ScaledJob and makes
// Jobs for what exceeds its unfinished ones, as KEDA's default strategy does. Each Job
// runs one agent, which takes one pipeline job and leaves the pool.
type demoKEDA struct {
	conn    *grpc.ClientConn
	standIn *adotest.Server
	view    *fleet.Fleet
	agents  sync.WaitGroup

	mu sync.Mutex
	// By pool: what the scaler said last, and the Jobs that are unfinished, that
	// were created, and that ended without having had a job.
	metrics                      map[string]int64
	unfinished, created, surplus map[string]int
}

func newDemoKEDA(scalerAddr string, standIn *adotest.Server, view *fleet.Fleet) (*demoKEDA, error) {
	conn, err := grpc.NewClient(scalerAddr, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return nil, err
	}
	return &demoKEDA{
		conn: conn, standIn: standIn, view: view,
		metrics: map[string]int64{}, unfinished: map[string]int{}, created: map[string]int{}, surplus: map[string]int{},
	}, nil
}

func (k *demoKEDA) close() { _ = k.conn.Close() }

// run polls until ctx ends and waits for its agents.
func (k *demoKEDA) run(ctx context.Context, interval time.Duration) error {
	defer k.agents.Wait()
	for tick(ctx, interval) {
		for _, way := range demoWays {
			if err := k.poll(ctx, way); err != nil && ctx.Err() == nil {
				return err
			}
		}
	}
	return nil
}

func (k *demoKEDA) poll(ctx context.Context, way demoWay) error {
	answer, err := externalscaler.NewExternalScalerClient(k.conn).GetMetrics(ctx, &externalscaler.GetMetricsRequest{
		ScaledObjectRef: &externalscaler.ScaledObjectRef{Name: way.pool, Namespace: demoNamespace, ScalerMetadata: way.metadata()},
	}, grpc.WaitForReady(true))
	if err != nil {
		return err
	}
	if len(answer.GetMetricValues()) != 1 {
		return fmt.Errorf("the scaler returned %d values", len(answer.GetMetricValues()))
	}
	metric := int64(answer.GetMetricValues()[0].GetMetricValueFloat())
	if way.builtIn {
		metric = k.unfinishedRequests(way.pool)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.metrics[way.pool] = metric
	for range metric - int64(k.unfinished[way.pool]) {
		k.unfinished[way.pool]++
		k.created[way.pool]++
		job := newDemoJob(way)
		k.view.SetJob(job)
		k.agents.Go(func() { k.runJob(ctx, way.pool, job) })
	}
	return nil
}

// unfinishedRequests is what KEDA's built-in scaler counts.
func (k *demoKEDA) unfinishedRequests(pool string) (n int64) {
	for _, r := range k.standIn.Requests(pool) {
		if r.State != adotest.Finished {
			n++
		}
	}
	return n
}

func newDemoJob(way demoWay) fleet.Job {
	name := way.pool + "-" + suffix()
	return fleet.Job{
		UID: name, Namespace: demoNamespace, Name: name, ScaledJob: way.pool, Created: time.Now(), IdleTimeout: demoIdleTimeout,
	}
}

// runJob is a Job from its start to its end.
func (k *demoKEDA) runJob(ctx context.Context, pool string, job fleet.Job) {
	served := k.runPod(ctx, pool, job)
	job.Ended = time.Now()
	k.view.SetJob(job)
	k.mu.Lock()
	defer k.mu.Unlock()
	k.unfinished[pool]--
	if !served && ctx.Err() == nil {
		k.surplus[pool]++
	}
}

// runPod runs the agent of a Job to its end, and reports whether it had a job.
func (k *demoKEDA) runPod(ctx context.Context, pool string, job fleet.Job) (served bool) {
	pod := fleet.Pod{Name: job.Name + "-" + suffix(), JobUID: job.UID, Created: time.Now()}
	k.view.SetPod(pod)
	if !tick(ctx, between(100*time.Millisecond, 400*time.Millisecond)) { // a node is found
		return false
	}
	pod.Status.Scheduled = time.Now()
	k.view.SetPod(pod)
	if !tick(ctx, between(time.Second, 2*time.Second)) { // the image is pulled
		return false
	}
	pod.Status.Started = time.Now()
	k.view.SetPod(pod)
	if !tick(ctx, between(500*time.Millisecond, time.Second)) { // the agent registers
		return false
	}
	if _, err := k.standIn.AddAgent(pool, adotest.Agent{Name: pod.Name, Once: true}); err != nil {
		return false
	}
	served = k.runAgent(ctx, pool, pod.Name)
	tick(ctx, demoCleanUp)
	pod.Ended = true
	k.view.SetPod(pod)
	return served
}

// runAgent waits until the agent has had its job, or has waited for one for too long,
// and removes it from its pool.
func (k *demoKEDA) runAgent(ctx context.Context, pool, name string) (served bool) {
	idleSince := time.Now()
	for tick(ctx, 100*time.Millisecond) {
		busy := k.isBusy(pool, name)
		served = served || busy
		leaves := !busy && (served || time.Since(idleSince) > demoIdleTimeout)
		if leaves && k.standIn.RemoveAgent(pool, name) == nil {
			return served
		}
	}
	return served
}

func (k *demoKEDA) isBusy(pool, name string) bool {
	for _, a := range k.standIn.Agents(pool) {
		if a.Name == name {
			return a.Request != 0
		}
	}
	return false
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
