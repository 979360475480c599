package housekeeping

import (
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/fleet"
)

// agentPrefix returns the prefix of the names of a Job's agents, which are named
// after their pods. It returns "" if other Jobs may have the same prefix:
// Kubernetes cuts long names, and people choose names for their own Jobs.
func agentPrefix(job *fleet.Job) string {
	prefix := job.PodBase()
	if prefix != job.Name+"-" || !fleet.IsGenerated(job.Name) {
		return ""
	}
	return prefix
}

// prefixOfAgent returns the prefix of the Job that an agent of this name would
// belong to, "" if it can belong to none.
func prefixOfAgent(name string) string {
	if !fleet.IsGenerated(name) {
		return ""
	}
	return fleet.BaseOfPod(name)
}
