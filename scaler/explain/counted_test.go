package explain_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/engine"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/explain"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/fleet"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/plan"
)

// withoutKubernetes replaces the engine by one that does not watch Kubernetes.
func (w *world) withoutKubernetes() {
	w.t.Helper()
	w.engine = engine.New(engine.Options{
		Organizations: []engine.Organization{{URL: organization(w.t), Queue: w}}, Address: "scaler:9090",
		MaxAge: 97 * time.Millisecond, Timeout: time.Second, Logger: zap.NewNop(), Observer: w.explainer,
	})
	w.t.Cleanup(w.engine.Close)
	w.explainer.Explain(w.engine, nil)
}

// caller has KEDA ask with this metadata, for nothing that is in view.
func (w *world) caller(name string, metadata map[string]string) plan.Key {
	key := plan.Key{Namespace: "ado", Name: name}
	metadata["scalerAddress"], metadata["poolName"] = "scaler:9090", pool
	w.triggers[key] = metadata
	return key
}

// brief is a pool in short: why it is not exact, its callers, and its requests.
func brief(p *explain.Pool) string {
	var lines []string
	if p.Broken != nil {
		lines = append(lines, "broken "+string(p.Broken.Code)+": "+p.Broken.Sentence)
	}
	if p.Inexact != nil {
		lines = append(lines, p.Inexact.Sentence)
	}
	for i := range p.Counted {
		c := &p.Counted[i]
		lines = append(lines, strings.TrimSpace(fmt.Sprintf("%s/%s %s %s %d", c.Namespace, c.Name, c.Asked, c.Count, c.Value)))
	}
	for i := range p.Requests {
		r := &p.Requests[i]
		words := []string{fmt.Sprintf("%d %s %s %s:", r.ID, r.Progress, r.ScaledJob, r.Outcome)}
		for _, l := range r.Chain {
			if l.Status != explain.Pending {
				words = append(words, fmt.Sprintf("%s %s,", l.Step, l.Status))
			}
		}
		if r.Broken != nil {
			words = append(words, r.Broken.Sentence)
		}
		lines = append(lines, strings.Join(words, " "))
	}
	return strings.Join(lines, "\n")
}

func (w *world) wantPool(want ...string) *explain.Report {
	w.t.Helper()
	r := w.explainer.Report(w.t.Context(), explain.Filter{})
	if len(r.Pools) != 1 {
		w.t.Fatalf("%d pools", len(r.Pools))
	}
	if got := brief(&r.Pools[0]); got != strings.Join(want, "\n") {
		w.t.Errorf("got:\n%s\nwant:\n%s", got, strings.Join(want, "\n"))
	}
	return &r
}

const unseen = "counted skipped, reported skipped, job created skipped, pod scheduled skipped, pod started skipped, agent registered skipped, "

// TestWithoutKubernetes shows what is known without a view of Kubernetes: the requests,
// who asked, and why the counts are not exact.
func TestWithoutKubernetes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.withoutKubernetes()
		key := w.caller("build", map[string]string{"capabilities": "docker"})
		w.queue(1, "docker")
		w.queue(2, "gpu")
		w.queue(3, "docker")
		w.change(3, func(r *adoqueue.JobRequest) {
			r.State, r.Agent, r.AssignTime, r.ReceiveTime = adoqueue.Running, "build-bcdfg-22222", time.Now(), time.Now()
		})
		w.poll(key)
		inexact := `the scaler does not watch Kubernetes, so the metrics for pool "Linux" count requests alone: nothing is known of Jobs, pods and agents`
		r := w.wantPool(
			inexact, "ado/build  owned 2",
			`2 stopped  not known: queued done, counted broken, no trigger of pool "Linux" counts a job with the demand gpu`,
			"1 coming ado/build not known: queued done, "+unseen+"assigned next,",
			"3 served ado/build not known: queued done, "+unseen+"assigned done, running done, finished next,")
		if r.KubernetesInView || r.OK() || r.Summary != (explain.Summary{Stopped: 1, Coming: 1, Served: 1}) {
			t.Errorf("in view %t, OK %t, %+v", r.KubernetesInView, r.OK(), r.Summary)
		}
		if got := w.explainer.Report(t.Context(), explain.Filter{ScaledJob: "ado/other"}); len(got.Pools) != 0 {
			t.Errorf("another ScaledJob shows %+v", got.Pools)
		}
		if got := w.explainer.Report(t.Context(), explain.Filter{Run: "501"}); len(got.Pools) != 1 || len(got.Pools[0].Requests) != 1 {
			t.Errorf("a run shows %+v", got.Pools)
		}
		// KEDA stops asking: what became of the requests is unknown.
		time.Sleep(6 * time.Minute)
		w.wantPool(`broken not-polled: KEDA has not asked about pool "Linux" since 00:00:00Z`, inexact, "ado/build  owned 2")
		time.Sleep(time.Hour)
		if r := w.explainer.Report(t.Context(), explain.Filter{}); len(r.Pools) != 0 {
			t.Errorf("an hour after the last poll: %+v", r.Pools)
		}
	})
}

