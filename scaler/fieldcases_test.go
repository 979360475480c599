package scaler_test

import (
	"maps"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue/adotest"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/fleet"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/plan"
)

// These tests replay what users of KEDA have reported, or have in their
// manifests.

// TestLongNames has Jobs whose pods share all that Kubernetes leaves of their
// names: one runs a job, the other waits.
func TestLongNames(t *testing.T) {
	for _, length := range []int{51, 52, 57, 60, 63} {
		name := strings.Repeat("n", length)
		build := scaledJob(name)
		base := (name + "-")[:min(length+1, 58)]
		jobs := []fleet.Job{{Name: base + "bcdfg"}, {Name: base + "hjklm"}}
		for i := range jobs {
			jobs[i].UID, jobs[i].Namespace, jobs[i].ScaledJob, jobs[i].Created = jobs[i].Name, "ado", name, time.Now().Truncate(time.Second)
		}
		ado := azureDevOps(t)
		podBase := (jobs[0].Name + "-")[:min(len(jobs[0].Name)+1, 58)]
		run(t, ado, queue(t, ado), podBase+"22222")
		queue(t, ado)

		kube := view([]*fleet.ScaledJob{build}, jobs...)
		kube.ShowPods()
		kube.SetPod(fleet.Pod{Name: podBase + "22222", JobUID: jobs[0].UID})
		kube.SetPod(fleet.Pod{Name: podBase + "44444", JobUID: jobs[1].UID})
		b := start(t, benchOptions{cluster: kube}, ado.URL())
		if value, err := b.metric(t.Context(), asking(build)); err != nil || value != 0 {
			t.Errorf("%d characters, pods in view: metric %v, %v, want 0", length, value, err)
		}

		blind := start(t, benchOptions{cluster: view([]*fleet.ScaledJob{build}, jobs...)}, ado.URL())
		value, err := blind.metric(t.Context(), asking(build))
		switch {
		case length <= 51 && (err != nil || value != 0):
			t.Errorf("%d characters, without pods: metric %v, %v, want 0", length, value, err)
		case length > 51 && (status.Code(err) != codes.InvalidArgument || !strings.Contains(err.Error(), "use at most 51")):
			t.Errorf("%d characters, without pods: metric %v, %v, want a refusal with the limit", length, value, err)
		}
	}
}

// TestMembersThatGetNothing has two ScaledJobs on one pool, of which the first by
// name gets no Jobs from KEDA: its share goes to the other.
func TestMembersThatGetNothing(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(*fleet.ScaledJob)
	}{
		{"paused", func(s *fleet.ScaledJob) { s.Paused = true }},
		{"being deleted", func(s *fleet.ScaledJob) { s.Deleting = true }},
		{"cannot work", func(s *fleet.ScaledJob) { s.Strategy = "accurate" }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ado := azureDevOps(t)
			queue(t, ado)
			a, z := scaledJob("a"), scaledJob("z")
			tt.change(a)
			kube := view([]*fleet.ScaledJob{a, z})
			b := start(t, benchOptions{cluster: kube}, ado.URL())
			b.settle(t, asking(z), 1)
			// And back, once nothing keeps it from getting Jobs.
			kube.SetScaledJob(scaledJob("a"))
			b.settle(t, asking(z), 0)
			b.settle(t, asking(a), 1)
		})
	}
}

// TestPausedKeepsItsJobs has a paused ScaledJob whose Job still waits: it takes
// the request, so that the other ScaledJob needs no Job.
func TestPausedKeepsItsJobs(t *testing.T) {
	ado := azureDevOps(t)
	queue(t, ado)
	build, z := scaledJob("build"), scaledJob("z")
	build.Paused = true
	b := start(t, benchOptions{cluster: view([]*fleet.ScaledJob{build, z}, job("build-bcdfg"))}, ado.URL())
	b.settle(t, asking(z), 0)
	queue(t, ado)
	b.settle(t, asking(z), 1)
}

