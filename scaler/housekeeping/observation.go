package housekeeping

import (
	"slices"
	"time"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/fleet"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/plan"
)

const (
	// rereadInterval is how long a placeholder is assumed to be unchanged.
	rereadInterval = time.Hour
	// maxReads bounds how many agents of unknown origin are read per
	// observation.
	maxReads = 20
)

// observation is the state of a pool at one moment, and decides what has to be
// done there.
type observation struct {
	memory   *memory
	settings Settings
	owner    string
	now      time.Time
	members  []Member
	// membersIncomplete prevents the removal of placeholders: a member that is
	// not known may need them.
	membersIncomplete bool
	jobs              map[string]*jobGroup // by the common prefix of their agents' names
	agents            []adoqueue.Agent
}

// jobGroup are Jobs whose agents have names with a common prefix.
type jobGroup struct {
	scaledJob  plan.Key
	unfinished bool
}

// setJobs sets the Jobs of the ScaledJobs that serve or served the pool.
func (o *observation) setJobs(jobs []fleet.Job) {
	o.jobs = map[string]*jobGroup{}
	for i := range jobs {
		job := &jobs[i]
		prefix := agentPrefix(job)
		if prefix == "" {
			continue
		}
		group := o.jobs[prefix]
		if group == nil {
			group = &jobGroup{scaledJob: scaledJobOf(job)}
			o.jobs[prefix] = group
		}
		group.unfinished = group.unfinished || job.Ended.IsZero()
	}
}

// setAgents sets the agents of the pool. An agent of one of our Jobs stays
// recorded as long as it is registered, since its Job may be gone by the next
// observation.
func (o *observation) setAgents(agents []adoqueue.Agent) {
	o.agents = agents
	before := o.memory.agents
	o.memory.agents = make(map[int]*agentRecord, len(before))
	for i := range agents {
		agent := &agents[i]
		record := before[agent.ID]
		if jobs := o.jobsOf(agent); jobs != nil && (record == nil || record.identity == foreign) {
			record = &agentRecord{identity: own, scaledJobs: []plan.Key{jobs.scaledJob}}
		}
		if record != nil {
			o.memory.agents[agent.ID] = record
		}
	}
}

// jobsOf returns the Jobs that the agent may belong to, nil if none is known.
func (o *observation) jobsOf(agent *adoqueue.Agent) *jobGroup {
	return o.jobs[prefixOfAgent(agent.Name)]
}

// agentsToRead returns the IDs of the agents whose marks are needed before
// anything can be decided.
func (o *observation) agentsToRead() (ids []int) {
	unknown := 0
	for i := range o.agents {
		agent := &o.agents[i]
		record := o.memory.agents[agent.ID]
		switch {
		case isPlaceholderName(agent.Name):
			if o.settings.Placeholders && (record == nil || o.now.Sub(record.readAt) >= rereadInterval) {
				ids = append(ids, agent.ID)
			}
		case o.settings.OfflineAgents && record == nil && unknown < maxReads && o.maybeLeftover(agent):
			ids = append(ids, agent.ID)
			unknown++
		}
	}
	return ids
}

// modelsToRead returns the IDs of online agents to make placeholders like, by the name
// of the placeholder: one of each set of capabilities whose model is unknown or
// old. It is one of the first that come online, with all that its image has.
func (o *observation) modelsToRead() map[string]int {
	if !o.settings.Placeholders {
		return nil
	}
	names := map[plan.Key]string{}
	for name, w := range o.wantedPlaceholders() {
		for _, key := range w.scaledJobs {
			names[key] = name
		}
	}
	ids := map[string]int{}
	for i := range o.agents {
		jobs := o.jobsOf(&o.agents[i])
		if jobs == nil || !o.agents[i].Online {
			continue
		}
		name, wanted := names[jobs.scaledJob]
		if known, ok := o.memory.models[name]; wanted && (!ok || o.now.Sub(known.readAt) >= rereadInterval) {
			ids[name] = o.agents[i].ID
		}
	}
	return ids
}

// setModel records the agent that a placeholder is made like.
func (o *observation) setModel(name string, agent *adoqueue.Agent) {
	if len(agent.System) > 0 {
		o.memory.models[name] = model{agent.System, o.now}
	}
}

// system returns the capabilities that a placeholder has to have by its model.
// Without one, after a restart for example, they are those that it has.
func (o *observation) system(name string, capabilities adoqueue.Capabilities, has map[string]string) map[string]string {
	known, ok := o.memory.models[name]
	modelled := has["Agent.OSArchitecture"] != "" // which every real agent has
	if !ok && modelled {
		return has
	}
	return placeholderSystem(known.system, capabilities)
}

// maybeLeftover reports whether a Job that is not known any more could have left
// the agent behind, for example before a restart of this process.
func (o *observation) maybeLeftover(agent *adoqueue.Agent) bool {
	return !agent.Online && agent.Request == 0 && prefixOfAgent(agent.Name) != "" &&
		o.now.Sub(agent.StatusChanged) >= o.settings.Grace
}

// recordAgent records an agent that was read.
func (o *observation) recordAgent(agent *adoqueue.Agent) {
	record := &agentRecord{identity: identify(o.owner, agent), userCapabilities: agent.User, system: agent.System, readAt: o.now}
	if old := o.memory.agents[agent.ID]; old != nil {
		record.unusedSince, record.scaledJobs = old.unusedSince, old.scaledJobs
	}
	if record.identity == own {
		record.marked, record.scaledJobs = true, markedScaledJobs(agent.User)
	}
	o.memory.agents[agent.ID] = record
}

// removeAgent removes an agent that no longer exists from the observation.
func (o *observation) removeAgent(id int) {
	delete(o.memory.agents, id)
	o.agents = slices.DeleteFunc(o.agents, func(agent adoqueue.Agent) bool { return agent.ID == id })
}

// trackUnused records since when agents are unused.
func (o *observation) trackUnused() {
	wanted := o.wantedPlaceholders()
	for i := range o.agents {
		agent := &o.agents[i]
		record := o.memory.agents[agent.ID]
		if record == nil {
			continue
		}
		used := agent.Online
		if record.identity == placeholder {
			var w wantedPlaceholder
			if w, used = wanted[agent.Name]; used {
				record.scaledJobs = w.scaledJobs
			}
			used = used || o.membersIncomplete
		}
		switch {
		case used:
			record.unusedSince = time.Time{}
		case record.unusedSince.IsZero():
			record.unusedSince = o.now
		}
	}
}

// unusedSince returns the time from which the grace period of an agent counts.
func (o *observation) unusedSince(agent *adoqueue.Agent, record *agentRecord) time.Time {
	if record.identity == own && !agent.StatusChanged.IsZero() {
		return agent.StatusChanged
	}
	return record.unusedSince
}
