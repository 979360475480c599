package engine_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/engine"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/fleet"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/plan"
)

// readQueue counts how often pools are read, and has one that cannot be.
type readQueue struct {
	queue
	read []string
}

func (q *readQueue) Snapshot(ctx context.Context, pool adoqueue.PoolRef, maxAge time.Duration) (*adoqueue.Snapshot, error) {
	q.read = append(q.read, pool.Name)
	if pool.Name == "broken" {
		return nil, errors.New("pool broken cannot be read")
	}
	return q.queue.Snapshot(ctx, pool, maxAge)
}

// TestHeld joins Jobs with the requests of their agents, by pods where these are in view
// and else by names, and reads only pools with Jobs that are not annotated.
func TestHeld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		now := time.Now()
		index := fleet.NewIndex(2 * time.Minute)
		q := &readQueue{queue: queue{"linux": {Pool: adoqueue.Pool{ID: 1, Name: "linux"}, RequestedAt: now, Requests: []*adoqueue.JobRequest{
			{ID: 1, State: adoqueue.Running, Agent: "linux-bcdfg-22222"},
			{ID: 2, State: adoqueue.Assigned, Agent: "linux-named-22222"},
			{ID: 3, State: adoqueue.Running, Agent: "linux-ended-22222"},
			{ID: 4, State: adoqueue.Running, Agent: "linux-known-22222"},
			{ID: 5, State: adoqueue.Running, Agent: "somebody"},
			{ID: 6, State: adoqueue.Running, Agent: "linux-older-22222"},
			{ID: 7},
		}}}}
		for _, name := range []string{"linux", "windows", "broken"} {
			index.SetScaledJob(fleet.NewScaledJob(plan.Key{Namespace: "ado", Name: name}, map[string]string{"scalerAddress": "scaler:9090", "poolName": name}))
		}
		jobs := []fleet.Job{
			{Name: "linux-bcdfg"},
			{Name: "linux-named"},
			{Name: "linux-ended", Ended: now.Add(-30 * time.Second)},
			{Name: "linux-older", Ended: now.Add(-2 * time.Minute)},
			{Name: "linux-known", Annotated: true},
			{Name: "linux-waits"},
			{Name: "windows-known", Annotated: true},
			{Name: "broken-bcdfg"},
		}
		for i := range jobs {
			jobs[i].UID, jobs[i].Namespace, jobs[i].Created = jobs[i].Name, "ado", now.Add(time.Duration(i)*time.Second)
			jobs[i].ScaledJob = jobs[i].Name[:len(jobs[i].Name)-len("-bcdfg")]
			index.SetJob(jobs[i])
		}
		index.SetPod(fleet.Pod{Name: "linux-bcdfg-22222", JobUID: "linux-bcdfg"})
		url, err := adoqueue.ParseOrganizationURL("https://dev.azure.com/contoso")
		if err != nil {
			t.Fatal(err)
		}
		e := engine.New(engine.Options{
			Organizations: []engine.Organization{{URL: url, Queue: q}}, Cluster: view{index}, Address: "scaler:9090",
			MaxAge: time.Second, Timeout: time.Second, Logger: zap.NewNop(),
		})
		defer e.Close()
		held, err := e.Held(t.Context(), time.Minute)
		if err == nil || err.Error() != "pool broken cannot be read" {
			t.Errorf("the error is %v", err)
		}
		var got []string
		for _, h := range held {
			got = append(got, h.Job.Name+" "+h.Request.Agent+" "+h.Pool.Name)
		}
		if want := []string{"linux-bcdfg linux-bcdfg-22222 linux", "linux-named linux-named-22222 linux", "linux-ended linux-ended-22222 linux"}; !slices.Equal(got, want) {
			t.Errorf("held are %q, want %q", got, want)
		}
		slices.Sort(q.read)
		if !slices.Equal(q.read, []string{"broken", "linux"}) {
			t.Errorf("read were %q", q.read)
		}
		// An annotation that comes into view changes nothing else.
		jobs[0].Annotated = true
		index.SetJob(jobs[0])
		if held, _ := e.Held(t.Context(), time.Minute); len(held) != 2 || held[0].Job.Name != "linux-named" {
			t.Errorf("then held are %+v", held)
		}
	})
}

// TestHeldWithoutView has nothing to say.
func TestHeldWithoutView(t *testing.T) {
	e := engine.New(engine.Options{Logger: zap.NewNop()})
	defer e.Close()
	if held, err := e.Held(t.Context(), time.Minute); len(held) > 0 || err != nil {
		t.Errorf("held are %v, %v", held, err)
	}
}
