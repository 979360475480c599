package housekeeping

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"strings"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/plan"
)

// placeholderPrefix begins the names of all placeholders, of whichever owner.
const placeholderPrefix = "ado-agent-orchestrator-placeholder-"

// The marks are user capabilities. A name alone proves nothing.
const (
	// placeholderMark on an agent says whose placeholder it is.
	placeholderMark = "ADO_AGENT_ORCHESTRATOR_PLACEHOLDER_OF"
	// leftMark says that it belonged to a Job of this owner that has ended, and
	// leftBy to which ScaledJob. It outlives the Job and the process that saw
	// it end.
	leftMark = "ADO_AGENT_ORCHESTRATOR_LEFT_TO"
	leftBy   = "ADO_AGENT_ORCHESTRATOR_SCALED_JOB"
)

// placeholderVersion is higher than any that a request demands.
const placeholderVersion = "99.999.9"

// PlaceholderName is the name of the owner's placeholder with just these
// capabilities. So a request whose matched agents include it can be run by the
// ScaledJobs that have them.
func PlaceholderName(owner string, capabilities adoqueue.Capabilities) string {
	sum := sha256.Sum256([]byte(owner + "\n" + capabilities.String()))
	return placeholderPrefix + hex.EncodeToString(sum[:8])
}

func isPlaceholderName(name string) bool {
	return strings.HasPrefix(strings.ToLower(name), placeholderPrefix)
}

// placeholderCapabilities are the user capabilities of a placeholder. One without
// a value gets "true", as our agents give it.
func placeholderCapabilities(owner string, capabilities adoqueue.Capabilities) map[string]string {
	user := map[string]string{placeholderMark: owner}
	for name, value := range capabilities {
		user[name] = cmp.Or(value, "true")
	}
	return user
}

// newPlaceholder is the agent to register. A job may demand an operating system
// of which the ScaledJob says nothing.
func newPlaceholder(owner string, capabilities adoqueue.Capabilities) adoqueue.NewAgent {
	system := map[string]string{"Agent.Version": placeholderVersion, "Agent.OS": "Linux"}
	for name := range system {
		if _, stated := capabilities[strings.ToLower(name)]; stated {
			delete(system, name)
		}
	}
	return adoqueue.NewAgent{
		Name: PlaceholderName(owner, capabilities), Version: placeholderVersion, OS: "none, it holds a place",
		System: system, User: placeholderCapabilities(owner, capabilities),
	}
}

// identity is what an agent is to us.
type identity int

const (
	foreign     identity = iota
	placeholder          // that we registered
	own                  // of a Job of ours
)

// identify reads the marks of an agent. A placeholder has its name as well, so
// that neither can be had by accident.
func identify(owner string, agent *adoqueue.Agent) identity {
	switch {
	case agent.User[placeholderMark] == owner && isPlaceholderName(agent.Name):
		return placeholder
	case agent.User[leftMark] == owner && !isPlaceholderName(agent.Name):
		return own
	default:
		return foreign
	}
}

// markLeft adds the mark of an agent that a Job left.
func markLeft(owner string, by []plan.Key, user map[string]string) map[string]string {
	marked := map[string]string{leftMark: owner}
	for _, key := range by {
		marked[leftBy] = key.String()
	}
	for name, value := range user {
		if _, ours := marked[name]; !ours {
			marked[name] = value
		}
	}
	return marked
}

// leftByOf is the ScaledJob that a marked agent belonged to.
func leftByOf(user map[string]string) []plan.Key {
	namespace, name, ok := strings.Cut(user[leftBy], "/")
	if !ok {
		return nil
	}
	return []plan.Key{{Namespace: namespace, Name: name}}
}
