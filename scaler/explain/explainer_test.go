package explain_test

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/explain"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/fleet"
)

// TestChain follows one request from the queue to its end, and until it is
// forgotten.
func TestChain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		build := w.scaledJob("build", "docker", nil)
		w.queue(7, "docker")
		w.after(1)
		w.poll(build)
		w.wantChain(7, "queued 0, counted 1, reported 1, job created next")

		job := fleet.Job{UID: "1", Namespace: "ado", Name: "build-bcdfg", ScaledJob: "build", Created: w.start.Add(2 * time.Second)}
		pod := fleet.Pod{Name: "build-bcdfg-22222", JobUID: "1", Created: job.Created}
		w.index.SetJob(job)
		w.after(3)
		w.poll(build)
		w.wantChain(7, "queued 0, counted 1, reported 1, job created 2, pod scheduled next")

		w.index.SetPod(pod)
		pod.Status = fleet.PodStatus{Scheduled: w.start.Add(4 * time.Second)}
		w.index.SetPod(pod)
		// No decision is needed for what only Kubernetes knows.
		w.wantChain(7, "queued 0, counted 1, reported 1, job created 2, pod scheduled 4, pod started next")
		pod.Status.Started = w.start.Add(5 * time.Second)
		w.index.SetPod(pod)
		w.after(6)
		w.change(7, func(r *adoqueue.JobRequest) { r.MatchedAgents = []string{"placeholder", pod.Name} })
		w.poll(build)
		w.wantChain(7, "queued 0, counted 1, reported 1, job created 2, pod scheduled 4, pod started 5, agent registered 6, assigned next")

		w.change(7, func(r *adoqueue.JobRequest) {
			r.State, r.Agent, r.MatchedAgents = adoqueue.Running, pod.Name, nil
			r.AssignTime, r.ReceiveTime = w.start.Add(7*time.Second), w.start.Add(8*time.Second)
		})
		w.after(9)
		w.poll(build)
		const all = "queued 0, counted 1, reported 1, job created 2, pod scheduled 4, pod started 5, agent registered 6, assigned 7, running 8"
		w.wantChain(7, all+", finished next")
		if got := w.request(7); got.Progress != explain.Served || got.Job != "build-bcdfg" || got.Agent != pod.Name || got.Run != "2026.7" ||
			got.URL != "https://dev.azure.com/contoso/project/_build/results?buildId=507" {
			t.Errorf("got %+v", got)
		}

		w.remove(7)
		w.after(20)
		w.poll(build)
		w.wantChain(7, all+", finished 20")
		w.index.DeleteJob(job)
		w.after(1000) // the Job is forgotten
		w.poll(build)
		w.wantChain(7, all+", finished 20")
		if got := w.request(7); got.Progress != explain.Finished || got.Agent != pod.Name || got.Demands[0] != "docker" {
			t.Errorf("got %+v", got)
		}
		w.after(3700)
		w.poll(build)
		if report := w.explainer.Report(t.Context(), explain.Filter{Request: 7}); len(report.Pools) > 0 {
			t.Errorf("after an hour: %+v", report.Pools)
		}
	})
}

