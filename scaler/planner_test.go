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
)

// cluster is a view of Kubernetes that a test sets.
type cluster struct {
	mu         sync.Mutex
	scaledJobs []fleet.ScaledJob
	jobs       []fleet.Job
	warnings   []string
}

func (c *cluster) Warn(namespace, scaledJob, reason, message string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.warnings = append(c.warnings, fmt.Sprintf("%s/%s %s: %s", namespace, scaledJob, reason, message))
}

func (c *cluster) ScaledJobs() []fleet.ScaledJob {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.scaledJobs
}

func (c *cluster) Jobs() []fleet.Job {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.jobs
}

func (c *cluster) set(jobs ...fleet.Job) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.jobs = jobs
}

// scaledJob is a ScaledJob of the namespace "ado" whose trigger has this
// metadata, given as key and value in turn.
func scaledJob(name string, metadata ...string) fleet.ScaledJob {
	return fleet.ScaledJob{
		Namespace: "ado", Name: name, MaxReplicas: 100, Parallelism: 1,
		Triggers: []map[string]string{ref(append(metadata, "poolName", "Linux", "scalerAddress", "scaler:9090")...).GetScalerMetadata()},
	}
}

// asking is how KEDA asks about it.
func asking(s fleet.ScaledJob) *externalscaler.ScaledObjectRef {
	return &externalscaler.ScaledObjectRef{Namespace: s.Namespace, Name: s.Name, ScalerMetadata: s.Triggers[0]}
}

// job is a Job of the ScaledJob "build".
func job(name string) fleet.Job {
	return fleet.Job{UID: name, Namespace: "ado", Name: name, ScaledJob: "build", Created: time.Now().Truncate(time.Second)}
}

func TestCountExact(t *testing.T) {
	ado := azureDevOps(t)
	build := scaledJob("build")
	view := &cluster{scaledJobs: []fleet.ScaledJob{build}}
	b := start(t, benchOptions{cluster: view}, ado.URL())
	r := asking(build)
	b.settle(t, r, 0)
	first := queue(t, ado)
	queue(t, ado)
	b.settle(t, r, 2)

	// Two Jobs wait, so nothing is missing.
	one, two := job("build-abcde"), job("build-fghij")
	view.set(one, two)
	b.settle(t, r, 0)
	// A third request has nobody yet: KEDA makes 3 - 2.
	queue(t, ado)
	b.settle(t, r, 3)

	// One takes a request: still one is missing.
	run(t, ado, first, "build-abcde-22222")
	for lists := ado.Count(adotest.OpJobRequests, 0); ado.Count(adotest.OpJobRequests, 0) < lists+2; {
		b.settle(t, r, 3) // until a snapshot has shown it
	}
	// Its request ends, its Job drains: it is of no use for the others, and KEDA
	// still sees it.
	if err := ado.Finish(first, "succeeded"); err != nil {
		t.Fatal(err)
	}
	queue(t, ado)
	b.settle(t, r, 4)
	one.Ended = time.Now()
	view.set(one, two)
	b.settle(t, r, 3)
}

// TestShortJobs has a request start and end between two polls: the scaler must
// have looked by itself, or the draining Job would count as waiting for the next
// request.
func TestShortJobs(t *testing.T) {
	ado := azureDevOps(t)
	build := scaledJob("build")
	b := start(t, benchOptions{cluster: &cluster{scaledJobs: []fleet.ScaledJob{build}, jobs: []fleet.Job{job("build-abcde")}}}, ado.URL())
	first := queue(t, ado)
	b.settle(t, asking(build), 0)
	run(t, ado, first, "build-abcde-22222")
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
	b := start(t, benchOptions{cluster: &cluster{scaledJobs: []fleet.ScaledJob{docker, elsewhere, plain}}}, ado.URL())
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
	b := start(t, benchOptions{cluster: &cluster{scaledJobs: []fleet.ScaledJob{plain, gpu}}}, ado.URL())
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
	b := start(t, benchOptions{cluster: &cluster{scaledJobs: []fleet.ScaledJob{small, large}}}, ado.URL())
	for range 5 {
		queue(t, ado)
	}
	b.settle(t, asking(large), 2)
	b.settle(t, asking(small), 3)
}

func TestJobsThatFailAreHeldBack(t *testing.T) {
	ado := azureDevOps(t)
	build := scaledJob("build")
	view := &cluster{scaledJobs: []fleet.ScaledJob{build}}
	b := start(t, benchOptions{cluster: view}, ado.URL())
	queue(t, ado)
	b.settle(t, asking(build), 1)
	failed := job("build-abcde")
	// Long enough ago that it cannot have taken the request since the snapshot.
	failed.Created, failed.Ended, failed.Failed = failed.Created.Add(-5*time.Second), time.Now().Add(-4*time.Second), true
	view.set(failed)
	b.settle(t, asking(build), 0)
	b.settle(t, asking(build), 0)
	if len(view.warnings) != 1 || !strings.HasPrefix(view.warnings[0], "ado/build AgentsFail: its Jobs fail before they take a job, build-abcde at last; the next is made at ") {
		t.Errorf("warned %q", view.warnings)
	}
	if n := b.logs.FilterMessage("a ScaledJob is held back").Len(); n != 1 {
		t.Errorf("logged %d times", n)
	}
	// The pause is over.
	failed.Created, failed.Ended = failed.Created.Add(time.Second), time.Now().Add(-20*time.Second)
	view.set(failed)
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
		{"accurate", "", `scalingStrategy.strategy "accurate" does not go with count exact, set it to default`},
		{"eager", "owned", `scalingStrategy.strategy "eager" does not go with count owned, set it to default`},
		{"", "queued", `scalingStrategy.strategy "default" does not go with count queued, set it to accurate`},
		{"accurate", "unfinished", `scalingStrategy.strategy "accurate" does not go with count unfinished, set it to default`},
	} {
		s := scaledJob("build", "count", tt.count)
		s.Strategy = tt.strategy
		b := start(t, benchOptions{cluster: &cluster{scaledJobs: []fleet.ScaledJob{s}}}, ado.URL())
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
	s.Strategy, s.Parallelism = "custom", 2
	s.Triggers = append(s.Triggers, s.Triggers[0])
	b := start(t, benchOptions{cluster: &cluster{scaledJobs: []fleet.ScaledJob{s}}}, azureDevOps(t).URL())
	_, err := b.metric(t.Context(), asking(s))
	for _, want := range []string{`strategy "custom" does not go with`, "several external triggers", "jobTargetRef.parallelism is 2, set it to 1"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v\nlacks %s", err, want)
		}
	}
}

// TestUnknownToKubernetes covers a ScaledObject, and a ScaledJob that KEDA has
// seen before us.
func TestUnknownToKubernetes(t *testing.T) {
	ado := azureDevOps(t)
	b := start(t, benchOptions{cluster: &cluster{}}, ado.URL())
	id := queue(t, ado)
	queue(t, ado)
	run(t, ado, id, "build-abcde-22222")
	b.settle(t, ref("poolName", "Linux"), 2)
}
