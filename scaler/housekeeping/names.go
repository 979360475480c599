package housekeeping

import (
	"strings"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/fleet"
)

// agentPrefix returns the prefix of the names of a Job's agents, which are named
// after their pods. It returns "" if other Jobs may have the same prefix:
// Kubernetes cuts long names, and people choose names for their own Jobs.
func agentPrefix(job *fleet.Job) string {
	prefix := job.PodPrefix()
	if prefix != job.Name+"-" || !isGenerated(job.Name) {
		return ""
	}
	return prefix
}

// prefixOfAgent returns the prefix of the Job that an agent of this name would
// belong to, "" if it can belong to none.
func prefixOfAgent(name string) string {
	if !isGenerated(name) {
		return ""
	}
	return fleet.PrefixOfPod(name)
}

// suffixCharacters are the characters of the suffixes that Kubernetes generates,
// as in k8s.io/apimachinery, pkg/util/rand.
const suffixCharacters = "bcdfghjklmnpqrstvwxz2456789"

// isGenerated reports whether Kubernetes could have generated a name. Only the
// exact set of characters keeps agents such as "build-bcdfg-hello" from being
// removed, which people have named.
func isGenerated(name string) bool {
	const suffix = 5
	dash := len(name) - suffix - 1
	return dash > 0 && name[dash] == '-' && strings.Trim(name[dash+1:], suffixCharacters) == ""
}
