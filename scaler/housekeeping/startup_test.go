package housekeeping

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/engine"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/fleet"
)

// startups keeps how long agents took to start.
type startups []time.Duration

func (*startups) IdleGroups(context.Context) ([]engine.IdleGroup, error)    { return nil, nil }
func (*startups) WaitingGroups(context.Context) ([]engine.IdleGroup, error) { return nil, nil }
func (s *startups) ObserveStartup(_ engine.IdleGroup, took time.Duration) {
	*s = append(*s, took)
}

// TestStartupsOfKnownJobs has the agents of two Jobs ready, one of which runs in its
// Job's second pod: it is unknown how long that one took.
func TestStartupsOfKnownJobs(t *testing.T) {
	created := time.Date(2026, 1, 5, 8, 0, 0, 0, time.UTC)
	ready := adoqueue.Agent{Online: true, Enabled: true, StatusChanged: created.Add(40 * time.Second)}
	group := &engine.IdleGroup{Waiting: []engine.IdleJob{
		{Job: fleet.Job{UID: "1", Created: created}, Agents: []string{"first"}}, {Agents: []string{"second"}},
	}}
	var observed startups
	a := &idleAgents{options: &Options{Idle: &observed}, started: map[string]bool{}}
	for range 2 {
		a.observeStartups(group, map[string]adoqueue.Agent{"first": ready, "second": ready})
	}
	if want := (startups{40 * time.Second}); !slices.Equal(observed, want) {
		t.Errorf("got %v, want %v", observed, want)
	}
}
