package scaler_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue/adotest"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/fleet"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/housekeeping"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/plan"
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
	view := &cluster{scaledJobs: []fleet.ScaledJob{build}}
	queue(t, ado, "inherited")
	start(t, benchOptions{cluster: view, owner: "us"}, ado.URL()).settle(t, asking(build), 1)
	// Those of somebody else say nothing about our ScaledJobs.
	for _, owner := range []string{"", "them"} {
		value, err := start(t, benchOptions{cluster: view, owner: owner}, ado.URL()).metric(t.Context(), asking(build))
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
	view := &cluster{scaledJobs: []fleet.ScaledJob{docker, anything, demands, parent, elsewhere, wrong, variable}}
	b := start(t, benchOptions{cluster: view}, ado.URL())
	if members := b.service.Members(); members != nil {
		t.Errorf("before it knows its address: %v", members)
	}
	if _, err := b.metric(t.Context(), asking(docker)); err != nil {
		t.Fatal(err)
	}
	member := func(name string, capabilities adoqueue.Capabilities) housekeeping.Member {
		return housekeeping.Member{
			Key: plan.Key{Namespace: "ado", Name: name}, Organization: ado.URL(),
			Pool: adoqueue.PoolRef{Name: "Linux"}, Capabilities: capabilities,
		}
	}
	if diff := cmp.Diff([]housekeeping.Member{
		member("docker", adoqueue.Capabilities{"docker": "", "java": "17"}), member("anything", adoqueue.Capabilities{}),
		member("demands", adoqueue.Capabilities{"gpu": "", "os": "linux"}), member("parent", nil),
	}, b.service.Members()); diff != "" {
		t.Error(diff)
	}
}
