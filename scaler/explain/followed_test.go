package explain_test

import (
	"encoding/json"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/engine"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/explain"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/fleet"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/plan"
)

// TestFirstAgent has the first agent of a pool register, which an old list lacks.
func TestFirstAgent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.agents = nil
		w.poll(w.scaledJob("build", "docker", nil))
		broken := func() *explain.Broken { return w.explainer.Report(t.Context(), explain.Filter{}).Pools[0].Broken }
		if b := broken(); b == nil || b.Code != explain.CodePlaceholder {
			t.Errorf("a pool without agents: %+v", b)
		}
		w.maxAge = 0
		broken()
		if w.maxAge != 15*time.Second {
			t.Errorf("the list of no agents is used for %s", w.maxAge)
		}
		w.agents = []adoqueue.Agent{{Name: "vm"}}
		broken()
		if w.maxAge != 5*time.Minute {
			t.Errorf("the list of an agent is used for %s", w.maxAge)
		}
	})
}

// TestPoolOfNobody has the only ScaledJob of a pool deleted while a request waits.
func TestPoolOfNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		build := w.scaledJob("build", "docker", nil)
		w.queue(6, "docker")
		w.poll(build)
		w.remove(6)
		w.queue(7, "docker")
		w.after(1)
		w.poll(build)
		w.index.DeleteScaledJob(build)
		w.after(20)
		if got := w.request(7).Broken; got == nil || got.Code != explain.CodeDeleting {
			t.Errorf("got %+v", got)
		}
		w.after(400)
		report := w.explainer.Report(t.Context(), explain.Filter{})
		if len(report.Pools) != 1 || len(report.Pools[0].Requests) != 1 || report.Pools[0].Requests[0].ID != 6 || !report.OK() {
			t.Errorf("of a pool that nobody follows: %+v", report.Pools)
		}
		w.after(3700)
		if report := w.explainer.Report(t.Context(), explain.Filter{}); len(report.Pools) > 0 {
			t.Errorf("after an hour: %+v", report.Pools)
		}
	})
}

// TestUnresolved has a ScaledJob whose pool only KEDA knows, and KEDA not ask.
func TestUnresolved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		s := fleet.NewScaledJob(plan.Key{Namespace: "ado", Name: "build"}, map[string]string{"scalerAddress": "scaler:9090", "poolNameFromEnv": "POOL"})
		s.PollingInterval = 5 * time.Second
		w.index.SetScaledJob(s)
		for _, second := range []int{1, 16} {
			w.after(second)
			got := w.explainer.Report(t.Context(), explain.Filter{}).Unpooled
			if len(got) != 1 || got[0].State != explain.NotPolled || (second > 15) != (got[0].Broken != nil) {
				t.Errorf("after %d s: %+v", second, got)
			}
		}
	})
}

// TestMistakeInTheTrigger has a ScaledJob edited to something that cannot be read: its
// pool is not read any more, and it does not look as if it were.
func TestMistakeInTheTrigger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		build := w.scaledJob("build", "docker", nil)
		w.queue(6, "docker")
		w.poll(build)
		w.remove(6)
		edited := map[string]string{"scalerAddress": "scaler:9090", "poolNam": "linux", "capabillities": "docker"}
		w.index.SetScaledJob(fleet.NewScaledJob(build, edited))
		if _, err := w.engine.Answer(t.Context(), engine.Request{Key: build, Metadata: edited, Half: engine.Metric}); err == nil {
			t.Fatal("the trigger has no mistake")
		}
		report := w.explainer.Report(t.Context(), explain.Filter{})
		if len(report.Unpooled) != 1 || report.Unpooled[0].State != explain.Invalid || report.OK() {
			t.Fatalf("ok %t, without a pool: %+v", report.OK(), report.Unpooled)
		}
		for _, want := range []string{"capabillities: is not known", "poolNam: is not known"} {
			if got := report.Unpooled[0].Broken.Sentence; !strings.Contains(got, want) {
				t.Errorf("%q lacks %q", got, want)
			}
		}
		for _, pool := range report.Pools {
			if len(pool.ScaledJobs) > 0 {
				t.Errorf("pool %s still has %+v", pool.Name, pool.ScaledJobs)
			}
		}
	})
}

// TestRequestThatComesBack has an answer leave a request out, which is there again
// later.
func TestRequestThatComesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		build := w.scaledJob("build", "docker", nil)
		for _, second := range []int{0, 1000} {
			w.after(second)
			w.queue(7, "docker")
			w.poll(build)
			w.remove(7)
			w.after(second + 10)
			w.poll(build)
		}
		w.after(4000)
		w.poll(build)
		if got := w.request(7); got.Progress != explain.Finished {
			t.Errorf("got %+v", got)
		}
		w.after(5000)
		w.poll(build)
		if report := w.explainer.Report(t.Context(), explain.Filter{Request: 7}); len(report.Pools) > 0 {
			t.Errorf("after an hour: %+v", report.Pools)
		}
	})
}

// TestTakenFromSecondPod has the second pod's agent of a Job take another job.
func TestTakenFromSecondPod(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		build := w.scaledJob("build", "docker", nil)
		w.queue(7, "docker")
		w.index.SetJob(fleet.Job{UID: "1", Namespace: "ado", Name: "build-bcdfg", ScaledJob: "build", Created: w.start})
		w.index.SetPod(fleet.Pod{Name: "build-bcdfg-22222", JobUID: "1", Created: w.start, Ended: true})
		w.index.SetPod(fleet.Pod{Name: "build-bcdfg-44444", JobUID: "1", Created: w.start.Add(time.Second)})
		w.poll(build)
		w.queue(8, "docker")
		w.change(8, func(r *adoqueue.JobRequest) {
			r.State, r.Agent, r.AssignTime = adoqueue.Assigned, "build-bcdfg-44444", time.Now()
		})
		w.after(3)
		w.poll(build)
		if got := w.request(7).Broken; got == nil || got.Code != explain.CodeTaken {
			t.Errorf("got %+v", got)
		}
	})
}

// TestSecretsOfFinishedJobs has a demand that is a secret where its text is cut, and
// a capability that is one.
func TestSecretsOfFinishedJobs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const secret = "kq7xz3mvw2nbt5hy4jr6kd8sf9gp1qw2er3ty4ui5op6as7df8gh"
		w := newWorld(t)
		build := w.scaledJob("build", "docker,token="+secret, nil)
		w.queue(7, "docker", "path -equals "+strings.Repeat("p ", 95), "x -equals "+secret)
		w.poll(build)
		w.remove(7)
		w.poll(build)
		text, err := json.Marshal(w.explainer.Report(t.Context(), explain.Filter{}))
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(text), secret[:8]) || !strings.Contains(string(text), `"docker"`) || w.request(7).Progress != explain.Finished {
			t.Errorf("%s", text)
		}
	})
}
