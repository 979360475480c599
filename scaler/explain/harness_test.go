package explain_test

import (
	"context"
	"fmt"
	"maps"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/engine"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/explain"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/fleet"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/plan"
)

// world is an engine that is explained, with a queue and a Kubernetes that tests
// set. It lives in a bubble of testing/synctest.
type world struct {
	t         *testing.T
	start     time.Time
	explainer *explain.Explainer
	engine    *engine.Engine
	index     *fleet.Index
	status    adoqueue.Status
	agents    []adoqueue.Agent
	listed    int           // how often the agents were listed
	maxAge    time.Duration // of the last list
	failure   error
	parallel  *adoqueue.ParallelJobs
	triggers  map[plan.Key]map[string]string

	mu       sync.Mutex // the engine reads pools between polls
	requests []*adoqueue.JobRequest
}

// view is Kubernetes, where nobody reads events.
type view struct{ *fleet.Index }

func (view) Warn(_, _, _, _ string) {}

const pool = "Linux"

func organization(t testing.TB) adoqueue.OrganizationURL {
	t.Helper()
	url, err := adoqueue.ParseOrganizationURL("https://dev.azure.com/contoso")
	if err != nil {
		t.Fatal(err)
	}
	return url
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, start: time.Now(), index: fleet.NewIndex(2 * time.Minute), triggers: map[plan.Key]map[string]string{}}
	w.index.ShowPods()
	w.agents = []adoqueue.Agent{{Name: "placeholder"}}
	w.status.Pools = map[int]adoqueue.Reading{}
	url := organization(t)
	w.explainer = explain.New(explain.Options{Organizations: []explain.ServedOrganization{{URL: url, Reader: w, Credential: "pat"}}})
	w.engine = engine.New(engine.Options{
		Organizations: []engine.Organization{{URL: url, Queue: w}}, Cluster: view{w.index}, Address: "scaler:9090",
		// Not a part of a second, so that the engine reads no pool between polls just when
		// the test changes it.
		MaxAge: 97 * time.Millisecond, Timeout: time.Second, Logger: zap.NewNop(), Observer: w.explainer, CapByParallelJobs: true,
	})
	t.Cleanup(w.engine.Close)
	w.explainer.Explain(w.engine, w.index)
	return w
}

// Snapshot implements engine.Queue.
func (w *world) Snapshot(context.Context, adoqueue.PoolRef, time.Duration) (*adoqueue.Snapshot, error) {
	if w.failure != nil {
		return nil, w.failure
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.status.Pools[12] = adoqueue.Reading{At: time.Now()}
	return &adoqueue.Snapshot{Pool: adoqueue.Pool{ID: 12, Name: pool}, RequestedAt: time.Now(), Requests: w.requests}, nil
}

// ParallelJobs implements engine.Queue.
func (w *world) ParallelJobs(context.Context, time.Duration) (adoqueue.ParallelJobs, error) {
	if w.parallel == nil {
		return adoqueue.ParallelJobs{Limit: 1000}, nil
	}
	return *w.parallel, nil
}

// Status implements explain.Reader.
func (w *world) Status() adoqueue.Status {
	w.mu.Lock()
	defer w.mu.Unlock()
	s := w.status
	s.Pools = maps.Clone(s.Pools)
	return s
}

// Agents implements explain.Reader.
func (w *world) Agents(_ context.Context, _ adoqueue.Pool, maxAge time.Duration) ([]adoqueue.Agent, error) {
	w.listed++
	w.maxAge = maxAge
	return w.agents, nil
}

// scaledJob adds a ScaledJob of namespace ado.
func (w *world) scaledJob(name, capabilities string, change func(*fleet.ScaledJob)) plan.Key {
	key := plan.Key{Namespace: "ado", Name: name}
	w.triggers[key] = map[string]string{"scalerAddress": "scaler:9090", "poolName": pool, "capabilities": capabilities}
	s := fleet.NewScaledJob(key, w.triggers[key])
	s.PollingInterval = 5 * time.Second
	if change != nil {
		change(s)
	}
	w.index.SetScaledJob(s)
	return key
}

// queue adds a queued request.
func (w *world) queue(id int64, demands ...string) {
	r := &adoqueue.JobRequest{ID: id, QueueTime: time.Now(), Definition: "app", Run: fmt.Sprintf("2026.%d", id), RunID: 500 + id, Project: "project"}
	for _, d := range demands {
		r.Demands = append(r.Demands, adoqueue.ParseDemand(d))
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.requests = append(append([]*adoqueue.JobRequest(nil), w.requests...), r)
}

// change replaces a request by a changed one, in a new list: snapshots are never
// changed.
func (w *world) change(id int64, change func(*adoqueue.JobRequest)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.requests = append([]*adoqueue.JobRequest(nil), w.requests...)
	for i := range w.requests {
		if w.requests[i].ID == id {
			changed := *w.requests[i]
			change(&changed)
			w.requests[i] = &changed
		}
	}
}

// remove takes a request out of the list.
func (w *world) remove(id int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	var left []*adoqueue.JobRequest
	for _, r := range w.requests {
		if r.ID != id {
			left = append(left, r)
		}
	}
	w.requests = left
}

// poll asks about a ScaledJob as KEDA does.
func (w *world) poll(key plan.Key) {
	w.t.Helper()
	time.Sleep(100 * time.Millisecond) // the last snapshot is too old
	for _, half := range []engine.Half{engine.Metric, engine.Activity} {
		_, err := w.engine.Answer(w.t.Context(), engine.Request{Key: key, Metadata: w.triggers[key], Half: half})
		if err != nil && w.failure == nil {
			w.t.Fatal(err)
		}
	}
}

// after waits until so long after the start.
func (w *world) after(seconds int) {
	time.Sleep(time.Until(w.start.Add(time.Duration(seconds) * time.Second)))
}

// request returns the request of this id from the report.
func (w *world) request(id int64) explain.Request {
	w.t.Helper()
	report := w.explainer.Report(w.t.Context(), explain.Filter{Request: id})
	if len(report.Pools) != 1 || len(report.Pools[0].Requests) != 1 {
		w.t.Fatalf("request %d is not in the report once: %+v", id, report.Pools)
	}
	return report.Pools[0].Requests[0]
}

// chain is a request's chain in short: the steps that are done with the seconds since
// the start, and then the next or the broken one.
func (w *world) chain(id int64) string {
	w.t.Helper()
	var words []string
	for _, l := range w.request(id).Chain {
		switch l.Status {
		case explain.Done:
			words = append(words, fmt.Sprintf("%s %d", l.Step, int(l.At.Sub(w.start).Seconds())))
		case explain.Pending:
		case explain.Next, explain.Failed, explain.Skipped:
			words = append(words, fmt.Sprintf("%s %s", l.Step, l.Status))
		}
	}
	return strings.Join(words, ", ")
}

func (w *world) wantChain(id int64, want string) { //nolint:unparam // tests name the request that they follow
	w.t.Helper()
	if got := w.chain(id); got != want {
		w.t.Errorf("after %s, request %d:\ngot  %s\nwant %s", time.Since(w.start), id, got, want)
	}
}
