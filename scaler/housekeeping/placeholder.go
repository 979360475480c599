package housekeeping

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"slices"
	"strings"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/plan"
)

// placeholderPrefix begins the names of all placeholders, of whichever owner.
const placeholderPrefix = "ado-agent-orchestrator-placeholder-"

// The marks are user capabilities: a name alone proves nothing. They are stored
// in pools, so other names would orphan the agents that have them.
const (
	// placeholderMark holds the owner of a placeholder.
	placeholderMark = "ADO_AGENT_ORCHESTRATOR_PLACEHOLDER_OF"
	// leftoverMark holds the owner of an agent whose Job has ended, and
	// scaledJobMark its ScaledJob. They outlive the Job and the process that saw
	// it end.
	leftoverMark  = "ADO_AGENT_ORCHESTRATOR_LEFTOVER_OF"
	scaledJobMark = "ADO_AGENT_ORCHESTRATOR_SCALED_JOB"
)

// placeholderVersion is higher than any that a request demands.
const placeholderVersion = "99.999.9"

// PlaceholderName returns the name of the owner's placeholder with exactly these
// capabilities. ScaledJobs that have them can serve a request whose matched
// agents include it.
func PlaceholderName(owner string, capabilities adoqueue.Capabilities) string {
	sum := sha256.Sum256([]byte(owner + "\n" + capabilities.String()))
	return placeholderPrefix + hex.EncodeToString(sum[:8])
}

// isPlaceholderName reports whether a name is that of a placeholder of any owner.
func isPlaceholderName(name string) bool {
	return strings.HasPrefix(strings.ToLower(name), placeholderPrefix)
}

// placeholderCapabilities returns the user capabilities of a placeholder. A
// capability without a value is "true", as on our agents.
func placeholderCapabilities(owner string, capabilities adoqueue.Capabilities) map[string]string {
	user := map[string]string{placeholderMark: owner}
	for name, value := range capabilities {
		user[name] = cmp.Or(value, "true")
	}
	return user
}

// newPlaceholder returns the agent to register.
func newPlaceholder(owner string, capabilities adoqueue.Capabilities, system map[string]string) adoqueue.NewAgent {
	return adoqueue.NewAgent{
		Name: PlaceholderName(owner, capabilities), Version: placeholderVersion, OS: "none (placeholder)",
		System: system, User: placeholderCapabilities(owner, capabilities),
	}
}

// knownPrograms are the capabilities that every agent on Linux finds out itself
// with the image of this project, and in practice with any other.
var knownPrograms = map[string]string{"sh": "/usr/bin/sh", "git": "/usr/bin/git", "curl": "/usr/bin/curl"}

// ofOneAgent are system capabilities that are particular to an agent.
var ofOneAgent = []string{"Agent.Name", "Agent.Version", "Agent.ComputerName", "Agent.HomeDirectory", "HOSTNAME", "AZP_AGENT_NAME"}

// placeholderSystem returns the system capabilities of a placeholder that stands
// for agents like a real one: jobs demand some that nobody states, and tasks
// demand programs without being asked. Without a real one yet, found is nil.
func placeholderSystem(found map[string]string, capabilities adoqueue.Capabilities) map[string]string {
	system := map[string]string{"Agent.OS": "Linux"}
	if os := cmp.Or(capabilities["agent.os"], "Linux"); found == nil && strings.EqualFold(os, "Linux") {
		maps.Copy(system, knownPrograms)
	}
	for name, value := range found {
		if !slices.ContainsFunc(ofOneAgent, func(own string) bool { return strings.EqualFold(own, name) }) {
			system[name] = value
		}
	}
	system["Agent.Version"] = placeholderVersion
	for name := range system {
		if _, stated := capabilities[strings.ToLower(name)]; stated {
			delete(system, name)
		}
	}
	return system
}

// identity is the relation of an agent to this scaler.
type identity int

const (
	foreign     identity = iota
	placeholder          // registered by this scaler
	own                  // of a Job of a member
)

// identify returns the identity that the marks of an agent prove. A placeholder
// must have both the mark and the name, since people copy either.
func identify(owner string, agent *adoqueue.Agent) identity {
	switch {
	case agent.User[placeholderMark] == owner && isPlaceholderName(agent.Name):
		return placeholder
	case agent.User[leftoverMark] == owner && !isPlaceholderName(agent.Name):
		return own
	default:
		return foreign
	}
}

// withLeftoverMarks returns user capabilities with the marks of an agent that its
// Job left behind.
func withLeftoverMarks(owner string, scaledJobs []plan.Key, user map[string]string) map[string]string {
	marked := maps.Clone(user)
	if marked == nil {
		marked = map[string]string{}
	}
	marked[leftoverMark] = owner
	for _, key := range scaledJobs {
		marked[scaledJobMark] = key.String()
	}
	return marked
}

// markedScaledJobs returns the ScaledJob that a leftover agent is marked with.
func markedScaledJobs(user map[string]string) []plan.Key {
	namespace, name, ok := strings.Cut(user[scaledJobMark], "/")
	if !ok {
		return nil
	}
	return []plan.Key{{Namespace: namespace, Name: name}}
}
