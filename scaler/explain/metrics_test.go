package explain_test

import (
	"maps"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/engine"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/fleet"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/plan"
)

// measured returns the values of the metrics that begin so, by the rest of their
// names and their labels other than namespace and organization; of a histogram the sum.
func measured(t *testing.T, registry *prometheus.Registry, prefix string) map[string]float64 {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	values := map[string]float64{}
	for _, family := range families {
		rest, ok := strings.CutPrefix(family.GetName(), "ado_agent_orchestrator_"+prefix)
		if !ok {
			continue
		}
		for _, metric := range family.GetMetric() {
			words := []string{rest}
			for _, label := range metric.GetLabel() {
				if label.GetName() != "namespace" && label.GetName() != "organization" {
					words = append(words, label.GetValue())
				}
			}
			values[strings.TrimSpace(strings.Join(words, " "))] = metric.GetCounter().GetValue() + metric.GetGauge().GetValue() + metric.GetHistogram().GetSampleSum()
		}
	}
	return values
}

func wantMeasured(t *testing.T, registry *prometheus.Registry, prefix string, want map[string]float64) {
	t.Helper()
	if diff := cmp.Diff(want, measured(t, registry, prefix)); diff != "" {
		t.Errorf("%s: %s", prefix, diff)
	}
}

// newMeasuredWorld returns a world whose metrics count waits over a minute as late.
func newMeasuredWorld(t *testing.T) (*world, *prometheus.Registry) {
	t.Helper()
	w, registry := newWorld(t), prometheus.NewRegistry()
	w.explainer.Register(registry, time.Minute)
	return w, registry
}

// TestMetricsOfTheWay measures one request of which all steps are seen, and one that
// an agent takes which has been waiting.
func TestMetricsOfTheWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, registry := newMeasuredWorld(t)
		build := w.scaledJob("build", "docker", nil)
		w.queue(7, "docker")
		w.after(1)
		w.poll(build)
		wantMeasured(t, registry, "job_phase_seconds", map[string]float64{})
		job := fleet.Job{UID: "1", Namespace: "ado", Name: "build-bcdfg", ScaledJob: "build", Created: w.start.Add(2 * time.Second)}
		pod := fleet.Pod{Name: "build-bcdfg-22222", JobUID: "1", Created: job.Created, Status: fleet.PodStatus{
			Scheduled: w.start.Add(4 * time.Second), Started: w.start.Add(5 * time.Second),
		}}
		w.index.SetJob(job)
		w.index.SetPod(pod)
		w.after(6)
		w.change(7, func(r *adoqueue.JobRequest) { r.MatchedAgents = []string{pod.Name} })
		w.poll(build)
		w.change(7, func(r *adoqueue.JobRequest) {
			r.State, r.Agent, r.MatchedAgents = adoqueue.Running, pod.Name, nil
			r.AssignTime, r.ReceiveTime = w.start.Add(9*time.Second), w.start.Add(10*time.Second)
		})
		w.after(11)
		w.poll(build)
		w.after(12)
		w.poll(build) // it is measured once
		phases := measured(t, registry, "job_phase_seconds")
		for phase, seconds := range phases {
			phases[phase] = float64(int(seconds + .5))
		}
		if diff := cmp.Diff(map[string]float64{
			"build counted": 1, "build reported": 0, "build job_created": 1, "build pod_scheduled": 2, "build pod_started": 1,
			"build agent_registered": 1, "build assigned": 3,
		}, phases); diff != "" {
			t.Error(diff)
		}
		wantMeasured(t, registry, "job_wait_seconds", map[string]float64{"build": 9})
		wantMeasured(t, registry, "late_jobs_total", map[string]float64{"build": 0})

		warm := fleet.Job{UID: "2", Namespace: "ado", Name: "build-hjklm", ScaledJob: "build", Created: w.start.Add(13 * time.Second)}
		w.index.SetJob(warm)
		w.index.SetPod(fleet.Pod{Name: "build-hjklm-22222", JobUID: "2", Created: warm.Created, Status: fleet.PodStatus{
			Scheduled: warm.Created, Started: w.start.Add(14 * time.Second),
		}})
		w.after(20)
		w.poll(build)
		w.after(30)
		before := measured(t, registry, "job_phase_seconds")
		w.queue(8, "docker")
		w.change(8, func(r *adoqueue.JobRequest) {
			r.State, r.Agent, r.AssignTime = adoqueue.Running, "build-hjklm-22222", time.Now()
		})
		w.after(31)
		w.poll(build)
		wantMeasured(t, registry, "job_wait_seconds", map[string]float64{"build": 9})
		if after := measured(t, registry, "job_phase_seconds"); !maps.Equal(before, after) {
			t.Errorf("steps of the agent that waited were measured: %v, before %v", after, before)
		}
		// The first agent was seen from 6 s on until its request was, at 11 s or between the
		// polls, the second one from 20 s to 31 s.
		if idle := measured(t, registry, "idle_agent_seconds_total")["build"]; idle < 11 || idle > 16.2 {
			t.Errorf("idle for %v s, want 11 to 16", idle)
		}
		w.index.DeleteScaledJob(build)
		wantMeasured(t, registry, "job_", map[string]float64{})
		wantMeasured(t, registry, "idle_agent", map[string]float64{})
	})
}

