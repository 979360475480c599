package fleet

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestStartFailure(t *testing.T) {
	waiting := func(reason, message string) corev1.ContainerStatus {
		return corev1.ContainerStatus{State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reason, Message: message}}}
	}
	running := corev1.ContainerStatus{State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}}
	ended := corev1.ContainerStatus{State: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{}}}
	for name, tt := range map[string]struct {
		status corev1.PodStatus
		want   string
	}{
		"no node": {
			corev1.PodStatus{Conditions: []corev1.PodCondition{
				{Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Reason: "Unschedulable", Message: "0/3 nodes"},
			}},
			"Unschedulable: 0/3 nodes",
		},
		"image": {
			corev1.PodStatus{
				Conditions:        []corev1.PodCondition{{Type: corev1.PodScheduled, Status: corev1.ConditionTrue}},
				ContainerStatuses: []corev1.ContainerStatus{waiting("ContainerCreating", ""), waiting("ImagePullBackOff", "no such image")},
			},
			"ImagePullBackOff: no such image",
		},
		"image, at another moment": {
			corev1.PodStatus{ContainerStatuses: []corev1.ContainerStatus{waiting("ErrImagePull", "no such image")}},
			"ImagePullBackOff: no such image",
		},
		"image of an init container": {
			corev1.PodStatus{
				InitContainerStatuses: []corev1.ContainerStatus{ended, waiting("InvalidImageName", "no name")},
				ContainerStatuses:     []corev1.ContainerStatus{waiting("PodInitializing", "")},
			},
			"InvalidImageName: no name",
		},
		"init container runs": {
			corev1.PodStatus{
				InitContainerStatuses: []corev1.ContainerStatus{running},
				ContainerStatuses:     []corev1.ContainerStatus{waiting("PodInitializing", "")},
			},
			": ",
		},
		"volume": {
			corev1.PodStatus{ContainerStatuses: []corev1.ContainerStatus{waiting("ContainerCreating", "")}},
			"ContainerCreating: see the events of pod build-bcdfg-hjklm",
		},
		"nothing known": {
			corev1.PodStatus{},
			"ContainerCreating: see the events of pod build-bcdfg-hjklm",
		},
	} {
		t.Run(name, func(t *testing.T) {
			reason, message := StartFailure(&corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "build-bcdfg-hjklm"}, Status: tt.status})
			if got := reason + ": " + message; got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
		})
	}
}

// TestTextsOfPods has each text of a pod's status be one printable line.
func TestTextsOfPods(t *testing.T) {
	const hostile = "a\x1b[31m\nb\u202e"
	terminated := corev1.ContainerStatus{State: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{
		ExitCode: 1, Reason: hostile, Message: hostile,
	}}}
	waiting := corev1.ContainerStatus{State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: hostile, Message: hostile}}}
	for name, status := range map[string]corev1.PodStatus{
		"failed container": {Phase: corev1.PodFailed, ContainerStatuses: []corev1.ContainerStatus{terminated}},
		"evicted":          {Phase: corev1.PodFailed, Reason: hostile, Message: hostile},
		"waiting":          {Phase: corev1.PodPending, ContainerStatuses: []corev1.ContainerStatus{waiting}},
	} {
		if got := podStatusOf(&corev1.Pod{Status: status}); got.Reason != "a b" || got.Message != "a b" {
			t.Errorf("%s: reason %q, message %q", name, got.Reason, got.Message)
		}
	}
}
