package scaler_test

import (
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue/adotest"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/proto/externalscaler"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/fleet"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/plan"
)

// cluster is a view of Kubernetes that a test sets.
type cluster struct {
	*fleet.Index

	mu       sync.Mutex
	warnings []string
}

func view(scaledJobs []*fleet.ScaledJob, jobs ...fleet.Job) *cluster {
	c := &cluster{Index: fleet.NewIndex(2 * time.Minute)}
	for _, s := range scaledJobs {
		c.SetScaledJob(s)
	}
	c.set(jobs...)
	return c
}

func (c *cluster) set(jobs ...fleet.Job) {
	for _, job := range jobs {
		c.SetJob(job)
	}
}

func (c *cluster) Warn(namespace, scaledJob, reason, message string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.warnings = append(c.warnings, fmt.Sprintf("%s/%s %s: %s", namespace, scaledJob, reason, message))
}

// scaledJob is a ScaledJob of the namespace "ado" whose trigger has this
// metadata, given as key and value in turn.
func scaledJob(name string, metadata ...string) *fleet.ScaledJob {
	return fleet.NewScaledJob(plan.Key{Namespace: "ado", Name: name},
		ref(append([]string{"poolName", "Linux", "scalerAddress", "scaler:9090"}, metadata...)...).GetScalerMetadata())
}

// asking is how KEDA asks about it.
func asking(s *fleet.ScaledJob) *externalscaler.ScaledObjectRef {
	return &externalscaler.ScaledObjectRef{Namespace: s.Key.Namespace, Name: s.Key.Name, ScalerMetadata: s.Triggers[0]}
}

// job is a Job of the ScaledJob "build".
func job(name string) fleet.Job {
	return fleet.Job{UID: name, Namespace: "ado", Name: name, ScaledJob: "build", Created: time.Now().Truncate(time.Second)}
}

func TestCountExact(t *testing.T) {
	ado := azureDevOps(t)
	build := scaledJob("build")
	kube := view([]*fleet.ScaledJob{build})
	b := start(t, benchOptions{cluster: kube}, ado.URL())
	r := asking(build)
	b.settle(t, r, 0)
	first := queue(t, ado)
	queue(t, ado)
	b.settle(t, r, 2)

	// Two Jobs wait, so nothing is missing.
	one, two := job("build-bcdfg"), job("build-fghjk")
	kube.set(one, two)
	b.settle(t, r, 0)
	// A third request has nobody yet: KEDA makes 3 - 2.
	queue(t, ado)
	b.settle(t, r, 3)

	// One takes a request: still one is missing.
	run(t, ado, first, "build-bcdfg-22222")
	for lists := ado.Count(adotest.OpJobRequests, 0); ado.Count(adotest.OpJobRequests, 0) < lists+2; {
		b.settle(t, r, 3) // until a snapshot has shown it
	}
	// Its request ends, its Job drains: it is useless for the others, and KEDA
	// still sees it.
	if err := ado.Finish(first, "succeeded"); err != nil {
		t.Fatal(err)
	}
	queue(t, ado)
	b.settle(t, r, 4)
	one.Ended = time.Now()
	kube.set(one, two)
	b.settle(t, r, 3)
}

// TestShortJobs has a request start and end between two polls: the scaler must
// have looked by itself, or the draining Job would count as waiting for the next
// request.
func TestShortJobs(t *testing.T) {
	ado := azureDevOps(t)
	build := scaledJob("build")
	b := start(t, benchOptions{cluster: view([]*fleet.ScaledJob{build}, job("build-bcdfg"))}, ado.URL())
	first := queue(t, ado)
	b.settle(t, asking(build), 0)
	run(t, ado, first, "build-bcdfg-22222")
	deadline := time.Now().Add(10 * time.Second)
	for lists := ado.Count(adotest.OpJobRequests, 0); ado.Count(adotest.OpJobRequests, 0) == lists; runtime.Gosched() {
		if time.Now().After(deadline) {
			t.Fatal("nobody looked between the polls")
		}
	}
	calls := ado.Calls()
	for i := len(calls) - 1; ado.Calls()[i].Status == 0; runtime.Gosched() {
		if time.Now().After(deadline) {
			t.Fatal("the look got no answer")
		}
	}
	if err := ado.Finish(first, "succeeded"); err != nil {
		t.Fatal(err)
	}
	queue(t, ado)
	b.settle(t, asking(build), 2) // one is missing, and KEDA sees one
}

func TestEachRequestCountsOnce(t *testing.T) {
	ado := azureDevOps(t)
	plain, docker := scaledJob("plain", "capabilities", "java"), scaledJob("docker", "capabilities", "docker,java")
	elsewhere := scaledJob("elsewhere")
	elsewhere.Triggers[0]["scalerAddress"] = "another:9090"
	b := start(t, benchOptions{cluster: view([]*fleet.ScaledJob{docker, elsewhere, plain})}, ado.URL())
	for _, demands := range [][]string{{}, {"java"}, {"docker"}, {"docker", "java"}, {"gpu"}} {
		queue(t, ado, demands...)
	}
	b.settle(t, asking(plain), 2)
	b.settle(t, asking(docker), 2)
}

