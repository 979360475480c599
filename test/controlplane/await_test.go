package controlplane

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
	watchtools "k8s.io/client-go/tools/watch"
)

// awaitTimeout only bounds a test that fails.
const awaitTimeout = 60 * time.Second

func clientOf(t *testing.T, c *ControlPlane) kubernetes.Interface {
	t.Helper()
	client, err := kubernetes.NewForConfig(c.Config())
	if err != nil {
		t.Fatal(err)
	}
	return client
}

// awaitPod waits until a pod, of the name or, that being empty, any, is as it
// should be, and returns it.
func (n namespace) awaitPod(t *testing.T, name string, is func(*corev1.Pod) bool) *corev1.Pod {
	t.Helper()
	return await(t, n.watch(n.client.CoreV1().RESTClient(), "pods", name), is)
}

// awaitJob waits until a Job has a condition.
func (n namespace) awaitJob(t *testing.T, name string, condition batchv1.JobConditionType) {
	t.Helper()
	await(t, n.watch(n.client.BatchV1().RESTClient(), "jobs", name), func(job *batchv1.Job) bool {
		for _, c := range job.Status.Conditions {
			if c.Type == condition && c.Status == corev1.ConditionTrue {
				return true
			}
		}
		return false
	})
}

// awaitRemoval waits until a pod is gone, and returns what it was last. It
// watches from the pod's given version on, so as not to miss the removal.
func (n namespace) awaitRemoval(t *testing.T, pod *corev1.Pod) *corev1.Pod {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), awaitTimeout)
	defer cancel()
	event, err := watchtools.Until(ctx, pod.ResourceVersion, n.watch(n.client.CoreV1().RESTClient(), "pods", pod.Name),
		func(e watch.Event) (bool, error) { return e.Type == watch.Deleted, nil })
	if err != nil {
		t.Fatalf("await the removal of pod %s: %v", pod.Name, err)
	}
	return event.Object.(*corev1.Pod)
}

func (n namespace) watch(client cache.Getter, resource, name string) *cache.ListWatch {
	selector := fields.Everything()
	if name != "" {
		selector = fields.OneTermEqualSelector("metadata.name", name)
	}
	return cache.NewListWatchFromClient(client, resource, n.name, selector)
}

// await waits for an object to be there and as it should be.
func await[T any, P interface {
	*T
	runtime.Object
}](t *testing.T, at *cache.ListWatch, is func(P) bool) P {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), awaitTimeout)
	defer cancel()
	var last P
	_, err := watchtools.UntilWithSync(ctx, at, P(new(T)), nil, func(e watch.Event) (bool, error) {
		last = e.Object.(P)
		return e.Type != watch.Deleted && is(last), nil
	})
	if err != nil {
		t.Fatalf("await a %T: %v; it was last\n%+v", last, err, last)
	}
	return last
}

// signal is a named pipe by which a pod's process reports that it has come so far:
// the shell's "echo > PATH" ends a wait.
type signal string

func newSignal(dir string) (signal, error) {
	path := filepath.Join(dir, fmt.Sprintf("signal-%d", time.Now().UnixNano()))
	return signal(path), unix.Mkfifo(path, 0o600)
}

func (s signal) wait() error {
	_, err := os.ReadFile(string(s))
	return err
}
