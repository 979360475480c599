package fleet

import (
	"cmp"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue/safetext"
)

// PodStatus is how far a pod has come. Its texts are printable lines of bounded
// length.
type PodStatus struct {
	// Scheduled is when the pod got its node, Started when its last container that is
	// not one of init began to run; zero if that has not happened.
	Scheduled, Started time.Time
	// Reason is why the pod does not start or has failed, in Kubernetes' words, such
	// as Unschedulable, ImagePullBackOff or Error, and Message what it says besides.
	// Both are "" of a pod that runs or has succeeded.
	Reason, Message string
	// Container is the one that has failed, "" if none has, ExitCode its exit code, and
	// FailedAt when it did.
	Container string
	ExitCode  int32
	FailedAt  time.Time
}

func podStatusOf(pod *corev1.Pod) PodStatus {
	s := PodStatus{}
	for i := range pod.Status.Conditions {
		if c := &pod.Status.Conditions[i]; c.Type == corev1.PodScheduled && c.Status == corev1.ConditionTrue {
			s.Scheduled = c.LastTransitionTime.Time
		}
	}
	for i := range pod.Status.ContainerStatuses {
		if at := startOf(&pod.Status.ContainerStatuses[i]); at.After(s.Started) {
			s.Started = at
		}
	}
	if pod.Status.Phase == corev1.PodPending {
		s.Reason, s.Message = StartFailure(pod)
	}
	s.findFailure(pod)
	s.Reason, s.Message = safetext.Line(s.Reason), safetext.Line(s.Message)
	return s
}

// startOf returns when a container began to run, zero if it has not.
func startOf(c *corev1.ContainerStatus) time.Time {
	switch {
	case c.State.Running != nil:
		return c.State.Running.StartedAt.Time
	case c.State.Terminated != nil:
		return c.State.Terminated.StartedAt.Time
	default:
		return time.Time{}
	}
}

// findFailure finds the container whose end is the pod's, or which starts again and
// again.
func (s *PodStatus) findFailure(pod *corev1.Pod) {
	for _, c := range slices.Concat(pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses) {
		end := c.State.Terminated
		if end == nil && c.State.Waiting != nil {
			end = c.LastTerminationState.Terminated
		}
		if end == nil || end.ExitCode == 0 {
			continue
		}
		s.Container, s.ExitCode, s.FailedAt = c.Name, end.ExitCode, end.FinishedAt.Time
		s.Reason, s.Message = cmp.Or(end.Reason, "Error"), end.Message
		return
	}
	if pod.Status.Phase == corev1.PodFailed { // evicted, or its node is lost
		s.Reason, s.Message = cmp.Or(pod.Status.Reason, "Failed"), pod.Status.Message
	}
}

// containerCreating is also the reason while a pod's volumes or network are
// missing.
const containerCreating = "ContainerCreating"

// StartFailure returns why a pending pod has not started, "" if one of its init
// containers runs.
func StartFailure(pod *corev1.Pod) (reason, message string) {
	seeEvents := "see the events of pod " + pod.Name
	for _, condition := range pod.Status.Conditions {
		if condition.Type == corev1.PodScheduled && condition.Status == corev1.ConditionFalse {
			return condition.Reason, cmp.Or(condition.Message, seeEvents)
		}
	}
	for _, container := range slices.Concat(pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses) {
		if container.State.Running != nil {
			return "", ""
		}
		waiting := container.State.Waiting
		switch {
		case waiting == nil, waiting.Reason == containerCreating, waiting.Reason == "PodInitializing":
		case waiting.Reason == "ErrImagePull": // alternates with ImagePullBackOff
			return "ImagePullBackOff", cmp.Or(waiting.Message, seeEvents)
		default:
			return waiting.Reason, cmp.Or(waiting.Message, seeEvents)
		}
	}
	return containerCreating, seeEvents
}