// TestDeletedWithJobsRunning removes a ScaledJob whose Job waits.
func TestDeletedWithJobsRunning(t *testing.T) {
	ado := azureDevOps(t)
	queue(t, ado)
	build, z := scaledJob("build"), scaledJob("z")
	kube := view([]*fleet.ScaledJob{build, z}, job("build-bcdfg"))
	b := start(t, benchOptions{cluster: kube}, ado.URL())
	b.settle(t, asking(z), 0)
	kube.DeleteScaledJob(build.Key)
	for range 3 {
		if value, err := b.metric(t.Context(), asking(z)); err != nil || value != 0 {
			t.Fatalf("metric %v, %v, want 0: the Job of the deleted ScaledJob takes the request", value, err)
		}
	}
	kube.DeleteJob(job("build-bcdfg"))
	b.settle(t, asking(z), 1)
}

// TestFromEnv has triggers whose organization is in a variable that only KEDA can
// read.
func TestFromEnv(t *testing.T) {
	ado := azureDevOps(t)
	queue(t, ado)
	fromEnv := func(name string) (*fleet.ScaledJob, map[string]string) {
		s := scaledJob(name, "organizationURLFromEnv", "AZP_URL")
		resolved := maps.Clone(asking(s).GetScalerMetadata())
		resolved["organizationURLFromEnv"] = ado.URL()
		return s, resolved
	}
	build, buildSent := fromEnv("build")
	other, otherSent := fromEnv("other")
	kube := view([]*fleet.ScaledJob{build, other})
	b := start(t, benchOptions{cluster: kube}, ado.URL())
	ask := func(s *fleet.ScaledJob, sent map[string]string) float64 {
		t.Helper()
		r := asking(s)
		r.ScalerMetadata = sent
		value, err := b.metric(t.Context(), r)
		if err != nil {
			t.Fatal(err)
		}
		return value
	}
	// Each in turn, whoever comes first: one in sum.
	if second, first := ask(other, otherSent), ask(build, buildSent); first+second != 1 {
		t.Errorf("metrics %v and %v, want 1 in sum", first, second)
	}

	// Its Job drains, so the queued job needs another one.
	kube.DeleteScaledJob(other.Key)
	kube.set(job("build-bcdfg"))
	first := queue(t, ado)
	run(t, ado, first, "build-bcdfg-22222")
	for deadline := time.Now().Add(10 * time.Second); ask(build, buildSent) != 2; {
		if time.Now().After(deadline) {
			t.Fatal("the running job is not seen")
		}
	}
	if err := ado.Finish(first, "succeeded"); err != nil {
		t.Fatal(err)
	}
	for n := ado.Count(adotest.OpJobRequests, 0); ado.Count(adotest.OpJobRequests, 0) < n+3; {
		if value := ask(build, buildSent); value != 2 {
			t.Fatalf("metric %v, want 2: one is missing and one drains", value)
		}
	}
}

// TestUnknownAgent has an agent with another name than its pod's, as images for
// other platforms have it and as Windows cuts them.
func TestUnknownAgent(t *testing.T) {
	ado := azureDevOps(t)
	build := scaledJob("build")
	old := job("build-bcdfg")
	old.Created = old.Created.Add(-10 * time.Minute)
	kube := view([]*fleet.ScaledJob{build}, old)
	b := start(t, benchOptions{cluster: kube}, ado.URL())
	run(t, ado, queue(t, ado), "aca-agent-7f3c2")
	queue(t, ado)
	for range 3 {
		b.settle(t, asking(build), 0)
	}
	kube.mu.Lock()
	defer kube.mu.Unlock()
	if len(kube.warnings) != 1 || !strings.Contains(kube.warnings[0], `ado/build AgentNameUnknown: Jobs wait without an agent in pool "Linux"`) ||
		!strings.Contains(kube.warnings[0], "aca-agent-7f3c2") {
		t.Errorf("warned %q, want one warning that names the agent", kube.warnings)
	}
}

