package engine_test

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/engine"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/fleet"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/plan"
)

// renewedQueue returns the same pool with the time of its last renewal. The engine
// reads it between polls too.
type renewedQueue struct {
	mu   sync.Mutex
	last *adoqueue.Snapshot
}

func (q *renewedQueue) renew() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.last = &adoqueue.Snapshot{Pool: q.last.Pool, Requests: q.last.Requests, RequestedAt: time.Now()}
}

func (q *renewedQueue) Snapshot(context.Context, adoqueue.PoolRef, time.Duration) (*adoqueue.Snapshot, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.last, nil
}

func (*renewedQueue) ParallelJobs(context.Context, time.Duration) (adoqueue.ParallelJobs, error) {
	return adoqueue.ParallelJobs{}, nil
}

// addScaledJob adds a ScaledJob of the pool linux to an index.
func addScaledJob(index *fleet.Index, name string) *fleet.ScaledJob {
	s := fleet.NewScaledJob(plan.Key{Namespace: "ado", Name: name}, map[string]string{"scalerAddress": "scaler:9090", "poolName": "linux"})
	s.PollingInterval = 5 * time.Second
	index.SetScaledJob(s)
	return s
}

// twoOnAPool returns the ScaledJobs a and z of one pool with one queued job.
func twoOnAPool() (queue *renewedQueue, index *fleet.Index, a, z *fleet.ScaledJob) {
	queue = &renewedQueue{last: &adoqueue.Snapshot{
		Pool: adoqueue.Pool{ID: 1, Name: "linux"}, Requests: []*adoqueue.JobRequest{{ID: 1}}, RequestedAt: time.Now(),
	}}
	index = fleet.NewIndex(2 * time.Minute)
	return queue, index, addScaledJob(index, "a"), addScaledJob(index, "z")
}

// TestShareOfWhatKEDAAsksFor has the ScaledJobs a and z on one pool with one
// queued job. KEDA does not watch the namespace of a, so it never asks for it.
func TestShareOfWhatKEDAAsksFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		queue, index, a, z := twoOnAPool()
		url, err := adoqueue.ParseOrganizationURL("https://dev.azure.com/contoso")
		if err != nil {
			t.Fatal(err)
		}
		e := engine.New(engine.Options{
			Organizations: []engine.Organization{{URL: url, Queue: queue}}, Cluster: view{index},
			MaxAge: time.Second, Timeout: time.Second, Logger: zap.NewNop(),
		})
		defer e.Close()
		ask := func(s *fleet.ScaledJob) int64 {
			t.Helper()
			queue.renew()
			answer, err := e.Answer(t.Context(), engine.Request{Key: s.Key, Metadata: s.Triggers[0], Half: engine.Metric})
			if err != nil {
				t.Fatal(err)
			}
			return answer.Value
		}
		for range 12 { // the first minute, everybody counts as asked for
			if value := ask(z); value != 0 {
				t.Fatalf("z: %d, want 0 while a may still be asked for", value)
			}
			time.Sleep(5 * time.Second)
		}
		time.Sleep(time.Second)
		if value := ask(z); value != 1 {
			t.Errorf("z: %d, want 1: KEDA does not ask for a", value)
		}
		if value := ask(a); value != 1 {
			t.Errorf("a: %d, want 1 as soon as KEDA asks for it", value)
		}
		if value := ask(z); value != 0 {
			t.Errorf("z: %d, want 0 since KEDA asks for a", value)
		}
		time.Sleep(time.Minute + time.Second)
		if value := ask(z); value != 1 {
			t.Errorf("z: %d, want 1 after KEDA has stopped to ask for a", value)
		}
		if value := ask(addScaledJob(index, "b")); value != 1 {
			t.Errorf("b: %d, want 1: it is new", value)
		}
	})
}
