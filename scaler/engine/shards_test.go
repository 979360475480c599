package engine_test

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/engine"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/fleet"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/plan"
)

// livePool is the queue of one pool, which changes while engines read it.
type livePool struct {
	queue
	snapshot atomic.Pointer[adoqueue.Snapshot]
}

func (p *livePool) Snapshot(context.Context, adoqueue.PoolRef, time.Duration) (*adoqueue.Snapshot, error) {
	return p.snapshot.Load(), nil
}

func (p *livePool) set(requests ...*adoqueue.JobRequest) {
	p.snapshot.Store(&adoqueue.Snapshot{Pool: adoqueue.Pool{ID: 1, Name: "linux"}, Requests: requests, RequestedAt: time.Now()})
}

// site is a cluster with a scaler. Its ScaledJob has the same name as
// those of the others.
type site struct {
	letter    string // in the names of its Jobs
	index     *fleet.Index
	engine    *engine.Engine
	scaledJob *fleet.ScaledJob
}

func newSite(t *testing.T, queue engine.Queue, letter, shard string) *site {
	t.Helper()
	url, err := adoqueue.ParseOrganizationURL("https://dev.azure.com/contoso")
	if err != nil {
		t.Fatal(err)
	}
	s := &site{letter: letter, index: fleet.NewIndex(2 * time.Minute)}
	s.scaledJob = fleet.NewScaledJob(plan.Key{Namespace: "ado", Name: "build"}, map[string]string{
		"scalerAddress": "scaler:9090", "poolName": "linux", "shard": shard,
	})
	s.index.SetScaledJob(s.scaledJob)
	s.engine = engine.New(engine.Options{
		Organizations: []engine.Organization{{URL: url, Queue: queue}}, Cluster: view{s.index},
		MaxAge: time.Second, Timeout: time.Second, Logger: zap.NewNop(),
	})
	t.Cleanup(s.engine.Close)
	return s
}

// poll asks as KEDA does, and creates as many Jobs as its strategy "default" would.
func (s *site) poll(t *testing.T) (created int) {
	t.Helper()
	answer, err := s.engine.Answer(t.Context(), engine.Request{Key: s.scaledJob.Key, Metadata: s.scaledJob.Triggers[0], Half: engine.Metric})
	if err != nil {
		t.Fatal(err)
	}
	jobs := len(s.index.JobsOf(s.scaledJob.Key))
	for n := jobs; n < int(answer.Value); n++ {
		name := fmt.Sprintf("build-%s%d", strings.Repeat(s.letter, 4), 2+n)
		s.index.SetJob(fleet.Job{UID: name, Namespace: "ado", Name: name, ScaledJob: "build", Created: time.Now()})
		created++
	}
	return created
}

// TestShards has two clusters divide a pool, of which Azure DevOps assigns a request
// of the second to the agent of the first. The second has an agent left over, which
// is for the request that is left, and both know it: the next request gets an agent
// where it belongs, and no other does.
func TestShards(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pool := &livePool{}
		one, two := newSite(t, pool, "b", "1/2"), newSite(t, pool, "c", "2/2")
		expect := func(step string, wantOne, wantTwo int, requests ...*adoqueue.JobRequest) {
			t.Helper()
			time.Sleep(2 * time.Second)
			pool.set(requests...)
			if got, want := [2]int{one.poll(t), two.poll(t)}, [2]int{wantOne, wantTwo}; got != want {
				t.Errorf("%s: %v Jobs created, want %v", step, got, want)
			}
		}
		queued := func(id int64) *adoqueue.JobRequest { return &adoqueue.JobRequest{ID: id} }
		taken := func(id int64, agent string) *adoqueue.JobRequest {
			return &adoqueue.JobRequest{ID: id, State: adoqueue.Running, Agent: agent, AssignTime: time.Now()}
		}
		const ofOne, ofTwo, nextOfTwo, nextOfOne = 1, 2, 4, 3
		expect("nothing to do", 0, 0)
		expect("a request for each", 1, 1, queued(ofOne), queued(ofTwo))
		expect("the agent of one takes that of two", 0, 0, queued(ofOne), taken(ofTwo, "build-bbbb2-22222"))
		expect("the next of two", 0, 1, queued(ofOne), taken(ofTwo, "build-bbbb2-22222"), queued(nextOfTwo))
		expect("the first is done", 0, 0, queued(ofOne), queued(nextOfTwo))
		expect("the agent left over takes the request left over", 0, 0, taken(ofOne, "build-cccc2-22222"), queued(nextOfTwo))
		expect("the next of one", 1, 0, taken(ofOne, "build-cccc2-22222"), queued(nextOfTwo), queued(nextOfOne))
	})
}

// TestShardsOfOtherCounts has the counts that know no Jobs count their shard only.
func TestShardsOfOtherCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pool := &livePool{}
		pool.set(&adoqueue.JobRequest{ID: 1}, &adoqueue.JobRequest{ID: 2}, &adoqueue.JobRequest{ID: 4},
			&adoqueue.JobRequest{ID: 5, State: adoqueue.Running, Agent: "vm"})
		s := newSite(t, pool, "b", "2/2")
		for count, want := range map[string]int64{"owned": 2, "queued": 2, "unfinished": 3} {
			metadata := map[string]string{"scalerAddress": "scaler:9090", "poolName": "linux", "shard": "2/2", "count": count}
			answer, err := s.engine.Answer(t.Context(), engine.Request{
				Key: plan.Key{Namespace: "ado", Name: "stranger"}, Metadata: metadata, Half: engine.Whole,
			})
			if err != nil || answer.Value != want {
				t.Errorf("%s: got %d, %v, want %d", count, answer.Value, err, want)
			}
		}
	})
}
