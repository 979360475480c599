package controlplane

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// summarize sets the pod's phase and conditions by its containers, as the
// kubelet does.
func summarize(s *corev1.PodStatus, policy corev1.RestartPolicy, terminating bool) {
	initialized := allTerminated(s.InitContainerStatuses, succeeded)
	s.Phase = phase(s, policy, terminating)

	condition := corev1.PodCondition{Type: corev1.PodInitialized, Status: corev1.ConditionTrue}
	if !initialized {
		condition.Status, condition.Reason = corev1.ConditionFalse, "ContainersNotInitialized"
	}
	setCondition(s, condition)

	ready := corev1.PodCondition{Status: corev1.ConditionTrue}
	for _, c := range s.ContainerStatuses {
		if !c.Ready {
			ready.Status, ready.Reason = corev1.ConditionFalse, "ContainersNotReady"
		}
	}
	if s.Phase == corev1.PodSucceeded {
		ready.Reason = "PodCompleted"
	}
	if s.Phase == corev1.PodFailed {
		ready.Reason = "PodFailed"
	}
	for _, kind := range []corev1.PodConditionType{corev1.ContainersReady, corev1.PodReady} {
		ready.Type = kind
		setCondition(s, ready)
	}
}

// phase follows the kubelet's own rules.
func phase(s *corev1.PodStatus, policy corev1.RestartPolicy, terminating bool) corev1.PodPhase {
	restartsNot := terminating || policy == corev1.RestartPolicyNever
	for _, c := range s.InitContainerStatuses {
		if c.State.Terminated == nil || c.State.Terminated.ExitCode != 0 {
			if c.State.Terminated != nil && restartsNot {
				return corev1.PodFailed
			}
			return corev1.PodPending
		}
	}
	switch {
	case !anyStarted(s.ContainerStatuses):
		return corev1.PodPending
	case !allTerminated(s.ContainerStatuses, always):
		return corev1.PodRunning
	case policy == corev1.RestartPolicyAlways && !terminating:
		return corev1.PodRunning
	case allTerminated(s.ContainerStatuses, succeeded):
		return corev1.PodSucceeded
	case restartsNot:
		return corev1.PodFailed
	default:
		return corev1.PodRunning
	}
}

func succeeded(t *corev1.ContainerStateTerminated) bool { return t.ExitCode == 0 }

func always(*corev1.ContainerStateTerminated) bool { return true }

func allTerminated(statuses []corev1.ContainerStatus, such func(*corev1.ContainerStateTerminated) bool) bool {
	for _, c := range statuses {
		if c.State.Terminated == nil || !such(c.State.Terminated) {
			return false
		}
	}
	return true
}

func anyStarted(statuses []corev1.ContainerStatus) bool {
	for _, c := range statuses {
		if c.State.Waiting == nil || c.RestartCount > 0 {
			return true
		}
	}
	return false
}

// setCondition keeps the time of the last transition if there is none.
func setCondition(s *corev1.PodStatus, condition corev1.PodCondition) {
	condition.LastTransitionTime = metav1.Now()
	for i, c := range s.Conditions {
		if c.Type != condition.Type {
			continue
		}
		if c.Status == condition.Status {
			condition.LastTransitionTime = c.LastTransitionTime
		}
		s.Conditions[i] = condition
		return
	}
	s.Conditions = append(s.Conditions, condition)
}
