package housekeeping

import (
	"fmt"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/fleet"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/plan"
)

// TestOrder checks that registrations come before removals, so that a job that is
// queued meanwhile finds an agent that matches.
func TestOrder(t *testing.T) {
	now := time.Now()
	o := &observation{
		memory: newMemory(), settings: Settings{Placeholders: true, OfflineAgents: true, Grace: time.Minute},
		owner: "owner", now: now, members: []Member{{Capabilities: adoqueue.Capabilities{"java": ""}}},
	}
	old := PlaceholderName("owner", adoqueue.Capabilities{"gpu": ""})
	o.setAgents([]adoqueue.Agent{{ID: 1, Name: "build-bcdfg-hjklm", StatusChanged: now.Add(-time.Hour)}, {ID: 2, Name: old}})
	o.memory.agents[1] = &agentRecord{identity: own}
	o.memory.agents[2] = &agentRecord{identity: placeholder, unusedSince: now.Add(-time.Hour)}
	o.trackUnused()
	var kinds []actionKind
	for _, a := range o.decide() {
		kinds = append(kinds, a.kind)
	}
	if want := []actionKind{addPlaceholder, removePlaceholder, removeAgent}; !slices.Equal(kinds, want) {
		t.Errorf("got %v, want %v", kinds, want)
	}
}

// TestStatusUnknown checks that the grace period counts from the first observation
// if Azure DevOps does not say since when an agent is offline.
func TestStatusUnknown(t *testing.T) {
	memory, now := newMemory(), time.Now()
	decide := func(after time.Duration, agent adoqueue.Agent) []action {
		o := &observation{memory: memory, settings: Settings{OfflineAgents: true, Grace: 10 * time.Minute}, now: now.Add(after)}
		agent.ID, agent.Name = 1, "build-bcdfg-hjklm"
		o.setAgents([]adoqueue.Agent{agent})
		if o.memory.agents[1] == nil {
			o.memory.agents[1] = &agentRecord{identity: own, marked: true}
		}
		o.trackUnused()
		return o.decide()
	}
	for _, step := range []struct {
		after   time.Duration
		agent   adoqueue.Agent
		removed bool
	}{
		{0, adoqueue.Agent{}, false},
		{9 * time.Minute, adoqueue.Agent{}, false},
		{10 * time.Minute, adoqueue.Agent{Request: 7}, false},
		{11 * time.Minute, adoqueue.Agent{Online: true}, false},
		{12 * time.Minute, adoqueue.Agent{}, false},
		{21 * time.Minute, adoqueue.Agent{}, false},
		{22 * time.Minute, adoqueue.Agent{}, true},
	} {
		actions := decide(step.after, step.agent)
		if removed := len(actions) == 1 && actions[0].kind == removeAgent; removed != step.removed || len(actions) > 1 {
			t.Errorf("after %v: %v", step.after, actions)
		}
	}
}

// TestStatedCapability checks that the default system capabilities of a placeholder
// do not contradict those that the ScaledJob states.
func TestStatedCapability(t *testing.T) {
	capabilities := adoqueue.Capabilities{"agent.os": "Windows_NT"}
	agent := newPlaceholder("owner", capabilities, placeholderSystem(nil, capabilities))
	if _, ok := agent.System["sh"]; ok {
		t.Error("Windows has no sh")
	}
	if _, ok := agent.System["Agent.OS"]; ok || agent.System["Agent.Version"] == "" || agent.User["agent.os"] != "Windows_NT" {
		t.Errorf("got %+v", agent)
	}
}

// BenchmarkObservation computes everything for a pool with ten thousand agents, a
// hundred ScaledJobs and a thousand Jobs.
func BenchmarkObservation(b *testing.B) {
	now := time.Now()
	var members []Member
	for i := range 100 {
		members = append(members, Member{
			Key: plan.Key{Namespace: "ado", Name: fmt.Sprint("build-", i)}, Capabilities: adoqueue.Capabilities{"gpu": strconv.Itoa(i)},
		})
	}
	var jobs []fleet.Job
	for i := range 1000 {
		scaledJob := members[i%len(members)].Key.Name
		jobs = append(jobs, fleet.Job{
			Namespace: "ado", ScaledJob: scaledJob, Name: fmt.Sprintf("%s-%05d", scaledJob, 22222+i), Created: now,
		})
	}
	var agents []adoqueue.Agent
	for i := range 10_000 {
		agents = append(agents, adoqueue.Agent{ID: i + 1, Name: fmt.Sprintf("build-%d-%05d-hjklm", i%200, i), Online: i%2 == 0, StatusChanged: now})
	}
	memory := newMemory()
	b.ReportAllocs()
	for b.Loop() {
		o := &observation{
			memory: memory, settings: Settings{Placeholders: true, OfflineAgents: true, Grace: DefaultGrace},
			owner: "owner", now: now, members: members,
		}
		o.setJobs(jobs)
		o.setAgents(agents)
		o.agentsToRead()
		o.trackUnused()
		if actions := o.decide(); len(actions) != 100 {
			b.Fatalf("%d actions, want the 100 placeholders", len(actions))
		}
	}
}
