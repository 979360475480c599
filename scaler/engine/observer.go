package engine

import (
	"time"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/fleet"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/plan"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/trigger"
)

// Observer learns what an engine does. Its methods are called while the answer to
// KEDA waits, so they must be quick, and they must not call the engine.
type Observer interface {
	// Decided is called with each new decision, with those about a pool one after
	// another. The decision must not be changed.
	Decided(d *Decision)
	// Counted is called when KEDA got an answer that was counted from a pool's requests
	// alone.
	Counted(c Counted)
	// Answered is called when a driver got the answer for a ScaledJob in view.
	Answered(key plan.Key, at time.Time)
}

// Counted is an answer that has no part in a decision.
type Counted struct {
	Key plan.Key
	// Object reports that a ScaledObject in view asked, and InView that it or a
	// ScaledJob of that name is in view.
	Object, InView bool
	Organization   adoqueue.OrganizationURL
	Trigger        *trigger.Trigger
	Snapshot       *adoqueue.Snapshot
	Answer         Answer
	At             time.Time
}

// Block is why a ScaledJob gets no new Jobs.
type Block struct {
	Cause BlockCause
	// Until is when a ScaledJob that is held back gets the next Job, and Job the name
	// of the last one that failed.
	Until time.Time
	Job   string
}

// BlockCause is the kind of a Block.
type BlockCause int

// The causes of a Block.
const (
	Invalid    BlockCause = iota + 1 // it cannot work with its count
	Deleting                         // it is being deleted, or was
	Paused                           // by its annotation
	NotPolled                        // KEDA does not poll it
	HeldBack                         // its Jobs fail before they take a request
	Unresolved                       // values of its trigger are unknown until KEDA asks
)

// MemberState is all that is known of a ScaledJob whose triggers name this scaler.
type MemberState struct {
	ScaledJob *fleet.ScaledJob
	// Trigger is nil if the metadata has mistakes.
	Trigger *trigger.Trigger
	// Unresolved reports that values of the trigger are unknown until KEDA asks.
	Unresolved bool
	// Exact reports whether it has a part in the decision about its pool.
	Exact bool
	// Problem is why it cannot work, "" if it can, and Warnings are what works badly.
	Problem  string
	Warnings []string
	// Since is when it became as it is, or came into view.
	Since time.Time
	// PolledAt is when KEDA polled last, zero if it has not. Err is why the last poll
	// got no answer, nil if it did; Answer and Answered are the last one.
	PolledAt time.Time
	Err      error
	Answer   Answer
	Answered time.Time
	// PollingUntil is until when it counts as one that KEDA asks for.
	PollingUntil time.Time
}

// MemberStates returns the ScaledJobs whose triggers name this scaler, in no order,
// those with mistakes included.
func (e *Engine) MemberStates() []MemberState {
	e.mu.RLock()
	defer e.mu.RUnlock()
	states := make([]MemberState, 0, len(e.members))
	for _, m := range e.members {
		if m.manifest == nil || m.gone {
			continue
		}
		s := MemberState{
			ScaledJob: m.scaledJob, Trigger: m.trigger, Exact: m.group != nil, Unresolved: m.unresolved, Problem: m.problem, Warnings: m.warnings,
			Since: m.since, PollingUntil: e.pollingUntil(m),
		}
		m.polls.mu.Lock()
		s.PolledAt, s.Err, s.Answer, s.Answered = m.polls.last, m.polls.err, m.polls.answer, m.polls.answered
		m.polls.mu.Unlock()
		states = append(states, s)
	}
	return states
}
