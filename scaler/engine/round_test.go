package engine_test

import (
	"context"
	"fmt"
	"runtime"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/engine"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/explain"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/fleet"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/plan"
)

// queue holds the snapshots of an organization's pools.
type queue map[string]*adoqueue.Snapshot

func (q queue) Snapshot(_ context.Context, pool adoqueue.PoolRef, _ time.Duration) (*adoqueue.Snapshot, error) {
	return q[pool.Name], nil
}

func (queue) ParallelJobs(context.Context, time.Duration) (adoqueue.ParallelJobs, error) {
	return adoqueue.ParallelJobs{}, nil
}

// view is Kubernetes, where nobody reads events.
type view struct{ *fleet.Index }

func (view) Warn(_, _, _, _ string) {}

// installation is a number of ScaledJobs that share some pools evenly. Each has a
// separate capability and two Jobs, one of which runs a request; and each pool
// has a queued request for each of its ScaledJobs.
type installation struct {
	engine     *engine.Engine
	queue      queue
	scaledJobs []*fleet.ScaledJob
}

// Everything happened at the time since: if that is longer than maxAge ago, each
// request asks the queue for a newer snapshot.
func install(tb testing.TB, scaledJobs, pools int, since time.Time) *installation {
	tb.Helper()
	url, err := adoqueue.ParseOrganizationURL("https://dev.azure.com/contoso")
	if err != nil {
		tb.Fatal(err)
	}
	in := &installation{queue: queue{}}
	index := fleet.NewIndex(2 * time.Minute)
	for i := range pools {
		name := fmt.Sprintf("pool-%d", i)
		in.queue[name] = &adoqueue.Snapshot{Pool: adoqueue.Pool{ID: i + 1, Name: name}, RequestedAt: since}
	}
	for i := range scaledJobs {
		pool := fmt.Sprintf("pool-%d", i%pools)
		own := fmt.Sprintf("own-%d", i)
		s := fleet.NewScaledJob(plan.Key{Namespace: "ado", Name: fmt.Sprintf("build-%d", i)}, map[string]string{
			"scalerAddress": "scaler:9090", "poolName": pool, "capabilities": "docker," + own,
		})
		index.SetScaledJob(s)
		in.scaledJobs = append(in.scaledJobs, s)
		for _, suffix := range []string{"bcdfg", "hjklm"} {
			name := s.Key.Name + "-" + suffix
			index.SetJob(fleet.Job{UID: name, Namespace: "ado", Name: name, ScaledJob: s.Key.Name, Created: since})
		}
		snapshot := in.queue[pool]
		snapshot.Requests = append(snapshot.Requests,
			&adoqueue.JobRequest{ID: int64(2 * i), State: adoqueue.Running, Agent: s.Key.Name + "-bcdfg-22222", AssignTime: since},
			&adoqueue.JobRequest{ID: int64(2*i + 1), Demands: []adoqueue.Demand{adoqueue.ParseDemand("docker"), adoqueue.ParseDemand(own)}})
	}
	in.engine = engine.New(engine.Options{
		Organizations: []engine.Organization{{URL: url, Queue: in.queue}}, Cluster: view{index}, Address: "scaler:9090",
		MaxAge: maxAge, Timeout: time.Second, Logger: zap.NewNop(), Observer: explain.New(explain.Options{}),
	})
	tb.Cleanup(in.engine.Close)
	in.round(tb)
	return in
}

// maxAge is so long that no pool is refreshed between two polls.
const maxAge = time.Hour

// renew makes a new snapshot of every pool with the same requests.
func (in *installation) renew() {
	for name, last := range in.queue {
		in.queue[name] = &adoqueue.Snapshot{Pool: last.Pool, Requests: last.Requests, RequestedAt: last.RequestedAt.Add(time.Second)}
	}
}

// round asks about every ScaledJob as KEDA does. The waiting Job of each takes
// its queued request, so nothing is missing.
func (in *installation) round(tb testing.TB) {
	tb.Helper()
	for _, s := range in.scaledJobs {
		in.engine.Target(s.Key, s.Triggers[0])
		for _, half := range []engine.Half{engine.Metric, engine.Activity} {
			a, err := in.engine.Answer(context.Background(), engine.Request{Key: s.Key, Metadata: s.Triggers[0], Half: half})
			if err != nil || a.Value != 0 || a.Active || a.Used != "exact" {
				tb.Fatalf("%s: got %+v, %v", s.Key, a, err)
			}
		}
	}
}

// BenchmarkRound polls every ScaledJob once. The time per ScaledJob must not grow
// with how many there are.
func BenchmarkRound(b *testing.B) {
	for _, size := range []struct{ scaledJobs, pools int }{{1000, 100}, {10, 1}, {100, 1}, {1000, 1}} {
		for _, renewed := range []bool{false, true} {
			snapshots, since := "unchanged", time.Now()
			if renewed {
				snapshots, since = "new", since.Add(-2*maxAge)
			}
			b.Run(fmt.Sprintf("scaledJobs=%d/pools=%d/snapshots=%s", size.scaledJobs, size.pools, snapshots), func(b *testing.B) {
				in := install(b, size.scaledJobs, size.pools, since)
				b.ReportAllocs()
				for b.Loop() {
					if renewed {
						in.renew()
					}
					in.round(b)
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(size.scaledJobs), "ns/scaledjob")
			})
		}
	}
}

// TestAllocationsPerScaledJob is BenchmarkRound's bound in a form that does not
// depend on the machine.
func TestAllocationsPerScaledJob(t *testing.T) {
	perScaledJob := func(n int) (bytes float64) {
		in := install(t, n, 1, time.Now().Add(-2*maxAge))
		const rounds = 5
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		for range rounds {
			in.renew()
			in.round(t)
		}
		runtime.ReadMemStats(&after)
		return float64(after.TotalAlloc-before.TotalAlloc) / rounds / float64(n)
	}
	few, many := perScaledJob(10), perScaledJob(1000)
	t.Logf("%.0f bytes per ScaledJob with 10 on a pool, %.0f with 1,000", few, many)
	if many > 3*few {
		t.Errorf("a round allocates %.0f bytes per ScaledJob with 1,000 on a pool, more than three times the %.0f with 10", many, few)
	}
}
