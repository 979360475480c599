package housekeeping

import (
	"time"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/plan"
)

// recentFor is how long a ScaledJob that is gone may still have agents that turn
// out to be left behind: those of a killed pod stay online for minutes.
const recentFor = 10 * time.Minute

// memory is what is remembered of a pool between observations. If it is lost,
// the marks in the pool restore it with some delay.
type memory struct {
	agents map[int]*agentRecord // by the agent's ID
	// recentMembers are the ScaledJobs that serve the pool or did so recently,
	// with the time until which agents of their Jobs count as ours.
	recentMembers map[plan.Key]time.Time
	// models are real agents that placeholders, by their name, are made like.
	models map[string]model
}

// model is the real agent that a placeholder is made like.
type model struct {
	system map[string]string // its capabilities
	readAt time.Time
}

// agentRecord is what is known of an agent that was read, or that belongs to one
// of our Jobs.
type agentRecord struct {
	identity         identity
	marked           bool       // as left behind; only if identity is own
	scaledJobs       []plan.Key // that it was registered for
	userCapabilities map[string]string
	system           map[string]string // capabilities of a placeholder
	readAt           time.Time
	// unusedSince is when a placeholder was first seen without a ScaledJob, or
	// an agent of ours offline.
	unusedSince time.Time
}

func newMemory() *memory {
	return &memory{agents: map[int]*agentRecord{}, recentMembers: map[plan.Key]time.Time{}, models: map[string]model{}}
}

// refreshMembers extends the time of the members that serve the pool now, and
// removes those whose time is over.
func (m *memory) refreshMembers(members []Member, now time.Time) {
	for key, until := range m.recentMembers {
		if !now.Before(until) {
			delete(m.recentMembers, key)
		}
	}
	for i := range members {
		m.recentMembers[members[i].Key] = now.Add(recentFor)
	}
}

// empty reports whether nothing in the pool is ours.
func (m *memory) empty() bool {
	for _, record := range m.agents {
		if record.identity != foreign {
			return false
		}
	}
	return len(m.recentMembers) == 0
}
