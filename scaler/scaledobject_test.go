package scaler_test

import (
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue/adotest"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/proto/externalscaler"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/fleet"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/plan"
)

// scaledObject is a ScaledObject "agents" on the Deployment "azdevops-deployment",
// whose trigger has this metadata, given as key and value in turn.
func scaledObject(metadata ...string) *fleet.ScaledObject {
	pairs := append([]string{"poolName", "Linux", "scalerAddress", "scaler:9090"}, metadata...)
	return &fleet.ScaledObject{
		Key:        plan.Key{Namespace: "ado", Name: "agents"},
		Triggers:   []fleet.ObjectTrigger{{Metadata: ref(pairs...).GetScalerMetadata()}},
		TargetKind: "Deployment", TargetName: "azdevops-deployment",
	}
}

// askingObject is how KEDA asks about it.
func askingObject(o *fleet.ScaledObject) *externalscaler.ScaledObjectRef {
	return &externalscaler.ScaledObjectRef{Namespace: o.Key.Namespace, Name: o.Key.Name, ScalerMetadata: o.Triggers[0].Metadata}
}

func objectView(o *fleet.ScaledObject, scaledJobs ...*fleet.ScaledJob) *cluster {
	kube := view(scaledJobs)
	kube.SetScaledObject(o)
	return kube
}

// active asks whether a trigger is active.
func (b *bench) active(t *testing.T, r *externalscaler.ScaledObjectRef) bool {
	t.Helper()
	answer, err := b.client.IsActive(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	return answer.GetResult()
}

// TestScaledObject has a Deployment whose agents are busy, among agents of others.
func TestScaledObject(t *testing.T) {
	ado := azureDevOps(t)
	agents := scaledObject("capabilities", "docker")
	b := start(t, benchOptions{cluster: objectView(agents)}, ado.URL())
	asking := askingObject(agents)
	b.settle(t, asking, 0)
	if b.active(t, asking) {
		t.Error("active without a job")
	}
	// Its agents run what they were given, whatever that demands.
	first, second := queue(t, ado), queue(t, ado, "gpu")
	run(t, ado, first, "azdevops-deployment-5854bbbf84-r86qv")
	run(t, ado, second, "azdevops-deployment-5854bbbf84-x2x4k")
	b.settle(t, asking, 2)
	if !b.active(t, asking) {
		t.Error("not active while agents run jobs: KEDA would scale them away")
	}
	run(t, ado, queue(t, ado, "docker"), "static-vm-01")
	queue(t, ado, "docker")
	queue(t, ado, "gpu")
	b.settle(t, asking, 3) // two that run, and one that it can serve
	for _, id := range []int64{first, second} {
		if err := ado.Finish(id, "succeeded"); err != nil {
			t.Fatal(err)
		}
	}
	b.settle(t, asking, 1)
}

// TestScaledObjectAgents has requests on agents of various names and workloads.
func TestScaledObjectAgents(t *testing.T) {
	for _, tt := range []struct {
		name       string
		kind       string
		agent      string
		ownAgent   string // that was seen before with a request, "" for none
		demands    []string
		want       float64
		scaledJobs []*fleet.ScaledJob
	}{
		{name: "StatefulSet", kind: "StatefulSet", agent: "azdevops-deployment-12", demands: []string{"gpu"}, want: 1},
		{name: "another StatefulSet", kind: "StatefulSet", agent: "azdevops-deployment-gpu-0", ownAgent: "azdevops-deployment-0", want: 0},
		{name: "another Deployment", kind: "Deployment", agent: "azdevops-deployment-gpu-5854bbbf84-r86qv", ownAgent: "azdevops-deployment-5854bbbf84-x2x4k", want: 0},
		{name: "unknown names, a demand it meets", kind: "Deployment", agent: "AZDEVOPS-DEPLOY", want: 1},
		{name: "unknown names, a demand it does not meet", kind: "Deployment", agent: "AZDEVOPS-DEPLOY", demands: []string{"gpu"}, want: 0},
		{name: "unknown kind", kind: "Rollout", agent: "azdevops-deployment-5854bbbf84-r86qv", want: 1},
		{name: "agent of a ScaledJob", kind: "Deployment", agent: "build-bcdfg-22222", scaledJobs: []*fleet.ScaledJob{scaledJob("build")}, want: 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ado := azureDevOps(t)
			agents := scaledObject("capabilities", "docker")
			agents.TargetKind = tt.kind
			b := start(t, benchOptions{cluster: objectView(agents, tt.scaledJobs...)}, ado.URL())
			for _, s := range tt.scaledJobs {
				b.settle(t, asking(s), 0) // shows that it is of this scaler
			}
			if tt.ownAgent != "" {
				id := queue(t, ado)
				run(t, ado, id, tt.ownAgent)
				b.settle(t, askingObject(agents), 1)
				if err := ado.Finish(id, "succeeded"); err != nil {
					t.Fatal(err)
				}
			}
			run(t, ado, queue(t, ado, tt.demands...), tt.agent)
			b.settle(t, askingObject(agents), tt.want)
			for n := ado.Count(adotest.OpJobRequests, 0); ado.Count(adotest.OpJobRequests, 0) < n+2; {
				b.settle(t, askingObject(agents), tt.want)
			}
		})
	}
}

