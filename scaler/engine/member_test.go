package engine

import (
	"context"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/fleet"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/plan"
)

// oneQueued is a pool with one request that nobody has taken.
type oneQueued struct{}

func (oneQueued) Snapshot(context.Context, adoqueue.PoolRef, time.Duration) (*adoqueue.Snapshot, error) {
	return &adoqueue.Snapshot{
		Pool: adoqueue.Pool{ID: 1, Name: "linux"}, Requests: []*adoqueue.JobRequest{{ID: 1}}, RequestedAt: time.Now(),
	}, nil
}

func (oneQueued) ParallelJobs(context.Context, time.Duration) (adoqueue.ParallelJobs, error) {
	return adoqueue.ParallelJobs{}, nil
}

// racing is a view in which something changes right after a ScaledJob was read,
// unless the engine keeps others from taking in changes meanwhile.
type racing struct {
	*fleet.Index
	engine *Engine
	next   func()
}

func (racing) Warn(_, _, _, _ string) {}

func (r *racing) ScaledJob(key plan.Key) (*fleet.ScaledJob, bool) {
	s, ok := r.Index.ScaledJob(key)
	if next := r.next; next != nil && r.engine.mu.TryLock() {
		r.engine.mu.Unlock()
		r.next = nil
		next()
	}
	return s, ok
}

func newRacing(t *testing.T) *racing {
	t.Helper()
	url, err := adoqueue.ParseOrganizationURL("https://dev.azure.com/contoso")
	if err != nil {
		t.Fatal(err)
	}
	r := &racing{Index: fleet.NewIndex(time.Minute)}
	r.engine = New(Options{
		Organizations: []Organization{{URL: url, Queue: oneQueued{}}}, Cluster: r,
		MaxAge: time.Second, Timeout: time.Second, Logger: zap.NewNop(),
	})
	t.Cleanup(r.engine.Close)
	return r
}

var buildKey = plan.Key{Namespace: "ado", Name: "build"}

func buildMetadata() map[string]string {
	return map[string]string{"scalerAddress": "scaler:9090", "poolName": "linux"}
}

// TestChangesAtOnce has a ScaledJob change while a change of one of its Jobs is
// taken in: the newer state has to stay.
func TestChangesAtOnce(t *testing.T) {
	for name, change := range map[string]func(*racing){
		"paused": func(r *racing) {
			paused := fleet.NewScaledJob(buildKey, buildMetadata())
			paused.Paused = true
			r.SetScaledJob(paused)
		},
		"deleted": func(r *racing) { r.DeleteScaledJob(buildKey) },
	} {
		t.Run(name, func(t *testing.T) {
			r := newRacing(t)
			r.SetScaledJob(fleet.NewScaledJob(buildKey, buildMetadata()))
			r.next = func() { change(r) }
			r.SetJob(fleet.Job{UID: "1", Namespace: "ado", Name: "build-bcdfg", ScaledJob: "build", Created: time.Now()})
			if next := r.next; next != nil { // it had to wait
				r.next = nil
				next()
			}
			if m := r.engine.member(buildKey); m != nil && !m.gone && !m.scaledJob.Paused {
				t.Errorf("the engine still has the ScaledJob as it was")
			}
		})
	}
}

// TestAnswerOfChangedMember has a ScaledJob whose trigger became another between
// KEDA's call and the answer: the answer is never a zero that nobody counted.
func TestAnswerOfChangedMember(t *testing.T) {
	r := newRacing(t)
	m := &member{scaledJob: fleet.NewScaledJob(buildKey, buildMetadata()), polls: &polls{}}
	a, err := r.engine.answerMember(t.Context(), m, Request{Key: buildKey, Metadata: buildMetadata(), Half: Whole})
	if err != nil || a.Value != 1 {
		t.Errorf("got %+v, %v, want 1", a, err)
	}
	if _, err := r.engine.answerMember(t.Context(), m, Request{Key: buildKey, Half: Whole}); err == nil {
		t.Error("mistakes are no error")
	}
}
