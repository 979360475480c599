package engine

import (
	"time"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/fleet"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/plan"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/trigger"
)

// Member is a ScaledJob whose trigger names this scaler.
type Member struct {
	Key       plan.Key
	ScaledJob *fleet.ScaledJob
	Trigger   *trigger.Trigger
}

// Members returns the ScaledJobs in view whose triggers name this scaler and are
// known, with the values that KEDA takes from variables, in no order.
func (e *Engine) Members() []Member {
	e.mu.RLock()
	defer e.mu.RUnlock()
	var members []Member
	for key, m := range e.members {
		if m.trigger != nil && !m.gone && !m.unresolved {
			members = append(members, Member{Key: key, ScaledJob: m.scaledJob, Trigger: m.trigger})
		}
	}
	return members
}

// InView reports whether a ScaledJob is in view, whoever its triggers name.
func (e *Engine) InView(key plan.Key) bool {
	m := e.member(key)
	return m != nil && !m.gone
}

// Status is what a ScaledJob in view got last.
type Status struct {
	Key plan.Key
	// Answer is what KEDA got last; Answered is when. A poll that ended with an
	// error has no answer.
	Answer   Answer
	Answered time.Time
}

// statusFor is how long an answer counts as the present one.
const statusFor = 10 * time.Minute

// Statuses returns the ScaledJobs in view that got an answer lately, in no order.
func (e *Engine) Statuses() []Status {
	e.mu.RLock()
	defer e.mu.RUnlock()
	statuses := make([]Status, 0, len(e.members))
	for key, m := range e.members {
		m.polls.mu.Lock()
		s := Status{Key: key, Answer: m.polls.answer, Answered: m.polls.answered}
		m.polls.mu.Unlock()
		if time.Since(s.Answered) > statusFor || m.gone || m.trigger == nil {
			continue
		}
		statuses = append(statuses, s)
	}
	return statuses
}
