package housekeeping_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue/adotest"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/housekeeping"
)

// TestScaleFromEmpty has Azure DevOps refuse a job, and with placeholders accept it
// and name the placeholder that matches.
func TestScaleFromEmpty(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		w.serve("plain", "", "docker", "docker,java=17", "gpu", "gpu", "twin", "java=17,docker")
		job := adotest.Job{Demands: []string{"java -gtVersion 11", "docker"}}
		if _, err := w.ado.Queue("linux", job); err == nil {
			t.Fatal("the job was not refused")
		}
		w.during(time.Second)
		w.wantAgents(w.placeholder(""), w.placeholder("docker,java=17"), w.placeholder("gpu"))
		if _, err := w.ado.Queue("linux", job); err != nil {
			t.Fatal(err)
		}
		// A default capability, and one that has no value.
		for _, demand := range []string{"Agent.OS -equals linux", "gpu -equals true"} {
			if _, err := w.ado.Queue("linux", adotest.Job{Demands: []string{demand}}); err != nil {
				t.Fatal(err)
			}
		}
		requests, err := w.client().JobRequests(t.Context(), adoqueue.Pool{ID: 1})
		if err != nil {
			t.Fatal(err)
		}
		if got := fmt.Sprint(requests[0].MatchedAgents); got != "["+w.placeholder("docker,java=17")+"]" {
			t.Errorf("matched agents: %s", got)
		}
		if !requests[1].MatchesAllAgents {
			t.Errorf("matched agents: %v", requests[1].MatchedAgents)
		}
		// Each ScaledJob has an event about its own placeholder.
		w.wantEvents(2, "Normal", "PlaceholderAdded", "capabilities: docker,java=17")
		w.wantEvents(1, "Normal ado/gpu PlaceholderAdded: registered placeholder", `in pool "linux" (id 1)`, "capabilities: gpu")
		w.wantEvents(1, "Normal ado/plain PlaceholderAdded", "capabilities: none")
		w.wantEvents(4)
		if n := w.logs.FilterMessageSnippet("registered placeholder").Len(); n != 3 {
			t.Errorf("%d lines in the log, want 3", n)
		}
		want := fmt.Sprintf(`
# HELP ado_agent_orchestrator_housekeeping_actions_total Housekeeping actions: add_placeholder, update_placeholder, model_placeholder, remove_placeholder, mark_agent, remove_agent, delete_job, end_idle, annotate_job.
# TYPE ado_agent_orchestrator_housekeeping_actions_total counter
ado_agent_orchestrator_housekeeping_actions_total{action="add_placeholder",organization=%q,outcome="done",pool="linux"} 3
`, w.ado.URL())
		if err := testutil.GatherAndCompare(w.registry, strings.NewReader(want)); err != nil {
			t.Error(err)
		}
	})
}

// TestModel has a task demand a program that its job does not state. The first agent that
// comes online shows that its image has it; the placeholder has it from then on,
// also after that agent and this process are gone.
func TestModel(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		w.serve("build", "docker", "twin", "docker", "other", "gpu")
		queue := func(demand string) error {
			_, err := w.ado.Queue("linux", adotest.Job{Demands: []string{"docker", demand}})
			return err
		}
		w.during(time.Second)
		if err := queue("sh"); err != nil { // which every image has
			t.Error(err)
		}
		if queue("npm") == nil || queue("Agent.OSArchitecture -equals ARM64") == nil {
			t.Fatal("the job was not refused")
		}
		w.job("build-bcdfg", nil)
		w.add(adotest.Agent{Name: "build-bcdfg-hjklm", System: map[string]string{
			"npm": "/usr/bin/npm", "HOSTNAME": "build-bcdfg-hjklm", "Agent.OSArchitecture": "ARM64", "Docker": "/usr/bin/docker",
		}})
		w.during(time.Minute + time.Second)
		w.wantEvents(1, "Normal ado/build PlaceholderCompleted: completed placeholder", "found in its image")
		w.wantEvents(1, "Normal ado/twin PlaceholderCompleted")
		if err := w.ado.RemoveAgent("linux", "build-bcdfg-hjklm"); err != nil {
			t.Fatal(err)
		}
		w.removeJobs()
		w.during(2 * time.Hour) // another process
		for _, demand := range []string{"npm", "Agent.OSArchitecture -equals ARM64", "Agent.Version -gtVersion 4.300.0", "docker -equals true"} {
			if err := queue(demand); err != nil {
				t.Error(err)
			}
		}
		w.wantEvents(2, "PlaceholderCompleted")
		for _, agent := range w.ado.Agents("linux") {
			if agent.System["HOSTNAME"] != "" || agent.System["Agent.Name"] != "" || !agent.Offline {
				t.Errorf("got %+v", agent)
			}
			if agent.Name == w.placeholder("gpu") && agent.System["npm"] != "" {
				t.Error("the placeholder of another image has it too")
			}
		}
	})
}

