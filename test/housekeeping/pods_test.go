// Package housekeeping_test tests housekeeping on a real Kubernetes API server.
package housekeeping_test

import (
	"context"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/fleet"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/housekeeping"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/test/controlplane"
)

// TestKubernetesPods has Jobs that do not start, for each reason, and one that
// does.
func TestKubernetesPods(t *testing.T) {
	plane := controlplane.ForTest(t, controlplane.Options{WithoutKEDA: true})
	hold := make(chan struct{})
	t.Cleanup(func() { close(hold) })
	fates := map[string]controlplane.Plan{
		"image":    {Waiting: "ImagePullBackOff"},
		"node":     {Unschedulable: true},
		"creating": {Hold: hold},
		"refused":  {Hold: hold},
		"runs": {Run: func(ctx context.Context, _ controlplane.Container) int {
			<-ctx.Done()
			return 0
		}},
	}
	controlplane.KubeletForTest(t, plane, controlplane.KubeletOptions{
		Plan: func(pod *corev1.Pod) controlplane.Plan { return fates[pod.Labels[batchv1.JobNameLabel]] },
	})
	config := plane.Config()
	config.WarningHandler = rest.NoWarnings{} // about pods that will be refused
	kube, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	namespace(t, kube, "ado", "")
	namespace(t, kube, "strict", "restricted") // refuses the pods of these Jobs
	var jobs []fleet.Job
	for _, name := range []string{"creating", "image", "node", "runs"} {
		jobs = append(jobs, job(t, kube, "ado", name))
	}
	strict := []fleet.Job{job(t, kube, "strict", "refused")}

	pods := housekeeping.KubernetesPods{Client: kube}
	expect(t, pods, "ado", jobs, "creating ContainerCreating", "image ImagePullBackOff", "node Unschedulable")
	expect(t, pods, "strict", strict, "refused FailedCreate")
	// Only the given Jobs are returned.
	expect(t, pods, "ado", jobs[:0])

	// The event about the failure stays once the pod can be created.
	namespace(t, kube, "strict", "privileged")
	expect(t, pods, "strict", strict, "refused ContainerCreating")
	deletion(t, pods, kube, strict[0])

	annotation(t, kube, jobs[0])
	deletion(t, pods, kube, jobs[1])
	expect(t, pods, "ado", jobs, "creating ContainerCreating", "node Unschedulable")

	uid, err := kube.CoreV1().Namespaces().Get(t.Context(), "ado", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if owner, err := housekeeping.OwnerIn(t.Context(), kube, "ado", "scaler"); err != nil || owner != string(uid.UID)+"/scaler" {
		t.Errorf("the owner is %q, %v", owner, err)
	}

	nobody := housekeeping.KubernetesPods{Client: kubernetes.NewForConfigOrDie(rest.AnonymousClientConfig(plane.Config()))}
	_, err = nobody.Unstarted(t.Context(), "ado", jobs)
	if err == nil || !strings.Contains(err.Error(), "grant the service account this permission") {
		t.Errorf("without permissions: %v", err)
	}
	err = housekeeping.KubernetesJobs(nobody).Annotate(t.Context(), jobs[0], map[string]string{"a": "b"})
	if !apierrors.IsForbidden(err) || !strings.Contains(err.Error(), "grant the service account this permission") {
		t.Errorf("without permissions: %v", err)
	}
	if err := nobody.Delete(t.Context(), jobs[0]); err == nil || !strings.Contains(err.Error(), "grant the service account this permission") {
		t.Errorf("without permissions: %v", err)
	}
}

// annotation annotates a Job, and checks that another UID and a name that is gone
// change nothing, and that all else stays as it was.
func annotation(t *testing.T, kube kubernetes.Interface, job fleet.Job) {
	t.Helper()
	api := kube.BatchV1().Jobs(job.Namespace)
	before, err := api.Get(t.Context(), job.Name, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	other, gone := job, job
	other.UID, gone.Name = "another", "gone"
	for _, j := range []fleet.Job{job, other, gone} {
		if err := (housekeeping.KubernetesJobs{Client: kube}).Annotate(t.Context(), j, map[string]string{"example.com/of": j.UID}); err != nil {
			t.Error(err)
		}
	}
	after, err := api.Get(t.Context(), job.Name, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	want := maps.Clone(before.Annotations)
	if want == nil {
		want = map[string]string{}
	}
	want["example.com/of"] = job.UID
	if !maps.Equal(after.Annotations, want) || !equality.Semantic.DeepEqual(after.Spec, before.Spec) || !maps.Equal(after.Labels, before.Labels) {
		t.Errorf("the Job was\n%+v\nand is\n%+v", before, after)
	}
}

// deletion deletes a Job, and checks that another UID deletes nothing.
func deletion(t *testing.T, pods housekeeping.KubernetesPods, kube kubernetes.Interface, job fleet.Job) {
	t.Helper()
	other := job
	other.UID = "another"
	for _, j := range []fleet.Job{other, job, job} {
		if err := pods.Delete(t.Context(), j); err != nil {
			t.Error(err)
		}
		_, err := kube.BatchV1().Jobs(job.Namespace).Get(t.Context(), job.Name, metav1.GetOptions{})
		if gone := apierrors.IsNotFound(err); gone != (j.UID == job.UID) {
			t.Errorf("Job %s with UID %s deleted: %t, %v", job.Name, j.UID, gone, err)
		}
	}
}

// namespace creates a namespace with a level of pod security, or changes it.
func namespace(t *testing.T, kube kubernetes.Interface, name, level string) {
	t.Helper()
	object := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}
	if level != "" {
		object.Labels = map[string]string{"pod-security.kubernetes.io/enforce": level}
	}
	_, err := kube.CoreV1().Namespaces().Create(t.Context(), object, metav1.CreateOptions{})
	if apierrors.IsAlreadyExists(err) {
		_, err = kube.CoreV1().Namespaces().Update(t.Context(), object, metav1.UpdateOptions{})
	}
	if err != nil {
		t.Fatal(err)
	}
}

func job(t *testing.T, kube kubernetes.Interface, namespace, name string) fleet.Job {
	t.Helper()
	created, err := kube.BatchV1().Jobs(namespace).Create(t.Context(), &batchv1.Job{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: batchv1.JobSpec{Template: corev1.PodTemplateSpec{Spec: corev1.PodSpec{
			RestartPolicy: corev1.RestartPolicyNever, Containers: []corev1.Container{{Name: "agent", Image: "agent"}},
		}}},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return fleet.Job{UID: string(created.UID), Namespace: namespace, Name: name, Created: created.CreationTimestamp.Time}
}

// expect waits until exactly these Jobs have not started, for these reasons.
func expect(t *testing.T, pods housekeeping.KubernetesPods, namespace string, jobs []fleet.Job, want ...string) {
	t.Helper()
	ticker := time.NewTicker(50 * time.Millisecond)
	defer ticker.Stop()
	deadline := time.After(time.Minute)
	for {
		unstarted, err := pods.Unstarted(t.Context(), namespace, jobs)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, u := range unstarted {
			if u.Message == "" || time.Since(u.Since) > time.Hour {
				t.Errorf("incomplete: %+v", u)
			}
			got = append(got, u.Job.Name+" "+u.Reason)
		}
		slices.Sort(got)
		if slices.Equal(got, want) {
			return
		}
		select {
		case <-ticker.C:
		case <-deadline:
			t.Fatalf("got %s, want %s", got, want)
		}
	}
}
