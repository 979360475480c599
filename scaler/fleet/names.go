package fleet

import "strings"

// The rule by which Kubernetes makes a name of a generateName
// (k8s.io/apiserver, pkg/storage/names; k8s.io/apimachinery, pkg/util/rand): at
// most maxBase characters of it, then suffixLength of suffixCharacters. KEDA
// generates the names of Jobs from `<scaledjob>-`, and the Job controller those of
// pods from `<job>-`. Only the exact characters distinguish a generated name from one that
// people chose, such as `build-bcdfg-hello`.
const (
	maxBase          = 58
	suffixLength     = 5
	suffixCharacters = "bcdfghjklmnpqrstvwxz2456789"
)

// MaxSoundName is the longest name of a ScaledJob whose agents can be distinguished from
// those of its other Jobs by name: neither of the two generated names is cut.
const MaxSoundName = maxBase - 2 - suffixLength

// generateName returns the base that Kubernetes appends a suffix to.
func generateName(owner string) string {
	base := owner + "-"
	return base[:min(len(base), maxBase)]
}

// BaseOfPod returns what the name of a pod or agent begins with before the suffix
// that Kubernetes made, "" if it made none: the PodBase of the pod's Job.
func BaseOfPod(name string) string {
	if len(name) <= suffixLength || !isSuffix(name[len(name)-suffixLength:]) {
		return ""
	}
	return name[:len(name)-suffixLength]
}

// PodBase is what the names of a Job's pods begin with before their suffix.
func (j *Job) PodBase() string { return generateName(j.Name) }

// OwnsAgent reports whether an agent of this name can run in a pod of a Job of
// the ScaledJob, where agents are named after their pods: `build` owns
// `build-xxxxx-yyyyy`, and nothing of `build-gpu`.
func OwnsAgent(scaledJob, agent string) bool {
	job := generateName(scaledJob)
	base := BaseOfPod(agent)
	if len(base) > maxBase || !strings.HasPrefix(base, job) {
		return false
	}
	rest := base[len(job):] // the Job's suffix and a hyphen, cut where the base is full
	if len(base) == maxBase && len(rest) <= suffixLength {
		return isSuffix(rest)
	}
	return len(rest) == suffixLength+1 && isSuffix(rest[:suffixLength]) && rest[suffixLength] == '-'
}

// maxTemplateHash is the longest hash of a pod template, in suffixCharacters, that
// the name of a ReplicaSet ends in.
const maxTemplateHash = 10

// isPodOfDeployment reports whether a name is one of a Deployment's pods:
// `<deployment>-<hash of the template>-xxxxx`.
func isPodOfDeployment(deployment, name string) bool {
	prefix, base := generateName(deployment), BaseOfPod(name)
	if len(base) > maxBase || !strings.HasPrefix(base, prefix) {
		return false
	}
	hash, ended := strings.CutSuffix(base[len(prefix):], "-")
	cut := len(base) == maxBase
	return isSuffix(hash) && len(hash) <= maxTemplateHash && (cut || ended && hash != "")
}

// isPodOfStatefulSet reports whether a name is one of a StatefulSet's pods:
// `<set>-<number>`.
func isPodOfStatefulSet(set, name string) bool {
	ordinal, ok := strings.CutPrefix(name, set+"-")
	return ok && ordinal != "" && strings.Trim(ordinal, "0123456789") == ""
}

// IsGenerated reports whether Kubernetes could have generated a name from a base
// that it did not have to cut.
func IsGenerated(name string) bool {
	base := BaseOfPod(name)
	return len(base) > 1 && base[len(base)-1] == '-'
}

func isSuffix(text string) bool { return strings.Trim(text, suffixCharacters) == "" }
