package fleet

import (
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/plan"
)

// Job is what matters here of a Job.
type Job struct {
	UID, Namespace, Name string
	// ScaledJob is the name of the one that it belongs to, or what stands for it
	// where there is no KEDA.
	ScaledJob string
	Created   time.Time
	// Ended is when it became complete or failed, in whole seconds, or when it
	// was deleted before; zero while it is unfinished.
	Ended  time.Time
	Failed bool
	// Launcher reports whether its agent is our launcher's, which leaves its pool
	// without losing a job when the Job is deleted.
	Launcher bool
	// Annotated reports whether it names the run that it holds a job of; see
	// PipelineAnnotation. Nothing is decided by it.
	Annotated bool
	// IdleTimeout is after how long without a job the agent ends, 0 if it waits
	// for as long as it takes, or that is unknown.
	IdleTimeout time.Duration
	// Pods are those that it has or had, the oldest first; empty if pods are not
	// in view.
	Pods []Pod
}

// Owner names the ScaledJob that the Job belongs to.
func (j *Job) Owner() plan.Key { return plan.Key{Namespace: j.Namespace, Name: j.ScaledJob} }

// Pod is what matters here of a pod: agents are named after their pods.
type Pod struct {
	Name    string
	JobUID  string
	Created time.Time
	// Ended reports whether no container of it runs any more.
	Ended bool
	// Status is how far it has come. Nothing is decided by it.
	Status PodStatus
}

// equal reports whether nothing is different by which something is decided.
func (p Pod) equal(other Pod) bool {
	p.Status = other.Status
	return p == other
}

func (j *Job) equal(other *Job) bool {
	return j.Created.Equal(other.Created) && j.Ended.Equal(other.Ended) && j.Failed == other.Failed && j.ScaledJob == other.ScaledJob
}

// jobOf reads a Job whose label names what it belongs to.
func jobOf(job *batchv1.Job, label string) Job {
	j := Job{
		UID: string(job.UID), Namespace: job.Namespace, Name: job.Name, ScaledJob: job.Labels[label],
		Created: job.CreationTimestamp.Time, Launcher: job.Labels[launcherLabel] != "", IdleTimeout: idleTimeoutOf(&job.Spec.Template.Spec),
	}
	_, j.Annotated = job.Annotations[PipelineAnnotation]
	for _, condition := range job.Status.Conditions {
		failed := condition.Type == batchv1.JobFailed
		if (failed || condition.Type == batchv1.JobComplete) && condition.Status == corev1.ConditionTrue {
			j.Ended, j.Failed = condition.LastTransitionTime.Time, failed
		}
	}
	return j
}

// PipelineAnnotation names the pipeline whose job a Job's agent has run; with it come
// the annotations of the run.
const PipelineAnnotation = "ado-agent-orchestrator.io/pipeline"

// launcherLabel marks the Jobs whose agents are started by our launcher.
const launcherLabel = "ado-agent-orchestrator.io/launcher"

// idleTimeoutOf returns the idle timeout of the launcher in a pod: in the agent's
// container, or in the sidecar that keeps its credential.
func idleTimeoutOf(pod *corev1.PodSpec) time.Duration {
	for _, containers := range [][]corev1.Container{pod.Containers, pod.InitContainers} {
		for i := range containers {
			for _, v := range containers[i].Env {
				if v.Name != "AZP_IDLE_TIMEOUT" {
					continue
				}
				if d, err := time.ParseDuration(v.Value); err == nil && d > 0 {
					return d
				}
			}
		}
	}
	return 0
}

// podOf reads a pod; ok is false if no Job owns it.
func podOf(pod *corev1.Pod) (p Pod, ok bool) {
	for i := range pod.OwnerReferences {
		owner := &pod.OwnerReferences[i]
		if owner.Kind == "Job" && owner.Controller != nil && *owner.Controller {
			return Pod{
				Name: pod.Name, JobUID: string(owner.UID), Created: pod.CreationTimestamp.Time,
				Ended:  pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed,
				Status: podStatusOf(pod),
			}, true
		}
	}
	return Pod{}, false
}