// TestOtherCounts shows a pool whose triggers ask for other counts, which becomes exact
// and stops being so.
func TestOtherCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		key := w.scaledJob("build", "docker", func(s *fleet.ScaledJob) { s.Triggers[0]["count"] = "owned" })
		w.queue(1, "docker")
		w.poll(key)
		inexact := `triggers of pool "Linux" ask for count owned, which counts requests alone: nothing is known of who serves which job`
		queued := "1 coming ado/build not known: queued done, " + unseen + "assigned next,"
		w.wantPool(inexact, "ado/build  owned 1", queued)

		// Somebody asks who is not in view.
		stranger := w.caller("stranger", map[string]string{"capabilities": "docker"})
		w.poll(stranger)
		w.wantPool(`ado/stranger asks about pool "Linux" and is not in view, so its metric counts requests alone`,
			"ado/build  owned 1", "ado/stranger exact owned 1", queued)

		// Another ScaledJob is counted exactly: requests are explained by the decision.
		w.poll(w.scaledJob("exact", "docker", nil))
		if got := w.request(1); got.Outcome != "new Job" || got.ScaledJob != "ado/exact" {
			t.Errorf("with a decision: %+v", got)
		}
	})
}

// TestScaledObjects shows the callers of a workload without Jobs.
func TestScaledObjects(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		key := w.caller("agents", map[string]string{"capabilities": "docker"})
		w.index.SetScaledObject(&fleet.ScaledObject{Key: key, Triggers: []fleet.ObjectTrigger{{Metadata: w.triggers[key]}}})
		w.queue(1, "docker")
		w.poll(key)
		w.wantPool(`ScaledObjects ask about pool "Linux": their agents run job after job, so there are no Jobs to join requests with`,
			"ado/agents  unfinished 1", "1 coming ado/agents not known: queued done, "+unseen+"assigned next,")
	})
}

// TestCallersAreBounded remembers the latest of very many.
func TestCallersAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.withoutKubernetes()
		for i := range 200 {
			w.poll(w.caller(fmt.Sprintf("build-%03d", i), map[string]string{}))
		}
		r := w.explainer.Report(t.Context(), explain.Filter{})
		counted := r.Pools[0].Counted
		if len(counted) != 50 || counted[0].Name != "build-150" || counted[49].Name != "build-199" {
			t.Errorf("%d callers are remembered: %+v", len(counted), counted)
		}
	})
}

// TestUnreadableWithoutKubernetes says why nothing is known.
func TestUnreadableWithoutKubernetes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.withoutKubernetes()
		w.failure = errors.New("401")
		w.status.Directory = adoqueue.Reading{Err: errors.New("list pools: 401 Unauthorized"), FailingSince: time.Now()}
		w.poll(w.caller("build", map[string]string{}))
		r := w.explainer.Report(t.Context(), explain.Filter{})
		if o := r.Organizations[0]; r.OK() || len(r.Pools) != 0 || o.Error != "list pools: 401 Unauthorized" || o.FailingSince.IsZero() {
			t.Errorf("OK %t, %+v", r.OK(), r)
		}
	})
}