// TestMetricsOfWaits has one request wait for an agent too long and one for a
// ScaledJob that there is not.
func TestMetricsOfWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, registry := newMeasuredWorld(t)
		build := w.scaledJob("build", "docker", func(s *fleet.ScaledJob) { s.MaxReplicas = 1 })
		w.poll(build)
		w.queue(7, "docker")
		w.queue(8, "docker")
		w.queue(9, "gpu")
		for range 10 {
			time.Sleep(5 * time.Second)
			w.poll(build)
		}
		wantMeasured(t, registry, "late_jobs_total", map[string]float64{"build": 0})
		for range 10 {
			time.Sleep(5 * time.Second)
			w.poll(build)
		}
		wantMeasured(t, registry, "late_jobs_total", map[string]float64{"build": 2})
		wantMeasured(t, registry, "unserved_job_requests", map[string]float64{
			"Linux no-scaled-job": 1, "Linux max-replicas": 1, "Linux parallel-jobs": 0, "Linux scaled-job-invalid": 0,
			"Linux deleting": 0, "Linux paused": 0, "Linux not-polled": 0, "Linux back-off": 0,
		})
		time.Sleep(6 * time.Minute)
		wantMeasured(t, registry, "unserved_job_requests", map[string]float64{})
	})
}

// TestMetricsOfUnusedJobs has a Job end without a request, and one with.
func TestMetricsOfUnusedJobs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, registry := newMeasuredWorld(t)
		build := w.scaledJob("build", "docker", nil)
		w.queue(7, "docker")
		w.poll(build)
		for uid, name := range map[string]string{"1": "build-bcdfg", "2": "build-hjklm"} {
			w.index.SetJob(fleet.Job{UID: uid, Namespace: "ado", Name: name, ScaledJob: "build", Created: w.start.Add(time.Second)})
			w.index.SetPod(fleet.Pod{Name: name + "-22222", JobUID: uid, Created: w.start.Add(time.Second)})
		}
		w.change(7, func(r *adoqueue.JobRequest) {
			r.State, r.Agent, r.AssignTime = adoqueue.Running, "build-bcdfg-22222", w.start.Add(2*time.Second)
		})
		w.after(3)
		w.poll(build)
		w.remove(7)
		for uid, name := range map[string]string{"1": "build-bcdfg", "2": "build-hjklm"} {
			w.index.SetJob(fleet.Job{
				UID: uid, Namespace: "ado", Name: name, ScaledJob: "build", Created: w.start.Add(time.Second), Ended: w.start.Add(5 * time.Second),
			})
		}
		for range 3 {
			time.Sleep(5 * time.Second)
			w.poll(build)
		}
		wantMeasured(t, registry, "unused_jobs_total", map[string]float64{"build": 1})
		if n := measured(t, registry, "decisions_total")["Linux"]; n < 4 {
			t.Errorf("%v decisions", n)
		}
	})
}

