package fleet

// The rule by which Kubernetes makes a name of a generateName
// (k8s.io/apiserver, pkg/storage/names): at most maxBase characters of it, then
// suffixLength letters and digits. KEDA generates the names of Jobs from
// `<scaledjob>-`, and the Job controller those of pods from `<job>-`.
const (
	maxBase      = 58
	suffixLength = 5
)

// MaxSoundName is the longest name of a ScaledJob whose agents can be told from
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
	if len(base) < len(job) || base[:min(len(base), len(job))] != job {
		return false
	}
	rest := base[len(job):] // the Job's suffix and a hyphen, cut where the base is full
	if len(base) == maxBase && len(rest) <= suffixLength {
		return isSuffix(rest)
	}
	return len(rest) == suffixLength+1 && isSuffix(rest[:suffixLength]) && rest[suffixLength] == '-'
}

func isSuffix(text string) bool {
	for i := range len(text) {
		if c := text[i]; (c < 'a' || c > 'z') && (c < '0' || c > '9') {
			return false
		}
	}
	return true
}
