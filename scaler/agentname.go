package scaler

// maxGenerateName is where Kubernetes cuts a generateName before it appends
// five characters (k8s.io/apiserver, pkg/storage/names).
const maxGenerateName = 58

// anyCharacter stands for one of the characters that Kubernetes appends.
const anyCharacter = '?'

// ownsAgent tells whether an agent runs in a pod of the ScaledJob. Agents are
// named after their pods: KEDA generates the Job's name from the ScaledJob's
// and Kubernetes the pod's from the Job's, `build` giving
// `build-xxxxx-yyyyy`. So "build" owns no agent of "build-gpu".
func ownsAgent(scaledJob, agent string) bool {
	pattern := generated(generated(scaledJob))
	if len(agent) != len(pattern) {
		return false
	}
	for i := range pattern {
		if pattern[i] == anyCharacter && isSuffixCharacter(agent[i]) {
			continue
		}
		if pattern[i] != agent[i] {
			return false
		}
	}
	return true
}

// generated is the form of the names that Kubernetes makes for generateName
// `owner-`.
func generated(owner string) string {
	base := owner + "-"
	return base[:min(len(base), maxGenerateName)] + "?????"
}

func isSuffixCharacter(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= '0' && c <= '9'
}
