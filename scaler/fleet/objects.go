package fleet

import (
	"strings"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
)

// defaultMaxReplicas is KEDA's maxReplicaCount for a ScaledJob that has none.
const defaultMaxReplicas = 100

// ScaledJob is what matters of a ScaledJob here.
type ScaledJob struct {
	Namespace, Name string
	// Triggers are the metadata of its triggers of type external. A key that
	// ends in FromEnv has the name of a variable here, not its value.
	Triggers []map[string]string
	// Strategy is that of its scalingStrategy; KEDA takes "" for "default".
	Strategy                 string
	MinReplicas, MaxReplicas int
	// Parallelism is how many pods each of its Jobs has at a time.
	Parallelism int

	uid types.UID
}

// Job is what matters of a Job here.
type Job struct {
	UID, Namespace, Name string
	// ScaledJob is the name of the one that it belongs to, or what stands for it
	// where there is no KEDA.
	ScaledJob string
	Created   time.Time
	// Ended is when it became complete or failed, in whole seconds, and zero
	// before.
	Ended  time.Time
	Failed bool
}

// stripScaledJob leaves of a ScaledJob what scaledJobOf reads: its pod template
// is most of it.
func stripScaledJob(object any) (any, error) {
	full, ok := object.(*unstructured.Unstructured)
	if !ok {
		return object, nil
	}
	slim := &unstructured.Unstructured{Object: map[string]any{}}
	slim.SetGroupVersionKind(full.GroupVersionKind())
	slim.SetNamespace(full.GetNamespace())
	slim.SetName(full.GetName())
	slim.SetUID(full.GetUID())
	slim.SetResourceVersion(full.GetResourceVersion())
	for _, path := range [][]string{
		{"spec", "triggers"},
		{"spec", "scalingStrategy"},
		{"spec", "minReplicaCount"},
		{"spec", "maxReplicaCount"},
		{"spec", "jobTargetRef", "parallelism"},
	} {
		if value, found, err := unstructured.NestedFieldCopy(full.Object, path...); err == nil && found {
			if err := unstructured.SetNestedField(slim.Object, value, path...); err != nil {
				return nil, err
			}
		}
	}
	return slim, nil
}

// scaledJobOf reads a ScaledJob; ok is false if it has no external trigger.
func scaledJobOf(object any) (s ScaledJob, ok bool) {
	u, ok := object.(*unstructured.Unstructured)
	if !ok {
		return s, false
	}
	s = ScaledJob{
		Namespace: u.GetNamespace(), Name: u.GetName(), uid: u.GetUID(),
		MinReplicas: integer(u, 0, "spec", "minReplicaCount"),
		MaxReplicas: integer(u, defaultMaxReplicas, "spec", "maxReplicaCount"),
		Parallelism: integer(u, 1, "spec", "jobTargetRef", "parallelism"),
	}
	s.Strategy, _, _ = unstructured.NestedString(u.Object, "spec", "scalingStrategy", "strategy")
	triggers, _, _ := unstructured.NestedSlice(u.Object, "spec", "triggers")
	for _, item := range triggers {
		fields, _ := item.(map[string]any)
		if kind, _ := fields["type"].(string); kind != "external" && kind != "external-push" {
			continue
		}
		if metadata, found, err := unstructured.NestedStringMap(fields, "metadata"); found && err == nil {
			s.Triggers = append(s.Triggers, metadata)
		}
	}
	return s, len(s.Triggers) > 0
}

func integer(u *unstructured.Unstructured, unset int, path ...string) int {
	n, found, err := unstructured.NestedInt64(u.Object, path...)
	if err != nil || !found {
		return unset
	}
	return int(n)
}

// stripJob leaves of a Job what JobOf reads.
func (f *Fleet) stripJob(object any) (any, error) {
	full, ok := object.(*batchv1.Job)
	if !ok {
		return object, nil
	}
	return &batchv1.Job{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: full.Namespace, Name: full.Name, UID: full.UID, ResourceVersion: full.ResourceVersion,
			CreationTimestamp: full.CreationTimestamp,
			Labels:            map[string]string{f.owner: full.Labels[f.owner]},
		},
		Status: batchv1.JobStatus{Conditions: full.Status.Conditions},
	}, nil
}

// JobOf reads a Job that need not be in view yet.
func (f *Fleet) JobOf(job *batchv1.Job) Job {
	j := Job{
		UID: string(job.UID), Namespace: job.Namespace, Name: job.Name, ScaledJob: job.Labels[f.owner],
		Created: job.CreationTimestamp.Time,
	}
	for _, condition := range job.Status.Conditions {
		failed := condition.Type == batchv1.JobFailed
		if (failed || condition.Type == batchv1.JobComplete) && condition.Status == corev1.ConditionTrue {
			j.Ended, j.Failed = condition.LastTransitionTime.Time, failed
		}
	}
	return j
}

// maxGenerateName is where Kubernetes cuts a generateName before it appends
// five characters (k8s.io/apiserver, pkg/storage/names).
const maxGenerateName = 58

// suffixLength is how many characters Kubernetes appends to a generateName.
const suffixLength = 5

// PodPrefix is what the names of a Job's pods begin with; five characters
// follow. Agents are named after their pods.
func (j Job) PodPrefix() string {
	base := j.Name + "-"
	return base[:min(len(base), maxGenerateName)]
}

// PrefixOfPod is the PodPrefix of the Job that a pod or agent of this name would
// belong to, "" if it could belong to none.
func PrefixOfPod(name string) string {
	if len(name) <= suffixLength || strings.ToLower(name) != name {
		return ""
	}
	return name[:len(name)-suffixLength]
}
