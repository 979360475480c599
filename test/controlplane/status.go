package controlplane

import (
	"encoding/json"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/retry"
)

// podIP is every pod's address, as it is that of its processes.
const podIP = "127.0.0.1"

// refuse reports that no node was found for the pod.
func (p *pod) refuse() error {
	return p.report(func(s *corev1.PodStatus) {
		s.Phase = corev1.PodPending
		setCondition(s, corev1.PodCondition{
			Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Reason: corev1.PodReasonUnschedulable,
		})
	})
}

// accept reports that the node has the pod and makes its containers.
func (p *pod) accept() error {
	return p.update(func(s *corev1.PodStatus) {
		now := metav1.Now()
		s.StartTime, s.HostIP, s.PodIP = &now, podIP, podIP
		s.HostIPs, s.PodIPs = []corev1.HostIP{{IP: podIP}}, []corev1.PodIP{{IP: podIP}}
		reason := "ContainerCreating"
		if len(p.spec.Spec.InitContainers) > 0 {
			reason = "PodInitializing"
		}
		s.InitContainerStatuses = created(p.spec.Spec.InitContainers, reason)
		s.ContainerStatuses = created(p.spec.Spec.Containers, reason)
		setCondition(s, corev1.PodCondition{Type: corev1.PodScheduled, Status: corev1.ConditionTrue})
	})
}

func created(containers []corev1.Container, reason string) []corev1.ContainerStatus {
	statuses := make([]corev1.ContainerStatus, len(containers))
	for i, c := range containers {
		statuses[i] = corev1.ContainerStatus{Name: c.Name, Image: c.Image, State: waiting(reason, "")}
	}
	return statuses
}

func waiting(reason, message string) corev1.ContainerState {
	return corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reason, Message: message}}
}

// reportWaiting sets a reason not to have started on all containers.
func (p *pod) reportWaiting(reason string) error {
	return p.update(func(s *corev1.PodStatus) {
		for _, statuses := range [][]corev1.ContainerStatus{s.InitContainerStatuses, s.ContainerStatuses} {
			for i := range statuses {
				statuses[i].State = waiting(reason, "")
			}
		}
	})
}

// reportEnd sets the last phase of a pod that was deleted. One whose containers
// never ran has failed.
func (p *pod) reportEnd() error {
	p.statusMu.Lock()
	phase := p.status.Phase
	p.statusMu.Unlock()
	if phase != corev1.PodPending && phase != corev1.PodRunning {
		return nil
	}
	return p.report(func(s *corev1.PodStatus) { s.Phase = corev1.PodFailed })
}

// update changes the containers' statuses and reports them together with what
// follows of them for the pod.
func (p *pod) update(change func(*corev1.PodStatus)) error {
	return p.report(func(s *corev1.PodStatus) {
		change(s)
		summarize(s, &p.spec.Spec, p.ending())
	})
}

// report writes the status. It is a patch, as that leaves alone what others have
// written: the conditions of the Job controller, and its finalizer.
func (p *pod) report(change func(*corev1.PodStatus)) error {
	p.statusMu.Lock()
	defer p.statusMu.Unlock()
	change(&p.status)
	patch, err := json.Marshal(map[string]any{
		"metadata": map[string]any{"uid": p.spec.UID},
		"status":   p.status,
	})
	if err != nil {
		return err
	}
	// A conflict is either with other writers, or with another pod of the name.
	err = retry.RetryOnConflict(retry.DefaultRetry, func() error {
		return p.untilAnswered(func() error {
			_, err := p.kubelet.client.CoreV1().Pods(p.spec.Namespace).Patch(
				p.dead, p.spec.Name, types.StrategicMergePatchType, patch, metav1.PatchOptions{}, "status")
			return err
		})
	})
	if err := p.unlessGone(err); err != nil {
		return fmt.Errorf("report the status: %w", err)
	}
	return nil
}

// containerStatus finds the status of a container, of init or not:
// they share their names.
func containerStatus(s *corev1.PodStatus, name string) *corev1.ContainerStatus {
	for _, statuses := range [][]corev1.ContainerStatus{s.InitContainerStatuses, s.ContainerStatuses} {
		if i := slices.IndexFunc(statuses, func(c corev1.ContainerStatus) bool { return c.Name == name }); i >= 0 {
			return &statuses[i]
		}
	}
	panic("controlplane: the pod has no container " + name)
}
