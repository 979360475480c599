package engine_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/engine"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/fleet"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/plan"
)

// slowQueue returns the pool linux with one queued job after delay.
type slowQueue struct {
	delay time.Duration
	asked int
	err   error // why the snapshot is an old one
}

func (q *slowQueue) Snapshot(ctx context.Context, _ adoqueue.PoolRef, _ time.Duration) (*adoqueue.Snapshot, error) {
	q.asked++
	sent := time.Now()
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-time.After(q.delay):
		return &adoqueue.Snapshot{
			Pool: adoqueue.Pool{ID: 1, Name: "linux"}, Requests: []*adoqueue.JobRequest{{ID: 1}}, RequestedAt: sent, Err: q.err,
		}, nil
	}
}

func (*slowQueue) ParallelJobs(context.Context, time.Duration) (adoqueue.ParallelJobs, error) {
	return adoqueue.ParallelJobs{}, nil
}

// asker asks an engine about one ScaledJob.
type asker struct {
	engine    *engine.Engine
	index     *fleet.Index
	scaledJob *fleet.ScaledJob
}

func newAsker(t *testing.T, queue engine.Queue) *asker {
	t.Helper()
	return newAskerOf(t, queue, &lostView{})
}

// newAskerOf makes one whose engine sees the cluster, once it has an index.
func newAskerOf(t *testing.T, queue engine.Queue, cluster *lostView) *asker {
	t.Helper()
	url, err := adoqueue.ParseOrganizationURL("https://dev.azure.com/contoso")
	if err != nil {
		t.Fatal(err)
	}
	a := &asker{index: fleet.NewIndex(2 * time.Minute)}
	a.scaledJob = fleet.NewScaledJob(plan.Key{Namespace: "ado", Name: "build"}, map[string]string{"scalerAddress": "scaler:9090", "poolName": "Linux"})
	a.index.SetScaledJob(a.scaledJob)
	cluster.view = view{a.index}
	a.engine = engine.New(engine.Options{
		Organizations: []engine.Organization{{URL: url, Queue: queue}}, Cluster: cluster,
		MaxAge: 10 * time.Second, Timeout: 5 * time.Second, Logger: zap.NewNop(),
	})
	return a
}

func (a *asker) ask(t *testing.T) (engine.Answer, error) {
	t.Helper()
	return a.engine.Answer(t.Context(), engine.Request{Key: a.scaledJob.Key, Metadata: a.scaledJob.Triggers[0], Half: engine.Metric})
}

// want asks and expects a value, and a number of requests to the queue so far.
func (a *asker) want(t *testing.T, queue *slowQueue, value int64, asked int) {
	t.Helper()
	got, err := a.ask(t)
	if err != nil || got.Value != value || queue.asked != asked {
		t.Errorf("got %+v, %v after %d requests to the queue; want %d after %d", got, err, queue.asked, value, asked)
	}
}

func TestReadyDecisionAsksNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		queue := &slowQueue{}
		a := newAsker(t, queue)
		defer a.engine.Close()
		a.want(t, queue, 1, 1)
		time.Sleep(9 * time.Second)
		a.want(t, queue, 1, 1)

		// A change in Kubernetes counts at once.
		paused := *a.scaledJob
		paused.Paused = true
		a.index.SetScaledJob(&paused)
		a.want(t, queue, 0, 2)
	})
}

func TestReadyDecisionExpires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		queue := &slowQueue{}
		a := newAsker(t, queue)
		a.want(t, queue, 1, 1)
		a.engine.Close() // ends the refresh between polls
		time.Sleep(10 * time.Second)
		a.want(t, queue, 1, 2)

		queue.err = errors.New("Azure DevOps fails")
		time.Sleep(10 * time.Second)
		a.want(t, queue, 1, 3)
		a.want(t, queue, 1, 4) // a newer snapshot may come any time
	})
}

func TestAnswerIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAsker(t, &slowQueue{delay: time.Hour})
		defer a.engine.Close()
		begin := time.Now()
		_, err := a.ask(t)
		if !errors.Is(err, context.DeadlineExceeded) || time.Since(begin) != 5*time.Second {
			t.Errorf("got %v after %v, want the engine's timeout", err, time.Since(begin))
		}
	})
}
