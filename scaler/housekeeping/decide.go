package housekeeping

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/plan"
)

// actionKind is what an action does. Actions are executed in this order.
type actionKind int

const (
	addPlaceholder actionKind = iota
	updatePlaceholder
	modelPlaceholder // gets the system capabilities of a real agent
	nameTaken        // a placeholder that cannot be added, which is only reported
	markAgent
	removePlaceholder
	removeAgent
)

// action is one thing to do in a pool.
type action struct {
	kind actionKind
	// agent is the agent that is changed. One that is to be registered has only
	// a name.
	agent adoqueue.Agent
	// capabilities are those of a placeholder to add or update.
	capabilities adoqueue.Capabilities
	// scaledJobs are the ScaledJobs that the action is for.
	scaledJobs []plan.Key
	// system are the system capabilities of a placeholder to add or to model.
	system map[string]string
}

// id identifies an action within its pool.
func (a *action) id() string { return fmt.Sprintf("%d %d %s", a.kind, a.agent.ID, a.agent.Name) }

// wantedPlaceholder is a placeholder that the pool needs.
type wantedPlaceholder struct {
	capabilities adoqueue.Capabilities
	scaledJobs   []plan.Key
}

// wantedPlaceholders returns the placeholders that the pool needs, by name.
func (o *observation) wantedPlaceholders() map[string]wantedPlaceholder {
	wanted := map[string]wantedPlaceholder{}
	for i := range o.members {
		m := &o.members[i]
		if m.Capabilities == nil {
			continue
		}
		name := PlaceholderName(o.owner, m.Capabilities)
		w := wanted[name]
		w.capabilities = m.Capabilities
		w.scaledJobs = append(w.scaledJobs, m.Key)
		wanted[name] = w
	}
	return wanted
}

// decide returns the actions in the order of their execution. Registrations come
// before removals, so that a job that is queued meanwhile finds an agent that
// matches.
func (o *observation) decide() []action {
	var actions []action
	if o.settings.Placeholders {
		actions = o.placeholderActions()
	}
	if o.settings.OfflineAgents {
		actions = append(actions, o.leftoverActions()...)
	}
	slices.SortStableFunc(actions, func(a, b action) int { return cmp.Compare(a.kind, b.kind) })
	return actions
}

// placeholderActions returns the differences between the placeholders that the
// pool has and those that it needs.
func (o *observation) placeholderActions() (actions []action) {
	wanted := o.wantedPlaceholders()
	missing := maps.Clone(wanted)
	for i := range o.agents {
		agent := o.agents[i]
		record := o.memory.agents[agent.ID]
		name := strings.ToLower(agent.Name) // Azure DevOps ignores case in names
		w, isWanted := wanted[name]
		delete(missing, name)
		switch {
		case record == nil: // its name is not that of a placeholder
		case isWanted && record.identity != placeholder:
			actions = append(actions, action{kind: nameTaken, agent: agent, scaledJobs: w.scaledJobs})
		case isWanted && !maps.Equal(record.userCapabilities, placeholderCapabilities(o.owner, w.capabilities)):
			actions = append(actions, action{kind: updatePlaceholder, agent: agent, capabilities: w.capabilities, scaledJobs: w.scaledJobs})
		case isWanted && !maps.Equal(record.system, o.system(name, w.capabilities, record.system)):
			actions = append(actions, o.asModelled(modelPlaceholder, agent, w, record.system))
		case !isWanted && record.identity == placeholder && o.removable(&agent, record):
			actions = append(actions, action{kind: removePlaceholder, agent: agent, scaledJobs: record.scaledJobs})
		}
	}
	for _, name := range slices.Sorted(maps.Keys(missing)) {
		w := missing[name]
		actions = append(actions, o.asModelled(addPlaceholder, adoqueue.Agent{Name: name}, w, nil))
	}
	return actions
}

// asModelled returns an action that makes a placeholder like its model.
func (o *observation) asModelled(kind actionKind, agent adoqueue.Agent, w wantedPlaceholder, has map[string]string) action {
	return action{
		kind: kind, agent: agent, capabilities: w.capabilities, scaledJobs: w.scaledJobs,
		system: o.system(strings.ToLower(agent.Name), w.capabilities, has),
	}
}

// leftoverActions returns what to do with agents whose Job ended without
// removing them from the pool.
func (o *observation) leftoverActions() (actions []action) {
	for i := range o.agents {
		agent := o.agents[i]
		record := o.memory.agents[agent.ID]
		if record == nil || record.identity != own || agent.Online {
			continue
		}
		if jobs := o.jobsOf(&agent); jobs != nil && jobs.unfinished {
			continue
		}
		switch {
		case o.removable(&agent, record):
			actions = append(actions, action{kind: removeAgent, agent: agent, scaledJobs: record.scaledJobs})
		case !record.marked:
			actions = append(actions, action{kind: markAgent, agent: agent, scaledJobs: record.scaledJobs})
		}
	}
	return actions
}

// removable reports whether an agent of ours can be removed now. Azure DevOps
// refuses to remove an agent that has a request.
func (o *observation) removable(agent *adoqueue.Agent, record *agentRecord) bool {
	since := o.unusedSince(agent, record)
	return !agent.Online && agent.Request == 0 && !since.IsZero() && o.now.Sub(since) >= o.settings.Grace
}