// TestMetricsOfSeveralDecisions has a ScaledJob with a part in the decisions about two
// pools, and a pool that was made again under its name.
func TestMetricsOfSeveralDecisions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, registry := newMeasuredWorld(t)
		build, url := w.scaledJob("build", "docker", nil), organization(t)
		for i, p := range []adoqueue.Pool{{ID: 1, Name: pool}, {ID: 2, Name: "Other"}, {ID: 3, Name: pool}} {
			time.Sleep(time.Second)
			w.explainer.Decided(decisionWith(url, p, build, i+1))
		}
		wantMeasured(t, registry, "idle_agents", map[string]float64{"build": 3, "_wanted build": 0})
		if n := measured(t, registry, "unserved_job_requests")["Linux no-scaled-job"]; n != 3 {
			t.Errorf("%v unserved requests, want the 3 of the newest decision", n)
		}
	})
}

// TestMetricsOfOneThatIsGone has a ScaledJob leave a pool after its series were swept.
func TestMetricsOfOneThatIsGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, registry := newMeasuredWorld(t)
		build, url := plan.Key{Namespace: "ado", Name: "build"}, organization(t)
		p := adoqueue.Pool{ID: 12, Name: pool}
		w.explainer.Decided(decisionWith(url, p, build, 1))
		wantMeasured(t, registry, "idle_agent_seconds_total", map[string]float64{}) // it is not in view
		time.Sleep(time.Second)
		after := decisionWith(url, p, build, 0)
		after.Groups, after.Jobs, after.Plan.Groups = nil, nil, nil
		w.explainer.Decided(after)
		wantMeasured(t, registry, "idle_agent_seconds_total", map[string]float64{})
	})
}

// decisionWith is one about a pool in which a ScaledJob has idle agents, and as many
// requests are not served.
func decisionWith(url adoqueue.OrganizationURL, of adoqueue.Pool, key plan.Key, n int) *engine.Decision {
	d := &engine.Decision{
		MadeAt: time.Now(), Organization: url, Snapshot: &adoqueue.Snapshot{Pool: of, RequestedAt: time.Now()},
		Groups: []plan.Group{{Key: key}}, Jobs: [][]fleet.Job{nil}, Plan: plan.Plan{Groups: map[plan.Key]plan.GroupPlan{key: {Waiting: n}}},
	}
	for i := range n {
		id := int64(100*of.ID + i)
		d.Snapshot.Requests = append(d.Snapshot.Requests, &adoqueue.JobRequest{ID: id})
		d.Plan.Requests = append(d.Plan.Requests, plan.Verdict{RequestID: id, Cause: plan.NoGroup})
	}
	return d
}

// TestMetricsOfFailures counts the Jobs in a row that fail before they take a job, until
// an hour after the last one.
func TestMetricsOfFailures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, registry := newMeasuredWorld(t)
		build := w.scaledJob("build", "docker", nil)
		w.queue(7, "docker")
		failed := func(ago time.Duration) {
			w.index.SetJob(fleet.Job{
				UID: "1", Namespace: "ado", Name: "build-bcdfg", ScaledJob: "build", Failed: true,
				Created: time.Now().Add(-ago - time.Second), Ended: time.Now().Add(-ago),
			})
		}
		for _, step := range []struct {
			ago      time.Duration
			failures float64
			held     bool
		}{{2 * time.Hour, 0, false}, {time.Minute, 2, false}, {4 * time.Second, 3, true}} {
			failed(step.ago)
			w.poll(build)
			failures, until := measured(t, registry, "consecutive_start_failures"), measured(t, registry, "backoff_until_timestamp_seconds")
			if failures["build"] != step.failures || (until["build"] > float64(time.Now().Unix())) != step.held {
				t.Errorf("%v after a failure there are %v, held back until %v", step.ago, failures, until)
			}
		}
		time.Sleep(2 * time.Hour)
		w.poll(build)
		wantMeasured(t, registry, "consecutive_start_failures", map[string]float64{"build": 0})
	})
}