// A placeholder follows its image: its model is read again each hour.
func TestModelChanges(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		w.serve("build", "")
		agent := adotest.Agent{Name: "build-bcdfg-hjklm", System: map[string]string{"npm": "/usr/bin/npm"}}
		w.job("build-bcdfg", nil)
		w.add(agent)
		stop := w.keep(t.Context())
		defer stop()
		pass(2 * time.Minute)
		if err := w.ado.RemoveAgent("linux", agent.Name); err != nil {
			t.Fatal(err)
		}
		agent.System = map[string]string{"java": "/usr/bin/java"}
		w.add(agent)
		pass(2 * time.Hour)
		for _, a := range w.ado.Agents("linux") {
			if a.Name == w.placeholder("") && (a.System["npm"] != "" || a.System["java"] == "") {
				t.Errorf("got %+v", a)
			}
		}
	})
}

func TestPlaceholderName(t *testing.T) {
	name := func(owner, list string) string { return housekeeping.PlaceholderName(owner, parse(t, list)) }
	// The name is stored in pools: another hash would orphan the placeholders.
	if got := name("a", "docker,java=17"); got != "ado-agent-orchestrator-placeholder-f06ff214aad9be32" {
		t.Errorf("got %s", got)
	}
	if name("a", "Docker, java=17") != name("a", "java=17,docker") {
		t.Error("the order or case of the list matters")
	}
	names := map[string]bool{}
	for _, owner := range []string{"a", "b"} {
		for _, list := range []string{"", "a", "b", "a,b", "a=b", "a=B"} {
			names[name(owner, list)] = true
		}
	}
	if len(names) != 12 {
		t.Errorf("%d names, want 12: %v", len(names), names)
	}
}

// TestStatedSystem checks that a ScaledJob's own Agent.OS replaces the default.
func TestStatedSystem(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		w.serve("windows", "agent.os=Windows_NT")
		w.during(time.Second)
		for demand, want := range map[string]bool{"Agent.OS -equals Windows_NT": true, "Agent.OS -equals Linux": false} {
			if _, err := w.ado.Queue("linux", adotest.Job{Demands: []string{demand}}); (err == nil) != want {
				t.Errorf("%s: %v", demand, err)
			}
		}
	})
}

// TestCapabilityChange checks that the new placeholder is registered before the old
// one is removed.
func TestCapabilityChange(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		w.serve("a", "docker", "b", "docker", "c", "gpu")
		stop := w.keep(t.Context())
		defer stop()
		pass(time.Second)
		w.serve("a", "java", "b", "docker", "c", "gpu")
		pass(time.Second) // not a minute
		w.wantAgents(w.placeholder("docker"), w.placeholder("java"), w.placeholder("gpu"))
		w.serve("a", "java", "b", "java", "c", "gpu")
		pass(housekeeping.DefaultGrace - time.Minute)
		w.wantAgents(w.placeholder("docker"), w.placeholder("java"), w.placeholder("gpu"))
		pass(3 * time.Minute)
		w.wantAgents(w.placeholder("java"), w.placeholder("gpu"))
		w.wantEvents(1, "Normal ado/b PlaceholderRemoved: removed placeholder", "which no ScaledJob needs any more") // the last to change
		w.wantEvents(1, "PlaceholderRemoved")
		w.serve()
		pass(housekeeping.DefaultGrace + 3*time.Minute)
		w.wantAgents()
		// A pool without members and without our agents is not observed.
		pass(housekeeping.DefaultGrace)
		listings := w.listings()
		pass(time.Hour)
		if n := w.listings() - listings; n != 0 {
			t.Errorf("%d listings of a pool that nobody uses", n)
		}
	})
}

// TestLongGrace checks that rereading the marks does not change the grace period.
func TestLongGrace(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		w.settings.Grace = 3 * time.Hour
		w.serve("a", "docker")
		stop := w.keep(t.Context())
		defer stop()
		pass(time.Second)
		w.serve()
		pass(179 * time.Minute)
		w.wantAgents(w.placeholder("docker"))
		pass(3 * time.Minute)
		w.wantAgents()
	})
}

