package scaler_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue/adotest"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/proto/externalscaler"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/fleet"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/housekeeping"
)

// TestPlaceholderMatches has Azure DevOps match a request with our placeholder
// for a reason that the trigger does not know.
func TestPlaceholderMatches(t *testing.T) {
	ado := azureDevOps(t)
	name := housekeeping.PlaceholderName("us", adoqueue.Capabilities{"docker": ""})
	for _, agent := range []adotest.Agent{
		{Name: name, Offline: true, Capabilities: map[string]string{"docker": "true", "inherited": "1"}},
		{Name: "another", Offline: true},
	} {
		if _, err := ado.AddAgent("Linux", agent); err != nil {
			t.Fatal(err)
		}
	}
	build := scaledJob("build", "capabilities", "docker")
	kube := view([]*fleet.ScaledJob{build})
	queue(t, ado, "inherited")
	start(t, benchOptions{cluster: kube, owner: "us"}, ado.URL()).settle(t, asking(build), 1)
	// Those of somebody else say nothing about our ScaledJobs.
	for _, owner := range []string{"", "them"} {
		value, err := start(t, benchOptions{cluster: kube, owner: owner}, ado.URL()).metric(t.Context(), asking(build))
		if err != nil || value != 0 {
			t.Errorf("owner %q: metric %v, %v, want 0", owner, value, err)
		}
	}
}

func TestMembers(t *testing.T) {
	ado := azureDevOps(t)
	docker, anything := scaledJob("docker", "capabilities", "docker,java=17"), scaledJob("anything")
	demands, parent := scaledJob("demands", "demands", "gpu,os -equals linux"), scaledJob("parent", "parent", "template")
	elsewhere, wrong := scaledJob("elsewhere"), scaledJob("wrong", "priority", "high")
	elsewhere.Triggers[0]["scalerAddress"] = "another:9090"
	variable := scaledJob("variable", "poolNameFromEnv", "AZP_POOL")
	delete(variable.Triggers[0], "poolName")
	kube := view([]*fleet.ScaledJob{docker, anything, demands, parent, elsewhere, wrong, variable})
	b := start(t, benchOptions{cluster: kube}, ado.URL())
	if members := b.engine.Members(); members != nil {
		t.Errorf("before it knows its address: %v", members)
	}
	if _, err := b.metric(t.Context(), asking(docker)); err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"docker": "docker,java=17", "anything": "", "demands": "gpu,os=linux", "parent": "none"}
	if diff := cmp.Diff(want, b.members()); diff != "" {
		t.Error(diff)
	}
	// The variable's value is known once KEDA has sent it.
	if _, err := b.metric(t.Context(), &externalscaler.ScaledObjectRef{Namespace: "ado", Name: "variable", ScalerMetadata: map[string]string{
		"scalerAddress": "scaler:9090", "poolNameFromEnv": "Linux",
	}}); err != nil {
		t.Fatal(err)
	}
	want["variable"] = ""
	if diff := cmp.Diff(want, b.members()); diff != "" {
		t.Error(diff)
	}
}

// members are the capabilities of the placeholder that each member needs.
func (b *bench) members() map[string]string {
	members := map[string]string{}
	for _, m := range b.engine.Members() {
		members[m.Key.Name] = m.Trigger.Requests.Placeholder().String()
		if m.Trigger.Requests.Placeholder() == nil {
			members[m.Key.Name] = "none"
		}
	}
	return members
}
