package housekeeping

import (
	"fmt"

	"go.uber.org/zap"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/plan"
)

// reporter records events on ScaledJobs, with a line in the log for each.
type reporter struct {
	cluster Cluster
	metrics *Metrics
	logger  *zap.Logger
}

func (r reporter) note(reason, message string, scaledJobs ...plan.Key) {
	r.logger.Info(message, zap.String("reason", reason), zap.Stringers("scaledJobs", scaledJobs))
	for _, key := range scaledJobs {
		r.cluster.Note(key.Namespace, key.Name, reason, message)
	}
}

func (r reporter) warn(reason, message string, scaledJobs ...plan.Key) {
	r.logger.Warn(message, zap.String("reason", reason), zap.Stringers("scaledJobs", scaledJobs))
	for _, key := range scaledJobs {
		r.cluster.Warn(key.Namespace, key.Name, reason, message)
	}
}

// actionNames are the names of the actions: the value of the metric's label, the
// reason of the event, and the verbs of its message.
var actionNames = map[actionKind]struct{ label, reason, done, planned string }{
	addPlaceholder:    {"add_placeholder", "PlaceholderAdded", "registered", "would register"},
	updatePlaceholder: {"update_placeholder", "PlaceholderUpdated", "restored the capabilities of", "would restore the capabilities of"},
	modelPlaceholder:  {"model_placeholder", "PlaceholderCompleted", "completed", "would complete"},
	removePlaceholder: {"remove_placeholder", "PlaceholderRemoved", "removed", "would remove"},
	nameTaken:         {"name_taken", "PlaceholderNameTaken", "", "cannot register"},
	markAgent:         {"mark_agent", "AgentLeft", "marked", "would mark"},
	removeAgent:       {"remove_agent", "AgentRemoved", "removed", "would remove"},
}

// describe names the agent of an action and says why it is changed.
func (p *poolKeeper) describe(a *action) string {
	agent := fmt.Sprintf("%q in %s", a.agent.Name, p.pool)
	switch a.kind {
	case addPlaceholder, updatePlaceholder:
		capabilities := a.capabilities.String()
		if capabilities == "" {
			capabilities = "none"
		}
		return fmt.Sprintf("placeholder %s, so that jobs can be queued for agents with the capabilities: %s", agent, capabilities)
	case modelPlaceholder:
		return fmt.Sprintf("placeholder %s with the capabilities an agent found in its image, so that tasks can demand them", agent)
	case removePlaceholder:
		return fmt.Sprintf("placeholder %s, which no ScaledJob needs any more", agent)
	case nameTaken:
		return fmt.Sprintf("placeholder %s: another agent, not registered by this scaler, has its name; remove it from the pool", agent)
	case markAgent:
		return fmt.Sprintf("agent %s, which its Job left behind; it is removed once it has been offline for %v", agent, p.options.Settings.Grace)
	default:
		return fmt.Sprintf("agent %s, which its Job left behind", agent)
	}
}

func (p *poolKeeper) countAction(a *action, outcome string) {
	p.reporter.metrics.countAction(p.organization, p.pool.Name, actionNames[a.kind].label, outcome)
}

func (p *poolKeeper) reportDone(a *action) {
	names := actionNames[a.kind]
	p.countAction(a, outcomeDone)
	p.reporter.note(names.reason, names.done+" "+p.describe(a), a.scaledJobs...)
}

// reportNotDone reports an action that a dry run omits, or that is impossible.
func (p *poolKeeper) reportNotDone(a *action) {
	names := actionNames[a.kind]
	if a.kind == nameTaken {
		p.reporter.warn(names.reason, names.planned+" "+p.describe(a), a.scaledJobs...)
		return
	}
	p.countAction(a, outcomeDryRun)
	p.reporter.note(names.reason, "dry run: "+names.planned+" "+p.describe(a), a.scaledJobs...)
}

// reportFailure reports the first of consecutive failures. Only a missing
// permission is worth an event: everything else is retried within a minute.
func (p *poolKeeper) reportFailure(err error) {
	if isForbidden(err) {
		p.reporter.warn("HousekeepingForbidden",
			fmt.Sprintf("no housekeeping in %s; scaling is not affected: %v", p.pool, err), keysOf(p.members)...)
		return
	}
	p.reporter.logger.Warn("housekeeping of a pool failed; retried automatically", zap.Stringer("pool", p.pool), zap.Error(err))
}

func keysOf(members []Member) []plan.Key {
	keys := make([]plan.Key, len(members))
	for i := range members {
		keys[i] = members[i].Key
	}
	return keys
}
