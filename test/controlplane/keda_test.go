package controlplane

import (
	"context"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
)

// KEDA makes Jobs, none while it is stopped, and those it missed once it is back.
func TestStopAndStartKEDA(t *testing.T) {
	t.Parallel()
	c := ForTest(t, Options{})
	kubelet := KubeletForTest(t, c, KubeletOptions{Plan: func(*corev1.Pod) Plan {
		return Plan{Run: func(ctx context.Context, _ Container) int { <-ctx.Done(); return 0 }}
	}})
	n := newNamespace(t, clientOf(t, c), kubelet, "agents")

	createScaledJob(t, c, n, "before")
	n.awaitJobOf(t, "before")

	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if err := c.StopKEDA(ctx); err != nil {
		t.Fatal(err)
	}
	if err := c.StopKEDA(ctx); err == nil {
		t.Error("KEDA was stopped twice")
	}
	createScaledJob(t, c, n, "after")
	if err := c.StartKEDA(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := c.StartKEDA(t.Context()); err == nil {
		t.Error("KEDA was started twice")
	}
	n.awaitJobOf(t, "after")
}

// createScaledJob makes a ScaledJob of which KEDA always wants one Job.
func createScaledJob(t *testing.T, c *ControlPlane, n namespace, name string) {
	t.Helper()
	client, err := dynamic.NewForConfig(c.Config())
	if err != nil {
		t.Fatal(err)
	}
	scaledJobs := schema.GroupVersionResource{Group: "keda.sh", Version: "v1alpha1", Resource: "scaledjobs"}
	container := map[string]any{"name": "agent", "image": "agent"}
	_, err = client.Resource(scaledJobs).Namespace(n.name).Create(t.Context(), &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "keda.sh/v1alpha1",
		"kind":       "ScaledJob",
		"metadata":   map[string]any{"name": name},
		"spec": map[string]any{
			"minReplicaCount": int64(1),
			"pollingInterval": int64(1),
			"jobTargetRef": map[string]any{"template": map[string]any{"spec": map[string]any{
				"restartPolicy": "Never", "containers": []any{container},
			}}},
			"triggers": []any{map[string]any{"type": "cron", "metadata": map[string]any{
				"timezone": "UTC", "start": "0 0 1 1 *", "end": "1 0 1 1 *", "desiredReplicas": "1",
			}}},
		},
	}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
}

// awaitJobOf waits for a Job of a ScaledJob.
func (n namespace) awaitJobOf(t *testing.T, scaledJob string) {
	t.Helper()
	await(t, n.watch(n.client.BatchV1().RESTClient(), "jobs", ""), func(job *batchv1.Job) bool {
		return job.Labels["scaledjob.keda.sh/name"] == scaledJob
	})
}
