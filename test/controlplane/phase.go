package controlplane

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// summarize sets the pod's phase and conditions by its containers, as the
// kubelet does.
func summarize(s *corev1.PodStatus, spec *corev1.PodSpec, terminating bool) {
	inits, sidecars := splitInits(s, spec)
	initialized := allTerminated(inits, succeeded) && allStarted(sidecars)
	s.Phase = phase(s, spec, terminating)

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
func phase(s *corev1.PodStatus, spec *corev1.PodSpec, terminating bool) corev1.PodPhase {
	policy := spec.RestartPolicy
	restartsNot := terminating || policy == corev1.RestartPolicyNever
	inits, sidecars := splitInits(s, spec)
	for _, c := range inits {
		if c.State.Terminated == nil || c.State.Terminated.ExitCode != 0 {
			if c.State.Terminated != nil && restartsNot {
				return corev1.PodFailed
			}
			return corev1.PodPending
		}
	}
	switch {
	case !allStarted(sidecars), !anyStarted(s.ContainerStatuses):
		return corev1.PodPending
	case !allTerminated(s.ContainerStatuses, always), anyRuns(sidecars):
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

// splitInits parts the init containers that have to end from those that run beside
// the others, whose ends say nothing about the pod.
func splitInits(s *corev1.PodStatus, spec *corev1.PodSpec) (inits, sidecars []corev1.ContainerStatus) {
	for i, c := range s.InitContainerStatuses {
		if isSidecar(spec.InitContainers[i]) {
			sidecars = append(sidecars, c)
		} else {
			inits = append(inits, c)
		}
	}
	return inits, sidecars
}

func allStarted(sidecars []corev1.ContainerStatus) bool {
	for _, c := range sidecars {
		if !anyStarted([]corev1.ContainerStatus{c}) {
			return false
		}
	}
	return true
}

func anyRuns(sidecars []corev1.ContainerStatus) bool {
	return slices.ContainsFunc(sidecars, func(c corev1.ContainerStatus) bool { return c.State.Running != nil })
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
