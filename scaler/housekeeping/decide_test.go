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

// TestOrder registers before it removes, so that a job that is queued meanwhile
// finds something that matches.
func TestOrder(t *testing.T) {
	now := time.Now()
	l := &look{
		memory: newMemory(), settings: Settings{Placeholders: true, OfflineAgents: true, Grace: time.Minute},
		owner: "owner", now: now, members: []Member{{Capabilities: adoqueue.Capabilities{"java": ""}}},
	}
	old := PlaceholderName("owner", adoqueue.Capabilities{"gpu": ""})
	l.list([]adoqueue.Agent{{ID: 1, Name: "build-bcdfg-hjklm", StatusChanged: now.Add(-time.Hour)}, {ID: 2, Name: old}})
	l.agents[1] = &record{identity: own}
	l.agents[2] = &record{identity: placeholder, since: now.Add(-time.Hour)}
	l.settle()
	var kinds []kind
	for _, a := range l.decide() {
		kinds = append(kinds, a.kind)
	}
	if want := []kind{addPlaceholder, removePlaceholder, removeAgent}; !slices.Equal(kinds, want) {
		t.Errorf("got %v, want %v", kinds, want)
	}
}

// TestStatusUnknown counts the grace from the first sight where Azure DevOps
// does not say since when an agent is offline.
func TestStatusUnknown(t *testing.T) {
	memory, now := newMemory(), time.Now()
	decide := func(after time.Duration, agent adoqueue.Agent) []action {
		l := &look{memory: memory, settings: Settings{OfflineAgents: true, Grace: 10 * time.Minute}, now: now.Add(after)}
		agent.ID, agent.Name = 1, "build-bcdfg-hjklm"
		l.list([]adoqueue.Agent{agent})
		if l.agents[1] == nil {
			l.agents[1] = &record{identity: own, marked: true}
		}
		l.settle()
		return l.decide()
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

// TestStatedCapability is not contradicted by those that placeholders have
// unasked.
func TestStatedCapability(t *testing.T) {
	agent := newPlaceholder("owner", adoqueue.Capabilities{"agent.os": "Windows_NT"})
	if _, ok := agent.System["Agent.OS"]; ok || agent.System["Agent.Version"] == "" || agent.User["agent.os"] != "Windows_NT" {
		t.Errorf("got %+v", agent)
	}
}

// BenchmarkLook is all that is computed for a pool with ten thousand agents, a
// hundred ScaledJobs and a thousand Jobs.
func BenchmarkLook(b *testing.B) {
	now := time.Now()
	var members []Member
	for i := range 100 {
		members = append(members, Member{
			Key: plan.Key{Namespace: "ado", Name: fmt.Sprint("build-", i)}, Capabilities: adoqueue.Capabilities{"gpu": strconv.Itoa(i)},
		})
	}
	var jobs []fleet.Job
	for i := range 1000 {
		scaledJob := members[i%len(members)].Name
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
		l := &look{
			memory: memory, settings: Settings{Placeholders: true, OfflineAgents: true, Grace: DefaultGrace},
			owner: "owner", now: now, members: members,
		}
		l.begin(jobs)
		l.list(agents)
		l.unread()
		l.settle()
		if actions := l.decide(); len(actions) != 100 {
			b.Fatalf("%d actions, want the 100 placeholders", len(actions))
		}
	}
}