// TestAllAgentsMatch has one agent registered in the pool, which could run
// anything: what the ScaledJobs state decides nevertheless.
func TestAllAgentsMatch(t *testing.T) {
	ado := azureDevOps(t)
	if _, err := ado.AddAgent("Linux", adotest.Agent{Name: "placeholder", Offline: true, Capabilities: map[string]string{"gpu": "1", "npm": "1"}}); err != nil {
		t.Fatal(err)
	}
	plain, gpu := scaledJob("a-plain", "capabilities", "docker"), scaledJob("gpu", "capabilities", "docker,gpu")
	b := start(t, benchOptions{cluster: view([]*fleet.ScaledJob{plain, gpu})}, ado.URL())
	queue(t, ado, "gpu")
	queue(t, ado, "gpu")
	b.settle(t, asking(gpu), 2)
	b.settle(t, asking(plain), 0)
	queue(t, ado, "npm") // nobody states it, so Azure DevOps' word counts
	b.settle(t, asking(plain), 1)
	b.settle(t, asking(gpu), 2)
}

func TestPriority(t *testing.T) {
	ado := azureDevOps(t)
	small, large := scaledJob("small"), scaledJob("large", "priority", "1")
	large.MaxReplicas = 2
	b := start(t, benchOptions{cluster: view([]*fleet.ScaledJob{small, large})}, ado.URL())
	for range 5 {
		queue(t, ado)
	}
	b.settle(t, asking(large), 2)
	b.settle(t, asking(small), 3)
}

func TestJobsThatFailAreHeldBack(t *testing.T) {
	ado := azureDevOps(t)
	build := scaledJob("build")
	kube := view([]*fleet.ScaledJob{build})
	b := start(t, benchOptions{cluster: kube}, ado.URL())
	queue(t, ado)
	b.settle(t, asking(build), 1)
	failed := job("build-bcdfg")
	// Long enough ago that it cannot have taken the request since the snapshot.
	failed.Created, failed.Ended, failed.Failed = failed.Created.Add(-5*time.Second), time.Now().Add(-4*time.Second), true
	kube.set(failed)
	b.settle(t, asking(build), 0)
	b.settle(t, asking(build), 0)
	if len(kube.warnings) != 1 || !strings.HasPrefix(kube.warnings[0], "ado/build AgentStartFailed: Jobs fail before accepting work (latest: build-bcdfg); next attempt at ") {
		t.Errorf("warned %q", kube.warnings)
	}
	if n := b.logs.FilterMessage("a ScaledJob is held back").Len(); n != 1 {
		t.Errorf("logged %d times", n)
	}
	// The pause is over.
	failed.Created, failed.Ended = failed.Created.Add(time.Second), time.Now().Add(-20*time.Second)
	kube.set(failed)
	b.settle(t, asking(build), 1)
}

func TestStrategyMustGoWithCount(t *testing.T) {
	ado := azureDevOps(t)
	for _, tt := range []struct {
		strategy, count string
		want            string // "" if they go together
	}{
		{"", "", ""},
		{"default", "exact", ""},
		{"default", "owned", ""},
		{"accurate", "queued", ""},
		{"default", "unfinished", ""},
		{"accurate", "", `scalingStrategy.strategy "accurate" conflicts with count exact; leave it out, which means default`},
		{"eager", "owned", `scalingStrategy.strategy "eager" conflicts with count owned; leave it out, which means default`},
		{"", "queued", `scalingStrategy.strategy "default" conflicts with count queued; set it to accurate`},
		{"accurate", "unfinished", `scalingStrategy.strategy "accurate" conflicts with count unfinished; leave it out, which means default`},
	} {
		s := scaledJob("build", "count", tt.count)
		s.Strategy = tt.strategy
		b := start(t, benchOptions{cluster: view([]*fleet.ScaledJob{s})}, ado.URL())
		_, err := b.metric(t.Context(), asking(s))
		switch {
		case tt.want == "" && err != nil:
			t.Errorf("%q with %q: %v", tt.strategy, tt.count, err)
		case tt.want != "" && (status.Code(err) != codes.InvalidArgument || !strings.Contains(err.Error(), tt.want)):
			t.Errorf("%q with %q: got %v, want %s", tt.strategy, tt.count, err, tt.want)
		}
	}
}

func TestSettingsThatCannotWork(t *testing.T) {
	s := scaledJob("build")
	s.Strategy, s.Template.Parallelism = "custom", 2
	s.Triggers = append(s.Triggers, s.Triggers[0])
	b := start(t, benchOptions{cluster: view([]*fleet.ScaledJob{s})}, azureDevOps(t).URL())
	_, err := b.metric(t.Context(), asking(s))
	for _, want := range []string{`strategy "custom" conflicts with`, "several external triggers of this scaler", "jobTargetRef.parallelism is 2; set it to 1"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v\nlacks %s", err, want)
		}
	}
}

// TestUnknownToKubernetes covers a ScaledObject, and a ScaledJob that KEDA has
// seen before us.
func TestUnknownToKubernetes(t *testing.T) {
	ado := azureDevOps(t)
	b := start(t, benchOptions{cluster: view(nil)}, ado.URL())
	id := queue(t, ado)
	queue(t, ado)
	run(t, ado, id, "build-bcdfg-22222")
	b.settle(t, ref("poolName", "Linux"), 2)
}