// TestWithoutPlaceholder has a ScaledJob with a separate placeholder, and one in
// an organization of another Keeper.
func TestWithoutPlaceholder(t *testing.T) {
	bubble(t, func(_ *testing.T, w *world) {
		w.serve("parent", "", "elsewhere", "docker", "a", "gpu")
		w.members[0].Capabilities = nil
		w.members[1].Organization = "https://dev.azure.com/elsewhere"
		w.during(time.Hour)
		w.wantAgents(w.placeholder("gpu"))
	})
}

// TestTakenOver checks that a placeholder stays whose mark somebody has removed
// within the grace period.
func TestTakenOver(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		w.serve("a", "docker")
		stop := w.keep(t.Context())
		defer stop()
		pass(time.Second)
		w.serve()
		pass(5 * time.Minute)
		if err := w.ado.SetAgentCapabilities("linux", w.placeholder("docker"), map[string]string{"docker": ""}); err != nil {
			t.Fatal(err)
		}
		pass(time.Hour)
		w.wantAgents(w.placeholder("docker"))
	})
}

// TestBackInTime checks that a placeholder stays that is needed again within the
// grace period.
func TestBackInTime(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		w.serve("a", "docker")
		stop := w.keep(t.Context())
		defer stop()
		pass(time.Second)
		for range 4 { // each less than the grace
			w.serve()
			pass(6 * time.Minute)
			w.serve("a", "docker")
			pass(6 * time.Minute)
		}
		w.wantAgents(w.placeholder("docker"))
		if n := w.writes(); n != 1 {
			t.Errorf("%d writes, want 1", n)
		}
	})
}

// TestDeletedByHand checks that a deleted placeholder is registered again within a
// minute.
func TestDeletedByHand(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		w.serve("a", "docker")
		stop := w.keep(t.Context())
		defer stop()
		pass(time.Second)
		if err := w.ado.RemoveAgent("linux", w.placeholder("docker")); err != nil {
			t.Fatal(err)
		}
		pass(time.Minute)
		w.wantAgents(w.placeholder("docker"))
	})
}

// TestChangedByHand checks that lost capabilities of a placeholder are restored, at
// the start and within the hour.
func TestChangedByHand(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		w.serve("a", "docker")
		w.during(time.Second)
		spoil := func() {
			t.Helper()
			// The mark stays, as in the web page of Azure DevOps.
			capabilities := w.ado.Agents("linux")[0].Capabilities
			delete(capabilities, "docker")
			if err := w.ado.SetAgentCapabilities("linux", w.placeholder("docker"), capabilities); err != nil {
				t.Fatal(err)
			}
		}
		want := func() {
			t.Helper()
			if _, ok := w.ado.Agents("linux")[0].Capabilities["docker"]; !ok {
				t.Error("it still lacks its capability")
			}
		}
		spoil()
		stop := w.keep(t.Context())
		defer stop()
		pass(time.Second)
		want()
		spoil()
		pass(61 * time.Minute)
		want()
		w.wantEvents(2, "ado/a PlaceholderUpdated: restored the capabilities of placeholder")
	})
}

// TestForeign checks that agents stay unchanged that resemble ours: by name, with a
// mark of another owner, or created by hand for the built-in scaler.
func TestForeign(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		w.serve("a", "docker", "b", "gpu")
		other := housekeeping.PlaceholderName("other", parse(t, "docker"))
		foreigners := []adotest.Agent{
			{Name: "keda-template", Offline: true},
			{Name: "ado-agent-orchestrator-placeholder-of-mine", Offline: true},
			{Name: other, Offline: true, Capabilities: map[string]string{"ADO_AGENT_ORCHESTRATOR_PLACEHOLDER_OF": "other", "docker": ""}},
			{Name: "marked-by-hand", Offline: true, Capabilities: w.marks("docker")},
			{Name: "a-zzzzz-hjklm", Offline: true, Capabilities: w.marks("docker")},
			{Name: "a-zzzzz-bbbbb", Offline: true, Capabilities: map[string]string{"ADO_AGENT_ORCHESTRATOR_LEFTOVER_OF": "other"}},
			// It has the name of a placeholder that is missing, in another case.
			{Name: strings.ToUpper(w.placeholder("gpu")), Offline: true},
		}
		var names []string
		for _, agent := range foreigners {
			w.add(agent)
			names = append(names, agent.Name)
		}
		w.during(time.Hour)
		w.wantAgents(append(names, w.placeholder("docker"))...)
		w.wantEvents(1, "Warning ado/b PlaceholderNameTaken", "remove it from the pool")
		for _, agent := range w.ado.Agents("linux") {
			for _, foreigner := range foreigners {
				if agent.Name == foreigner.Name && len(agent.Capabilities) != len(foreigner.Capabilities) {
					t.Errorf("%s was changed: %v", agent.Name, agent.Capabilities)
				}
			}
		}
	})
}
