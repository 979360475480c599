package housekeeping

import (
	"maps"
	"slices"
	"strings"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/plan"
)

// kind is what an action does.
type kind int

const (
	addPlaceholder kind = iota
	mendPlaceholder
	nameTaken // nothing can be done, but told
	markAgent
	removePlaceholder
	removeAgent
)

// action is one thing to do in a pool.
type action struct {
	kind
	// agent is what it is done to; what is yet to be registered has a name
	// only.
	agent adoqueue.Agent
	// capabilities are those of a placeholder to add or mend.
	capabilities adoqueue.Capabilities
	// scaledJobs are those that it is done for.
	scaledJobs []plan.Key
}

// want is a placeholder that there should be.
type want struct {
	capabilities adoqueue.Capabilities
	scaledJobs   []plan.Key
}

// wanted are the placeholders that there should be, by name.
func (l *look) wanted() map[string]want {
	wanted := map[string]want{}
	for _, m := range l.members {
		if m.Capabilities == nil {
			continue
		}
		name := PlaceholderName(l.owner, m.Capabilities)
		w := wanted[name]
		w.capabilities = m.Capabilities
		w.scaledJobs = append(w.scaledJobs, m.Key)
		wanted[name] = w
	}
	return wanted
}

// decide gives what is to be done, in this order. What adds comes first: a job
// that is queued meanwhile must find something that matches.
func (l *look) decide() []action {
	var actions []action
	if l.settings.Placeholders {
		actions = l.placeholders()
	}
	if l.settings.OfflineAgents {
		actions = append(actions, l.leftovers()...)
	}
	slices.SortStableFunc(actions, func(a, b action) int { return int(a.kind) - int(b.kind) })
	return actions
}

func (l *look) placeholders() (actions []action) {
	wanted := l.wanted()
	missing := maps.Clone(wanted)
	for i := range l.listed {
		a := l.listed[i]
		known := l.agents[a.ID]
		name := strings.ToLower(a.Name) // as Azure DevOps takes it
		w, isWanted := wanted[name]
		delete(missing, name)
		switch {
		case known == nil: // not ours, by its name
		case isWanted && known.identity != placeholder:
			actions = append(actions, action{kind: nameTaken, agent: a, scaledJobs: w.scaledJobs})
		case isWanted && !maps.Equal(known.user, placeholderCapabilities(l.owner, w.capabilities)):
			actions = append(actions, action{mendPlaceholder, a, w.capabilities, w.scaledJobs})
		case !isWanted && known.identity == placeholder && l.mayGo(&a, known):
			actions = append(actions, action{kind: removePlaceholder, agent: a, scaledJobs: known.of})
		}
	}
	for _, name := range slices.Sorted(maps.Keys(missing)) {
		w := missing[name]
		actions = append(actions, action{addPlaceholder, adoqueue.Agent{Name: name}, w.capabilities, w.scaledJobs})
	}
	return actions
}

// leftovers are agents whose Job ended without taking them out of the pool.
func (l *look) leftovers() (actions []action) {
	for i := range l.listed {
		a := l.listed[i]
		known := l.agents[a.ID]
		if known == nil || known.identity != own || a.Online {
			continue
		}
		if job := l.jobOf(&a); job != nil && job.unfinished {
			continue
		}
		switch {
		case l.mayGo(&a, known):
			actions = append(actions, action{kind: removeAgent, agent: a, scaledJobs: known.of})
		case !known.marked:
			actions = append(actions, action{kind: markAgent, agent: a, scaledJobs: known.of})
		}
	}
	return actions
}

// mayGo tells whether an agent of ours can be removed now. Azure DevOps refuses
// it for one that has a request.
func (l *look) mayGo(a *adoqueue.Agent, known *record) bool {
	since := l.uselessSince(a, known)
	return !a.Online && a.Request == 0 && !since.IsZero() && l.now.Sub(since) >= l.settings.Grace
}