// TestSecondPod has a Job whose first pod lost its request and whose second pod's
// agent is idle.
func TestSecondPod(t *testing.T) {
	ado := azureDevOps(t)
	build := scaledJob("build")
	build.Template.BackoffLimit = 6
	kube := view([]*fleet.ScaledJob{build}, job("build-bcdfg"))
	kube.ShowPods()
	kube.SetPod(fleet.Pod{Name: "build-bcdfg-22222", JobUID: "build-bcdfg"})
	b := start(t, benchOptions{cluster: kube}, ado.URL())
	first := queue(t, ado)
	run(t, ado, first, "build-bcdfg-22222")
	b.settle(t, asking(build), 0)
	kube.SetPod(fleet.Pod{Name: "build-bcdfg-22222", JobUID: "build-bcdfg", Ended: true})
	kube.SetPod(fleet.Pod{Name: "build-bcdfg-44444", JobUID: "build-bcdfg", Created: time.Now()})
	if err := ado.Finish(first, "canceled"); err != nil {
		t.Fatal(err)
	}
	queue(t, ado)
	for n := ado.Count(adotest.OpJobRequests, 0); ado.Count(adotest.OpJobRequests, 0) < n+3; {
		if value, err := b.metric(t.Context(), asking(build)); err != nil || value != 0 {
			t.Fatalf("metric %v, %v, want 0: the second agent takes the request", value, err)
		}
	}
}

// TestPreconditions has ScaledJobs that cannot be counted exactly, or only badly.
func TestPreconditions(t *testing.T) {
	other := map[string]string{"scalerAddress": "another:9090", "query": "x"}
	for _, tt := range []struct {
		name    string
		change  func(*fleet.ScaledJob)
		refused string
		warned  string
	}{
		{"plain", func(*fleet.ScaledJob) {}, "", ""},
		{"backoffLimit without pods in view", func(s *fleet.ScaledJob) { s.Template.BackoffLimit = 6 }, "jobTargetRef.backoffLimit is 6", ""},
		{"restarts in place", func(s *fleet.ScaledJob) { s.Template.BackoffLimit, s.Template.RestartPolicy = 6, "OnFailure" }, "backoffLimit is 6 with restartPolicy OnFailure", ""},
		{"completions", func(s *fleet.ScaledJob) { s.Template.Completions = 3 }, "jobTargetRef.completions is 3", ""},
		{"sum with a cron trigger", func(s *fleet.ScaledJob) { s.Calculation, s.OtherTriggers = "sum", []string{"cron"} }, `multipleScalersCalculation is "sum"`, ""},
		{"max with a cron trigger", func(s *fleet.ScaledJob) { s.Calculation, s.OtherTriggers = "max", []string{"cron"} }, "", ""},
		{"average, alone", func(s *fleet.ScaledJob) { s.Calculation = "avg" }, "", ""},
		{"minimum with another scaler's", func(s *fleet.ScaledJob) { s.Calculation, s.Triggers = "min", append(s.Triggers, other) }, `multipleScalersCalculation is "min"`, ""},
		{"another scaler's trigger", func(s *fleet.ScaledJob) { s.Triggers = append(s.Triggers, other) }, "", ""},
		{"a second container", func(s *fleet.ScaledJob) { s.Template.Containers = []string{"agent", "dind"} }, "initContainers with restartPolicy: Always", ""},
		{"a deadline", func(s *fleet.ScaledJob) { s.Template.ActiveDeadline = 30 * time.Minute }, "", "activeDeadlineSeconds is 1800"},
		{"one name for all agents", func(s *fleet.ScaledJob) { s.Template.NamesAgent, s.Template.AgentName = true, "linux" }, "", `AZP_AGENT_NAME is "linux" in all pods`},
		{"Windows", func(s *fleet.ScaledJob) { s.Template.OS = "windows" }, "", "Windows cuts the names of computers"},
		{"Windows with names from pods", func(s *fleet.ScaledJob) { s.Template.OS, s.Template.NamesAgent = "windows", true }, "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			build := scaledJob("build")
			tt.change(build)
			kube := view([]*fleet.ScaledJob{build})
			b := start(t, benchOptions{cluster: kube}, azureDevOps(t).URL())
			var err error
			for range 3 {
				_, err = b.metric(t.Context(), asking(build))
			}
			switch {
			case tt.refused == "" && err != nil:
				t.Errorf("refused: %v", err)
			case tt.refused != "" && (status.Code(err) != codes.InvalidArgument || !strings.Contains(err.Error(), tt.refused)):
				t.Errorf("got %v, want a refusal that says %s", err, tt.refused)
			}
			kube.mu.Lock()
			defer kube.mu.Unlock()
			if got := strings.Join(kube.warnings, "\n"); tt.warned == "" && got != "" ||
				tt.warned != "" && (len(kube.warnings) != 1 || !strings.Contains(got, tt.warned)) {
				t.Errorf("warned %q, want %q once", kube.warnings, tt.warned)
			}
		})
	}
}