// TestBrokenLinks has links broken as the engine sees them, and the sentence found
// in the report.
func TestBrokenLinks(t *testing.T) {
	for name, tt := range map[string]struct {
		do        func(w *world)
		code      explain.Code
		sentence  string
		chain     string
		scaledJob string // sentence about ado/build, if it is another
	}{
		"no ScaledJob": {
			do: func(w *world) {
				w.scaledJob("big", "docker,java=17", nil)
				w.scaledJob("build", "docker", nil)
				w.queue(7, "docker", "java -equals 21", "gpu")
				w.queue(8, "docker", "java -equals 17", "gpu")
			},
			code: explain.CodeNoScaledJob, chain: "queued 1, counted broken",
			sentence: `no ScaledJob of pool "Linux" meets the demands docker, java -equals 21, gpu; the nearest is ado/big, which lacks java -equals 21, gpu`,
		},
		"paused": {
			do: func(w *world) {
				w.scaledJob("build", "docker", func(s *fleet.ScaledJob) { s.Paused = true })
				w.queue(7, "docker")
			},
			code: explain.CodePaused, sentence: "ScaledJob ado/build is paused", chain: "queued 1, counted broken",
		},
		"at maxReplicaCount": {
			do: func(w *world) {
				w.scaledJob("build", "docker", func(s *fleet.ScaledJob) { s.MaxReplicas = 1 })
				w.index.SetJob(fleet.Job{UID: "1", Namespace: "ado", Name: "build-bcdfg", ScaledJob: "build", Created: w.start})
				w.queue(6, "docker")
				w.queue(7, "docker")
			},
			code: explain.CodeMaxReplicas, chain: "queued 1, counted broken",
			sentence: "ScaledJob ado/build is at its maxReplicaCount of 1: 0 busy, 1 waiting for a job, 0 ending",
		},
		"parallel jobs": {
			do: func(w *world) {
				w.scaledJob("build", "docker", nil)
				w.parallel = &adoqueue.ParallelJobs{Limit: 1, Used: 1}
				w.queue(7, "docker")
			},
			code: explain.CodeParallelJobs, chain: "queued 1, counted broken",
			sentence: "all parallel jobs of the organization are taken by running jobs or waiting agents",
		},
		"held back": {
			do: func(w *world) {
				w.scaledJob("build", "docker", nil)
				w.index.SetJob(fleet.Job{
					UID: "1", Namespace: "ado", Name: "build-bcdfg", ScaledJob: "build", Created: w.start, Ended: w.start.Add(time.Second), Failed: true,
				})
				w.index.SetPod(fleet.Pod{Name: "build-bcdfg-22222", JobUID: "1", Ended: true, Status: fleet.PodStatus{Container: "agent", ExitCode: 12, Reason: "Error"}})
				w.queue(6, "docker") // for which the Job that ended stands in
				w.queue(7, "docker")
			},
			code: explain.CodeBackOff, chain: "queued 1, agent registered broken",
			sentence: "Jobs of ScaledJob ado/build fail before accepting work; next attempt at 00:00:11Z: container agent ended with " +
				"exit code 12 (the pool does not exist, may not be seen, or has no self-hosted agents)",
		},
		"quota on pods": {
			do: func(w *world) {
				w.scaledJob("build", "docker", nil)
				w.index.SetJob(fleet.Job{UID: "1", Namespace: "ado", Name: "build-bcdfg", ScaledJob: "build", Created: w.start})
				w.index.SetRefusal(fleet.Refusal{JobUID: "1", Message: "exceeded quota", Last: w.start})
				w.queue(7, "docker")
			},
			code: explain.CodePodRefused, chain: "queued 1, counted 1, reported skipped, job created 0, pod scheduled broken",
			sentence: "Kubernetes refuses the pod of Job build-bcdfg: exceeded quota",
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				w.after(1)
				tt.do(w)
				for key := range w.triggers {
					w.poll(key)
				}
				got := w.request(7)
				if got.Broken == nil || got.Broken.Code != tt.code || got.Broken.Sentence != tt.sentence || got.Progress != explain.Stopped {
					t.Fatalf("got %+v, %v", got.Broken, got.Progress)
				}
				w.wantChain(7, tt.chain)
				report := w.explainer.Report(t.Context(), explain.Filter{})
				if report.OK() || report.Summary.Stopped == 0 {
					t.Errorf("the report is all right: %+v", report.Summary)
				}
			})
		})
	}
}

// TestNotPolled has KEDA stop to ask, and nothing be known of the pool from then on.
func TestNotPolled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		build := w.scaledJob("build", "docker", nil)
		w.queue(7, "docker")
		w.poll(build)
		w.after(15)
		if got := w.explainer.Report(t.Context(), explain.Filter{}).Pools[0]; got.Broken != nil {
			t.Errorf("after three polls: %+v", got.Broken)
		}
		w.after(16)
		got := w.explainer.Report(t.Context(), explain.Filter{}).Pools[0]
		const want = "KEDA has not polled ScaledJob ado/build since 00:00:00Z, more than three polls of 5s"
		if got.Broken == nil || got.Broken.Sentence != want || got.ScaledJobs[0].State != explain.NotPolled || got.Requests[0].Broken.Sentence != want {
			t.Errorf("got %+v, %+v", got.Broken, got.ScaledJobs)
		}
	})
}

// TestUnreadable has Azure DevOps fail from the start, so that no decision is made.
func TestUnreadable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.failure = errors.New("list pools: 401 Unauthorized")
		w.status.Directory = adoqueue.Reading{Err: w.failure, FailingSince: w.start}
		w.poll(w.scaledJob("build", "docker", nil))
		report := w.explainer.Report(t.Context(), explain.Filter{})
		if len(report.Pools) != 1 || report.Pools[0].Broken == nil ||
			report.Pools[0].Broken.Sentence != `Azure DevOps cannot be read for pool "Linux" since 00:00:00Z: list pools: 401 Unauthorized` {
			t.Fatalf("got %+v", report.Pools)
		}
		if got := report.Pools[0].ScaledJobs[0]; got.Error != "list pools: 401 Unauthorized" || report.OK() {
			t.Errorf("got %+v", got)
		}
	})
}

// TestNeverRead has the pool listed, while its jobs cannot be read from the start.
func TestNeverRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.failure = errors.New("list job requests: 401 Unauthorized")
		w.status.Pools = map[int]adoqueue.Reading{
			7:  {Pool: "Windows", At: w.start},
			12: {Pool: "linux", Err: w.failure, FailingSince: w.start},
		}
		w.poll(w.scaledJob("build", "docker", nil))
		const want = `Azure DevOps cannot be read for pool "Linux" since 00:00:00Z: list job requests: 401 Unauthorized`
		report := w.explainer.Report(t.Context(), explain.Filter{})
		if len(report.Pools) != 1 || report.Pools[0].ID != 12 || report.Pools[0].Broken == nil || report.Pools[0].Broken.Sentence != want {
			t.Fatalf("got %+v", report.Pools)
		}
	})
}

