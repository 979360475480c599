package controlplane

import (
	"context"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

// namespace is one of a control plane's that a test has for itself.
type namespace struct {
	name    string
	client  kubernetes.Interface
	kubelet *Kubelet
}

// create creates a pod.
func (n namespace) create(t *testing.T, pod *corev1.Pod) *corev1.Pod {
	t.Helper()
	made, err := n.client.CoreV1().Pods(n.name).Create(t.Context(), pod, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return made
}

// delete asks for the deletion of a pod.
func (n namespace) delete(t *testing.T, pod *corev1.Pod, grace int64) {
	t.Helper()
	err := n.client.CoreV1().Pods(n.name).Delete(t.Context(), pod.Name, metav1.DeleteOptions{GracePeriodSeconds: &grace})
	if err != nil {
		t.Fatal(err)
	}
}

// log is what a container has written.
func (n namespace) log(t *testing.T, pod *corev1.Pod, container string) string {
	t.Helper()
	content, err := os.ReadFile(n.kubelet.LogPath(pod, container))
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

// plans are the plans of pods by their namespaces.
type plans struct{ sync.Map }

func (p *plans) of(pod *corev1.Pod) Plan {
	plan, _ := p.Load(pod.Namespace)
	found, _ := plan.(Plan)
	return found
}

func TestKubelet(t *testing.T) {
	t.Parallel()
	c := ForTest(t, Options{WithoutKEDA: true})
	var known plans
	kubelet := KubeletForTest(t, c, KubeletOptions{
		Plan: known.of, Entrypoints: map[string][]string{"echo": {"echo", "entrypoint"}}, Env: []string{"EXTRA=of the kubelet"},
	})
	client := clientOf(t, c)
	for name, test := range map[string]struct {
		plan Plan
		run  func(*testing.T, namespace)
	}{
		"job-completes":       {run: testJobCompletes},
		"job-fails":           {run: testJobFails},
		"environment":         {run: testEnvironment},
		"entrypoint":          {run: testEntrypoint},
		"late-secret":         {run: testLateSecret},
		"no-such-command":     {run: testNoSuchCommand},
		"init-containers":     {run: testInitContainers},
		"sidecar":             {run: testSidecar},
		"sidecar-of-deleted":  {run: testSidecarOfDeletedPod},
		"restart-on-failure":  {run: testRestartOnFailure},
		"deletion-is-heard":   {run: testDeletionIsHeard},
		"deletion-is-ignored": {run: testDeletionIsIgnored},
		"kill":                {run: testKill},
		"image-pull-backoff":  {Plan{Waiting: "ImagePullBackOff"}, testNeverStarts},
		"unschedulable":       {Plan{Unschedulable: true}, testUnschedulable},
		"stand-in":            {Plan{Run: standIn}, testStandIn},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			known.Store(name, test.plan)
			test.run(t, newNamespace(t, client, kubelet, name))
		})
	}
	t.Run("delayed", func(t *testing.T) {
		t.Parallel()
		hold := make(chan struct{})
		known.Store("delayed", Plan{Hold: hold, Delay: 10 * time.Millisecond})
		testDelayed(t, newNamespace(t, client, kubelet, "delayed"), hold)
	})
}

func newNamespace(t *testing.T, client kubernetes.Interface, kubelet *Kubelet, name string) namespace {
	t.Helper()
	object := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}
	if _, err := client.CoreV1().Namespaces().Create(t.Context(), object, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	return namespace{name: name, client: client, kubelet: kubelet}
}

func newJob(t *testing.T, n namespace, spec corev1.PodSpec) *batchv1.Job {
	t.Helper()
	job, err := n.client.BatchV1().Jobs(n.name).Create(t.Context(), &batchv1.Job{
		ObjectMeta: metav1.ObjectMeta{Name: "job"},
		Spec: batchv1.JobSpec{
			BackoffLimit: new(int32(0)),
			Template:     corev1.PodTemplateSpec{Spec: spec},
		},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return job
}

func testJobCompletes(t *testing.T, n namespace) {
	newJob(t, n, shellPodSpec("echo done"))
	n.awaitJob(t, "job", batchv1.JobComplete)
	pod := n.awaitPod(t, "", func(*corev1.Pod) bool { return true })
	if pod.Status.Phase != corev1.PodSucceeded {
		t.Errorf("phase %s", pod.Status.Phase)
	}
	end := pod.Status.ContainerStatuses[0].State.Terminated
	if end == nil || end.ExitCode != 0 || end.Reason != "Completed" || end.StartedAt.IsZero() || end.FinishedAt.IsZero() {
		t.Errorf("terminated: %+v", end)
	}
	if pod.Status.StartTime == nil || pod.Spec.NodeName != "node" || pod.Status.PodIP == "" {
		t.Errorf("start time %v, node %q, IP %q", pod.Status.StartTime, pod.Spec.NodeName, pod.Status.PodIP)
	}
	for kind, want := range map[corev1.PodConditionType]corev1.ConditionStatus{
		corev1.PodScheduled: corev1.ConditionTrue, corev1.PodInitialized: corev1.ConditionTrue,
		corev1.PodReady: corev1.ConditionFalse, corev1.ContainersReady: corev1.ConditionFalse,
	} {
		if got := conditionOf(pod, kind); got != want {
			t.Errorf("condition %s is %q, want %q", kind, got, want)
		}
	}
	if log := n.log(t, pod, "shell"); log != "done\n" {
		t.Errorf("log %q", log)
	}
}

func conditionOf(pod *corev1.Pod, kind corev1.PodConditionType) corev1.ConditionStatus {
	for _, c := range pod.Status.Conditions {
		if c.Type == kind {
			return c.Status
		}
	}
	return ""
}

func testJobFails(t *testing.T, n namespace) {
	newJob(t, n, shellPodSpec("exit 3"))
	n.awaitJob(t, "job", batchv1.JobFailed)
	pod := n.awaitPod(t, "", func(*corev1.Pod) bool { return true })
	end := pod.Status.ContainerStatuses[0].State.Terminated
	if pod.Status.Phase != corev1.PodFailed || end == nil || end.ExitCode != 3 || end.Reason != "Error" {
		t.Errorf("phase %s, terminated: %+v", pod.Status.Phase, end)
	}
}

func testNeverStarts(t *testing.T, n namespace) {
	pod := n.create(t, shellPod("echo never"))
	pod = n.awaitPod(t, pod.Name, func(pod *corev1.Pod) bool {
		return len(pod.Status.ContainerStatuses) > 0 && pod.Status.ContainerStatuses[0].State.Waiting.Reason == "ImagePullBackOff"
	})
	if pod.Status.Phase != corev1.PodPending || conditionOf(pod, corev1.PodScheduled) != corev1.ConditionTrue {
		t.Errorf("phase %s, scheduled %s", pod.Status.Phase, conditionOf(pod, corev1.PodScheduled))
	}
	n.delete(t, pod, 30)
	if last := n.awaitRemoval(t, pod); last.Status.Phase != corev1.PodFailed {
		t.Errorf("phase %s at its removal", last.Status.Phase)
	}
}

func testUnschedulable(t *testing.T, n namespace) {
	pod := n.create(t, shellPod("echo never"))
	pod = n.awaitPod(t, pod.Name, func(pod *corev1.Pod) bool {
		return conditionOf(pod, corev1.PodScheduled) == corev1.ConditionFalse
	})
	if pod.Status.Phase != corev1.PodPending || pod.Spec.NodeName != "" {
		t.Errorf("phase %s, node %q", pod.Status.Phase, pod.Spec.NodeName)
	}
	n.delete(t, pod, 30)
	n.awaitRemoval(t, pod)
}

func testDelayed(t *testing.T, n namespace, hold chan struct{}) {
	pod := n.create(t, shellPod("exit 0"))
	pod = n.awaitPod(t, pod.Name, func(pod *corev1.Pod) bool { return len(pod.Status.ContainerStatuses) > 0 })
	waiting := pod.Status.ContainerStatuses[0].State.Waiting
	if pod.Status.Phase != corev1.PodPending || waiting == nil || waiting.Reason != "ContainerCreating" {
		t.Errorf("phase %s, waiting: %+v", pod.Status.Phase, waiting)
	}
	close(hold)
	n.awaitPod(t, pod.Name, hasPhase(corev1.PodSucceeded))
}

func hasPhase(phase corev1.PodPhase) func(*corev1.Pod) bool {
	return func(pod *corev1.Pod) bool { return pod.Status.Phase == phase }
}

func standIn(ctx context.Context, c Container) int {
	if strings.Join(c.Command, " ") != "sh -c wait" {
		return 1
	}
	<-ctx.Done()
	return 7
}

func testStandIn(t *testing.T, n namespace) {
	pod := n.create(t, shellPod("wait"))
	n.awaitPod(t, pod.Name, hasPhase(corev1.PodRunning))
	n.delete(t, pod, 30)
	end := n.awaitRemoval(t, pod).Status.ContainerStatuses[0].State.Terminated
	if end == nil || end.ExitCode != 7 {
		t.Errorf("terminated: %+v, want the stand-in's exit code", end)
	}
}