// TestSystemCapabilities has demands on what every agent has without stating it.
func TestSystemCapabilities(t *testing.T) {
	for _, tt := range []struct {
		capabilities, demand string
		arm                  bool
		want                 float64
	}{
		{"docker", "Agent.OS -equals Linux", false, 1},
		{"docker", "Agent.OS -equals Windows_NT", false, 0},
		{"docker", "Agent.OSArchitecture -equals X64", false, 1},
		{"docker", "Agent.OSArchitecture -equals ARM64", false, 0},
		{"docker", "Agent.OSArchitecture -equals ARM64", true, 1},
		{"docker", "Agent.HomeDirectory", false, 1},
		{"docker,Agent.Version=4.255.0", "Agent.Version -equals 2.144.0", false, 0},
		{"docker,Agent.Version=4.255.0", "Agent.Version -equals 4.255.0", false, 1},
		{"docker", "Agent.Name -equals static-vm-01", false, 0},
		{"", "Agent.Name -equals static-vm-01", false, 0},
	} {
		ado := azureDevOps(t)
		for _, name := range []string{"static-vm-01", "static-vm-02"} {
			if _, err := ado.AddAgent("Linux", adotest.Agent{Name: name}); err != nil {
				t.Fatal(err)
			}
		}
		demands := []string{tt.demand}
		metadata := []string{}
		if tt.capabilities != "" {
			demands, metadata = append(demands, "docker"), []string{"capabilities", tt.capabilities}
		}
		queue(t, ado, demands...)
		build := scaledJob("build", metadata...)
		if tt.arm {
			build.Template.Architecture = "arm64"
		}
		b := start(t, benchOptions{cluster: view([]*fleet.ScaledJob{build})}, ado.URL())
		if value, err := b.metric(t.Context(), asking(build)); err != nil || value != tt.want {
			t.Errorf("capabilities %q (arm %v), demand %q: metric %v, %v, want %v", tt.capabilities, tt.arm, tt.demand, value, err, tt.want)
		}
	}
}

// TestStrangersChangeNothing has somebody ask in the name of a ScaledJob with
// metadata that its manifest does not have.
func TestStrangersChangeNothing(t *testing.T) {
	ado := azureDevOps(t)
	queue(t, ado)
	a, z := scaledJob("a"), scaledJob("z")
	b := start(t, benchOptions{cluster: view([]*fleet.ScaledJob{a, z})}, ado.URL())
	b.settle(t, asking(a), 1)
	b.settle(t, asking(z), 0)
	forged := asking(z)
	forged.ScalerMetadata = map[string]string{"scalerAddress": "scaler:9090", "poolName": "Linux", "priority": "100", "minIdle": "50"}
	for range 10 {
		_, _ = b.metric(t.Context(), forged)
		if value, err := b.metric(t.Context(), asking(a)); err != nil || value != 1 {
			t.Fatalf("a: metric %v, %v, want 1", value, err)
		}
		if value, err := b.metric(t.Context(), asking(z)); err != nil || value != 0 {
			t.Fatalf("z: metric %v, %v, want 0", value, err)
		}
	}
	if n := len(b.engine.Members()); n != 2 {
		t.Errorf("%d members, want 2", n)
	}
	if _, ok := b.members()[plan.Key{Namespace: "ado", Name: "z"}.Name]; !ok {
		t.Error("z is no member any more")
	}
}