// TestTaken has an agent take another job than the one that its Job was made for.
func TestTaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		build := w.scaledJob("build", "docker", nil)
		w.queue(7, "docker")
		w.index.SetJob(fleet.Job{UID: "1", Namespace: "ado", Name: "build-bcdfg", ScaledJob: "build", Created: w.start})
		w.index.SetPod(fleet.Pod{Name: "build-bcdfg-22222", JobUID: "1"})
		w.poll(build)
		w.queue(8, "docker")
		w.change(8, func(r *adoqueue.JobRequest) {
			r.State, r.Agent, r.AssignTime = adoqueue.Assigned, "build-bcdfg-22222", time.Now()
		})
		w.after(2)
		w.poll(build)
		got := w.request(7)
		if got.Broken == nil || got.Broken.Sentence != "its agent took request 8; another Job is being created" || got.Progress != explain.Coming {
			t.Errorf("got %+v", got.Broken)
		}
		if report := w.explainer.Report(t.Context(), explain.Filter{}); !report.OK() {
			t.Errorf("the report is not all right: %+v", report.Summary)
		}
		w.wantChain(7, "queued 0, counted 0, reported 2, job created next")
	})
}

// TestDecisions has the decisions with what differs, and repeats counted.
func TestDecisions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		build := w.scaledJob("build", "docker", nil)
		for second := range 4 {
			w.after(5 * second)
			w.poll(build)
		}
		w.queue(7, "docker")
		w.after(20)
		w.poll(build)
		got := w.explainer.Report(t.Context(), explain.Filter{}).Pools[0].Decisions
		if len(got) != 2 || got[1].Repeated < 3 || got[0].Queued != 1 || len(got[0].ScaledJobs) != 1 ||
			got[0].ScaledJobs[0] != (explain.DecisionPart{ScaledJob: "ado/build", Metric: 1, Missing: 1, Queued: 1}) {
			t.Errorf("got %+v", got)
		}
		for i := range 210 {
			w.queue(int64(100+i), "docker")
			w.after(21 + i)
			w.poll(build)
		}
		pool := w.explainer.Report(t.Context(), explain.Filter{}).Pools[0]
		if len(pool.Decisions) != 200 || pool.Decisions[0].Queued != 211 || pool.Decisions[199].Queued != 12 {
			t.Errorf("%d decisions, from %+v to %+v", len(pool.Decisions), pool.Decisions[0], pool.Decisions[len(pool.Decisions)-1])
		}
	})
}

func TestFilter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		build := w.scaledJob("build", "docker", nil)
		gpu := w.scaledJob("gpu", "docker,gpu", nil)
		w.queue(7, "docker")
		w.queue(8, "gpu")
		w.queue(9, "gpu")
		w.poll(build)
		w.poll(gpu)
		for _, tt := range []struct {
			filter               explain.Filter
			requests, scaledJobs int
		}{
			{explain.Filter{}, 3, 2},
			{explain.Filter{Pool: "linux"}, 3, 2},
			{explain.Filter{Pool: "12"}, 3, 2},
			{explain.Filter{Pool: "other"}, 0, 0},
			{explain.Filter{Run: "2026.8"}, 1, 2},
			{explain.Filter{Run: "508"}, 1, 2},
			{explain.Filter{Run: "8"}, 0, 0},
			{explain.Filter{Request: 9}, 1, 2},
			{explain.Filter{ScaledJob: "gpu"}, 2, 1},
			{explain.Filter{ScaledJob: "ado/gpu"}, 2, 1},
			{explain.Filter{ScaledJob: "other/gpu"}, 0, 0},
			{explain.Filter{MaxRequests: 2, MaxScaledJobs: 1}, 2, 1},
		} {
			report := w.explainer.Report(t.Context(), tt.filter)
			requests, scaledJobs := 0, 0
			for i := range report.Pools {
				requests += len(report.Pools[i].Requests)
				scaledJobs += len(report.Pools[i].ScaledJobs)
			}
			if requests != tt.requests || requests > 0 && scaledJobs != tt.scaledJobs {
				t.Errorf("%+v: %d requests and %d ScaledJobs, want %d and %d", tt.filter, requests, scaledJobs, tt.requests, tt.scaledJobs)
			}
		}
		if got := w.explainer.Report(t.Context(), explain.Filter{MaxRequests: 2}).Pools[0].Omitted.Requests; got != 1 {
			t.Errorf("%d requests are said to be left out, not 1", got)
		}
	})
}
