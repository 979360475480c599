package controlplane

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// TestAPIServerAway has a pod end while the API server is away: the kubelet reports
// that once it is back.
func TestAPIServerAway(t *testing.T) {
	t.Parallel()
	c := ForTest(t, Options{WithoutKEDA: true})
	hold := make(chan struct{})
	KubeletForTest(t, c, KubeletOptions{Plan: func(*corev1.Pod) Plan { return Plan{Hold: hold} }})
	pods := clientOf(t, c).CoreV1().Pods(metav1.NamespaceDefault)
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "short"},
		Spec: corev1.PodSpec{
			RestartPolicy: corev1.RestartPolicyNever,
			Containers:    []corev1.Container{{Name: "main", Image: "x", Command: []string{"true"}}},
		},
	}
	if _, err := pods.Create(t.Context(), pod, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := c.KillAPIServer(); err != nil {
		t.Fatal(err)
	}
	if _, err := pods.Get(t.Context(), pod.Name, metav1.GetOptions{}); err == nil {
		t.Fatal("the API server answers")
	}
	if c.KillAPIServer() == nil {
		t.Error("it can be killed twice")
	}
	close(hold)
	if err := c.StartAPIServer(t.Context()); err != nil {
		t.Fatal(err)
	}
	if c.StartAPIServer(t.Context()) == nil {
		t.Error("it can be started twice")
	}
	n := namespace{name: metav1.NamespaceDefault, client: clientOf(t, c)}
	n.awaitPod(t, pod.Name, func(now *corev1.Pod) bool { return now.Status.Phase == corev1.PodSucceeded })
}
