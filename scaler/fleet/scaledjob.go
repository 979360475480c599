package fleet

import (
	"reflect"
	"strconv"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/plan"
)

// KEDA's defaults for the fields of a ScaledJob.
const (
	defaultMaxReplicas     = 100
	defaultPollingInterval = 30 * time.Second
)

// defaultBackoffLimit is Kubernetes' default for the field of a Job.
const defaultBackoffLimit = 6

// pausedAnnotation pauses a ScaledJob.
const pausedAnnotation = "autoscaling.keda.sh/paused"

// ScaledJob is what matters here of a ScaledJob. It is never changed once it is in
// an Index.
type ScaledJob struct {
	Key plan.Key
	UID types.UID
	// Triggers are the metadata of its triggers of type external. The value of a
	// key that ends in FromEnv is the name of a variable.
	Triggers []map[string]string
	// OtherTriggers are the types of its other triggers.
	OtherTriggers []string
	// Calculation is multipleScalersCalculation, "" if it is not set.
	Calculation string
	// Strategy is that of its scalingStrategy, "" if it is not set.
	Strategy                 string
	MinReplicas, MaxReplicas int
	PollingInterval          time.Duration
	Paused                   bool
	Deleting                 bool
	// Launcher reports whether its Jobs are labelled as those of our launcher.
	Launcher bool
	Template Template
}

// Template is what matters of the Jobs that KEDA creates for a ScaledJob.
type Template struct {
	Parallelism, Completions, BackoffLimit int
	RestartPolicy                          string
	ActiveDeadline                         time.Duration // 0 if there is none
	// Containers are the names of the containers that have to end for a Job to
	// end: not the init containers, of which sidecars are some.
	Containers []string
	// SharesProcesses reports whether the containers see each other's processes,
	// so that the agent's can end the others.
	SharesProcesses bool
	// NamesAgent reports whether the variable AZP_AGENT_NAME is set; AgentName is
	// its value, "" if it comes from elsewhere, such as a field of the pod.
	NamesAgent bool
	AgentName  string
	// OS and Architecture are those of the nodes asked for, in Kubernetes' words,
	// "" if none are.
	OS, Architecture string
}

// NewScaledJob returns a ScaledJob with KEDA's and Kubernetes' defaults.
func NewScaledJob(key plan.Key, triggers ...map[string]string) *ScaledJob {
	return &ScaledJob{
		Key: key, Triggers: triggers, MaxReplicas: defaultMaxReplicas, PollingInterval: defaultPollingInterval,
		Template: Template{Parallelism: 1, Completions: 1, RestartPolicy: "Never"},
	}
}

// equal reports whether nothing that matters has changed.
func (s *ScaledJob) equal(other *ScaledJob) bool { return reflect.DeepEqual(s, other) }

// scaledJobOf reads a ScaledJob.
func scaledJobOf(u *unstructured.Unstructured) *ScaledJob {
	s := &ScaledJob{
		Key: plan.Key{Namespace: u.GetNamespace(), Name: u.GetName()}, UID: u.GetUID(),
		Calculation:     text(u, "spec", "scalingStrategy", "multipleScalersCalculation"),
		Strategy:        text(u, "spec", "scalingStrategy", "strategy"),
		MinReplicas:     integer(u, 0, "spec", "minReplicaCount"),
		MaxReplicas:     integer(u, defaultMaxReplicas, "spec", "maxReplicaCount"),
		PollingInterval: time.Duration(integer(u, int(defaultPollingInterval/time.Second), "spec", "pollingInterval")) * time.Second,
		Paused:          paused(u.GetAnnotations()),
		Deleting:        u.GetDeletionTimestamp() != nil,
		Launcher:        u.GetLabels()[launcherLabel] != "", // which its Jobs inherit
		Template:        templateOf(u),
	}
	eachTrigger(u, func(t triggerFields) {
		if t.external() {
			s.Triggers = append(s.Triggers, t.metadata())
		} else {
			s.OtherTriggers = append(s.OtherTriggers, t.text("type"))
		}
	})
	return s
}

// paused reads the annotation as KEDA does from 2.13 on: a value that is not a
// bool pauses too.
func paused(annotations map[string]string) bool {
	value, ok := annotations[pausedAnnotation]
	if !ok {
		return false
	}
	yes, err := strconv.ParseBool(value)
	return yes || err != nil
}

func templateOf(u *unstructured.Unstructured) Template {
	job := func(field string) []string { return []string{"spec", "jobTargetRef", field} }
	pod := func(field string) []string { return []string{"spec", "jobTargetRef", "template", "spec", field} }
	selector, _, _ := unstructured.NestedStringMap(u.Object, pod("nodeSelector")...)
	t := Template{
		Parallelism:    integer(u, 1, job("parallelism")...),
		Completions:    integer(u, 1, job("completions")...),
		BackoffLimit:   integer(u, defaultBackoffLimit, job("backoffLimit")...),
		RestartPolicy:  text(u, pod("restartPolicy")...),
		ActiveDeadline: time.Duration(integer(u, 0, job("activeDeadlineSeconds")...)) * time.Second,
		OS:             selector["kubernetes.io/os"], Architecture: selector["kubernetes.io/arch"],
	}
	t.SharesProcesses, _, _ = unstructured.NestedBool(u.Object, pod("shareProcessNamespace")...)
	containers, _, _ := unstructured.NestedSlice(u.Object, pod("containers")...)
	for _, item := range containers {
		fields, _ := item.(map[string]any)
		name, _ := fields["name"].(string)
		t.Containers = append(t.Containers, name)
		if value, set := variable(fields, "AZP_AGENT_NAME"); set {
			t.NamesAgent, t.AgentName = true, value
		}
	}
	return t
}

// variable returns the literal value of a container's variable, and whether the
// variable is set at all.
func variable(container map[string]any, name string) (value string, set bool) {
	list, _, _ := unstructured.NestedSlice(container, "env")
	for _, item := range list {
		fields, _ := item.(map[string]any)
		if fields["name"] == name {
			value, _ = fields["value"].(string)
			return value, true
		}
	}
	return "", false
}

func text(u *unstructured.Unstructured, path ...string) string {
	value, _, _ := unstructured.NestedString(u.Object, path...)
	return value
}

func integer(u *unstructured.Unstructured, unset int, path ...string) int {
	n, found, err := unstructured.NestedInt64(u.Object, path...)
	if err != nil || !found {
		return unset
	}
	return int(n)
}