// TestScaledObjectTarget has agents that stand for several jobs each, and a
// threshold.
func TestScaledObjectTarget(t *testing.T) {
	ado := azureDevOps(t)
	agents := scaledObject("targetPipelinesQueueLength", "2", "activationTargetPipelinesQueueLength", "1")
	b := start(t, benchOptions{cluster: objectView(agents)}, ado.URL())
	queue(t, ado)
	b.settle(t, askingObject(agents), 1)
	if b.active(t, askingObject(agents)) {
		t.Error("active at the threshold")
	}
	queue(t, ado)
	queue(t, ado)
	b.settle(t, askingObject(agents), 3)
	if !b.active(t, askingObject(agents)) {
		t.Error("not active above the threshold")
	}
	spec, err := b.client.GetMetricSpec(t.Context(), askingObject(agents))
	if err != nil {
		t.Fatal(err)
	}
	// The autoscaler wants ceil(value / target) replicas.
	if s := spec.GetMetricSpecs()[0]; s.GetTargetSizeFloat() != 2 || s.GetTargetSize() != 2 {
		t.Errorf("the target is %v", s)
	}
}

// TestScaledObjectRefused has triggers that cannot work for a ScaledObject.
func TestScaledObjectRefused(t *testing.T) {
	for _, tt := range []struct {
		name     string
		metadata []string
		change   func(*fleet.ScaledObject)
		want     string
	}{
		{"count exact", []string{"count", "exact"}, nil, "leave it out, which means unfinished for a ScaledObject"},
		{"count owned", []string{"count", "owned"}, nil, "leave it out, which means unfinished for a ScaledObject"},
		{"minIdle", []string{"minIdle", "1"}, nil, "set the ScaledObject's minReplicaCount"},
		{"metricType", nil, func(o *fleet.ScaledObject) { o.Triggers[0].MetricType = "Value" }, "leave it out, which means AverageValue"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			agents := scaledObject(tt.metadata...)
			if tt.change != nil {
				tt.change(agents)
			}
			b := start(t, benchOptions{cluster: objectView(agents)}, azureDevOps(t).URL())
			_, err := b.metric(t.Context(), askingObject(agents))
			if status.Code(err) != codes.InvalidArgument || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want a refusal that says %s", err, tt.want)
			}
		})
	}
}

// TestScaledObjectQueued has a count with which the autoscaler ends busy agents.
func TestScaledObjectQueued(t *testing.T) {
	ado := azureDevOps(t)
	agents := scaledObject("count", "queued")
	kube := objectView(agents)
	b := start(t, benchOptions{cluster: kube}, ado.URL())
	run(t, ado, queue(t, ado), "azdevops-deployment-5854bbbf84-r86qv")
	queue(t, ado)
	for range 3 {
		b.settle(t, askingObject(agents), 1)
	}
	kube.mu.Lock()
	defer kube.mu.Unlock()
	if len(kube.warnings) != 1 || !strings.Contains(kube.warnings[0], "ado/agents ScaledObjectWarning: count queued") {
		t.Errorf("warned %q, want one warning", kube.warnings)
	}
}

// TestScaledObjectOfAScaledJobsName has one of each kind: the metadata decides.
func TestScaledObjectOfAScaledJobsName(t *testing.T) {
	ado := azureDevOps(t)
	job, agents := scaledJob("agents", "capabilities", "gpu"), scaledObject("capabilities", "docker")
	b := start(t, benchOptions{cluster: objectView(agents, job)}, ado.URL())
	run(t, ado, queue(t, ado, "docker"), "azdevops-deployment-5854bbbf84-r86qv")
	b.settle(t, askingObject(agents), 1)
	b.settle(t, asking(job), 0)
	queue(t, ado, "gpu")
	b.settle(t, asking(job), 1)
	b.settle(t, askingObject(agents), 1)
}

// TestScaledObjectOutOfView keeps to the count of a caller that nothing is known
// of, and reports that.
func TestScaledObjectOutOfView(t *testing.T) {
	ado := azureDevOps(t)
	agents := scaledObject()
	b := start(t, benchOptions{cluster: view(nil)}, ado.URL())
	queue(t, ado)
	b.settle(t, askingObject(agents), 1)
	kube := view(nil)
	kube.SetScaledObject(agents)
	kube.DeleteScaledObject(agents.Key)
	b = start(t, benchOptions{cluster: kube}, ado.URL())
	run(t, ado, queue(t, ado), "azdevops-deployment-5854bbbf84-r86qv")
	b.settle(t, askingObject(agents), 1)
}

// TestStreamOfAScaledObject has KEDA's push: active as soon as a job is queued, and
// until its agents have run all of them.
func TestStreamOfAScaledObject(t *testing.T) {
	ado := azureDevOps(t)
	agents := scaledObject()
	b := start(t, benchOptions{cluster: objectView(agents), maxAge: 20 * time.Millisecond}, ado.URL())
	stream, err := b.client.StreamIsActive(t.Context(), askingObject(agents))
	if err != nil {
		t.Fatal(err)
	}
	expect := func(want bool) {
		t.Helper()
		if answer, err := stream.Recv(); err != nil || answer.GetResult() != want {
			t.Fatalf("got %v, %v, want %v", answer, err, want)
		}
	}
	expect(false)
	id := queue(t, ado)
	expect(true)
	run(t, ado, id, "azdevops-deployment-5854bbbf84-r86qv")
	if err := ado.Finish(id, "succeeded"); err != nil {
		t.Fatal(err)
	}
	expect(false)
}
