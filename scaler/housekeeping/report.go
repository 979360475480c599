package housekeeping

import (
	"fmt"

	"go.uber.org/zap"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/plan"
)

// reporter tells what is done where people look.
type reporter struct {
	cluster Cluster
	metrics *Metrics
	logger  *zap.Logger
}

// words are how an action is told: as an event's reason, in the log when it is
// done, and when it would be.
var words = map[kind]struct{ label, reason, done, would string }{
	addPlaceholder:    {"add_placeholder", "PlaceholderAdded", "registered", "would register"},
	mendPlaceholder:   {"mend_placeholder", "PlaceholderMended", "gave back its capabilities to", "would give back its capabilities to"},
	removePlaceholder: {"remove_placeholder", "PlaceholderRemoved", "removed", "would remove"},
	nameTaken:         {"name_taken", "PlaceholderNameTaken", "", "cannot register"},
	markAgent:         {"mark_agent", "AgentLeft", "marked", "would mark"},
	removeAgent:       {"remove_agent", "AgentRemoved", "removed", "would remove"},
}

// id tells one action of a pool from another.
func (a *action) id() string { return fmt.Sprintf("%d %d %s", a.kind, a.agent.ID, a.agent.Name) }

// object is what is acted on, and why.
func (a *action) object(p *pool) string {
	in := fmt.Sprintf("%q in %s", a.agent.Name, p.Pool)
	switch a.kind {
	case addPlaceholder, mendPlaceholder:
		offers := a.capabilities.String()
		if offers == "" {
			offers = "none"
		}
		return fmt.Sprintf("placeholder %s, so that jobs wait there for an agent with the capabilities: %s", in, offers)
	case removePlaceholder:
		return fmt.Sprintf("placeholder %s, which no ScaledJob needs any more", in)
	case nameTaken:
		return fmt.Sprintf("placeholder %s: an agent that is not ours has this name; remove it from the pool", in)
	case markAgent:
		return fmt.Sprintf("agent %s, which its Job has left there; it is removed once it has been offline for %v", in, p.Grace)
	default:
		return fmt.Sprintf("agent %s, which its Job has left there offline", in)
	}
}

func (r reporter) didDo(p *pool, a *action) {
	w := words[a.kind]
	r.metrics.did(p, a.kind, done)
	r.tell(w.reason, w.done+" "+a.object(p), a.scaledJobs)
}

func (r reporter) wouldDo(p *pool, a *action) {
	w := words[a.kind]
	if a.kind == nameTaken {
		r.warn(w.reason, w.would+" "+a.object(p), a.scaledJobs)
		return
	}
	r.metrics.did(p, a.kind, would)
	r.tell(w.reason, "dry run: "+w.would+" "+a.object(p), a.scaledJobs)
}

// refusedToManage says once what the credential may not do.
func (r reporter) refusedToManage(p *pool, err error) {
	r.warn("PoolNotKept", fmt.Sprintf("%s has no housekeeping, jobs are scaled all the same: %v", p.Pool, err), keysOf(p.members))
}

// cannotManage is said once of failures that follow each other.
func (r reporter) cannotManage(p *pool, err error) {
	r.logger.Warn("the housekeeping of a pool failed and is tried again", zap.Stringer("pool", p.Pool), zap.Error(err))
}

func (r reporter) tell(reason, message string, scaledJobs []plan.Key) {
	r.logger.Info(message, zap.Stringers("scaledJobs", scaledJobs))
	for _, key := range scaledJobs {
		r.cluster.Note(key.Namespace, key.Name, reason, message)
	}
}

func (r reporter) warn(reason, message string, scaledJobs []plan.Key) {
	r.logger.Warn(message, zap.Stringers("scaledJobs", scaledJobs))
	for _, key := range scaledJobs {
		r.cluster.Warn(key.Namespace, key.Name, reason, message)
	}
}

func keysOf(members []Member) []plan.Key {
	keys := make([]plan.Key, len(members))
	for i := range members {
		keys[i] = members[i].Key
	}
	return keys
}
