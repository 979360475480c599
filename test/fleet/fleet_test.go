// Package fleet_test tries the scaler's view of Kubernetes on a real API server.
package fleet_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/fleet"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/plan"
	authorizationv1 "k8s.io/api/authorization/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/test/controlplane"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/test/workload"
)

func TestFleet(t *testing.T) {
	plane := controlplane.ForTest(t, controlplane.Options{WithoutKEDA: true})
	kube, err := kubernetes.NewForConfig(plane.Config())
	if err != nil {
		t.Fatal(err)
	}
	custom, err := dynamic.NewForConfig(plane.Config())
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"ado", "other"} {
		namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}
		if _, err := kube.CoreV1().Namespaces().Create(t.Context(), namespace, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	scaledJob := workload.ScaledJob{Namespace: "ado", Name: "build", ScalerAddress: "scaler:9090", Pool: "linux"}.Object()
	create(t, custom, scaledJob)

	view, err := fleet.Start(t.Context(), plane.Config(), fleet.Options{RememberFor: 2 * time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(view.Stop)
	expect(t, view, "ado/build  0-100 x1 map[poolName:linux scalerAddress:scaler:9090]")

	setField(t, scaledJob, "accurate", "spec", "scalingStrategy", "strategy")
	setField(t, scaledJob, int64(2), "spec", "minReplicaCount")
	setField(t, scaledJob, int64(7), "spec", "maxReplicaCount")
	setField(t, scaledJob, int64(3), "spec", "jobTargetRef", "parallelism")
	if _, err := custom.Resource(workload.ScaledJobs).Namespace("ado").Apply(t.Context(), "build", scaledJob,
		metav1.ApplyOptions{FieldManager: "test", Force: true}); err != nil {
		t.Fatal(err)
	}
	expect(t, view, "ado/build accurate 2-7 x3 map[poolName:linux scalerAddress:scaler:9090]")

	// Of somebody else's kind: not in view.
	cron := workload.ScaledJob{Namespace: "other", Name: "cron"}.Object()
	setField(t, cron, []any{map[string]any{"type": "cron", "metadata": map[string]any{"start": "x"}}}, "spec", "triggers")
	create(t, custom, cron)
	plain := newJob("other", "plain", "")
	delete(plain.Labels, fleet.ScaledJobLabel)
	createJob(t, kube, plain)

	job := createJob(t, kube, newJob("ado", "build-abcde", "build"))
	running := "ado/build-abcde of build, running"
	expect(t, view, "ado/build accurate 2-7 x3 map[poolName:linux scalerAddress:scaler:9090]", running)

	finish(t, kube, job)
	failed := "ado/build-abcde of build, failed"
	expect(t, view, "ado/build accurate 2-7 x3 map[poolName:linux scalerAddress:scaler:9090]", failed)
	other := createJob(t, kube, newJob("ado", "build-fghij", "build"))
	background := metav1.DeletePropagationBackground
	for _, name := range []string{job.Name, other.Name} {
		if err := kube.BatchV1().Jobs("ado").Delete(t.Context(), name, metav1.DeleteOptions{PropagationPolicy: &background}); err != nil {
			t.Fatal(err)
		}
	}
	// Both are remembered, and what was running has ended.
	expect(t, view, "ado/build accurate 2-7 x3 map[poolName:linux scalerAddress:scaler:9090]", failed, "ado/build-fghij of build, ended")
}

// TestRights has a view with all rights, without the optional ones, and with none:
// then an error at the start in place of a view that stays empty.
func TestRights(t *testing.T) {
	plane := controlplane.ForTest(t, controlplane.Options{WithoutKEDA: true})
	custom, err := dynamic.NewForConfig(plane.Config())
	if err != nil {
		t.Fatal(err)
	}
	agents := workload.ScaledObject{Namespace: "default", Name: "agents", ScalerAddress: "scaler:9090", Pool: "linux", PollingInterval: time.Second}.Object()
	if _, err := custom.Resource(workload.ScaledObjects).Namespace("default").Apply(t.Context(), "agents", agents,
		metav1.ApplyOptions{FieldManager: "test"}); err != nil {
		t.Fatal(err)
	}
	needed := []rbacv1.PolicyRule{rule("keda.sh", "scaledjobs"), rule("batch", "jobs")}
	start := func(user string, rules ...rbacv1.PolicyRule) (*fleet.Fleet, error) {
		view, err := fleet.Start(t.Context(), as(t, plane.Config(), user, rules), fleet.Options{RememberFor: 2 * time.Minute})
		if err == nil {
			t.Cleanup(view.Stop)
		}
		return view, err
	}
	if view, err := start("nobody"); err == nil || !strings.Contains(err.Error(), "list ScaledJobs") {
		t.Errorf("without rights: %v, %v", view, err)
	}
	for _, tt := range []struct {
		user          string
		more          []rbacv1.PolicyRule
		pods, objects bool
	}{
		{user: "least"},
		{user: "lists-pods", more: []rbacv1.PolicyRule{{Verbs: []string{"list"}, APIGroups: []string{""}, Resources: []string{"pods"}}}},
		{user: "pods", more: []rbacv1.PolicyRule{rule("", "pods")}, pods: true},
		{user: "objects", more: []rbacv1.PolicyRule{rule("keda.sh", "scaledobjects")}, objects: true},
	} {
		view, err := start(tt.user, append(tt.more, needed...)...)
		if err != nil {
			t.Errorf("%s: %v", tt.user, err)
			continue
		}
		if view.PodsInView() != tt.pods || view.ScaledObjectsInView() != tt.objects {
			t.Errorf("%s: pods %v and ScaledObjects %v, want %v and %v", tt.user, view.PodsInView(), view.ScaledObjectsInView(), tt.pods, tt.objects)
		}
		o, ok := view.ScaledObject(plan.Key{Namespace: "default", Name: "agents"})
		if ok != tt.objects || ok && (o.TargetKind != "Deployment" || o.TargetName != "agents" || len(o.Triggers) != 1) {
			t.Errorf("%s: the ScaledObject is %+v, %v", tt.user, o, ok)
		}
	}
}

func rule(group, resource string) rbacv1.PolicyRule {
	return rbacv1.PolicyRule{Verbs: []string{"list", "watch"}, APIGroups: []string{group}, Resources: []string{resource}}
}

// as returns the configuration of a user with these rights, once they count.
func as(t *testing.T, config *rest.Config, user string, rules []rbacv1.PolicyRule) *rest.Config {
	t.Helper()
	kube, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	role := &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: user}, Rules: rules}
	if _, err := kube.RbacV1().ClusterRoles().Create(t.Context(), role, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := kube.RbacV1().ClusterRoleBindings().Create(t.Context(), &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: user},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: user},
		Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: user}},
	}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	config.Impersonate = rest.ImpersonationConfig{UserName: user}
	if kube, err = kubernetes.NewForConfig(config); err != nil {
		t.Fatal(err)
	}
	for _, r := range rules {
		review := &authorizationv1.SelfSubjectAccessReview{Spec: authorizationv1.SelfSubjectAccessReviewSpec{
			ResourceAttributes: &authorizationv1.ResourceAttributes{Verb: r.Verbs[0], Group: r.APIGroups[0], Resource: r.Resources[0]},
		}}
		err := wait.PollUntilContextTimeout(t.Context(), 20*time.Millisecond, 20*time.Second, true, func(ctx context.Context) (bool, error) {
			answer, err := kube.AuthorizationV1().SelfSubjectAccessReviews().Create(ctx, review, metav1.CreateOptions{})
			return err == nil && answer.Status.Allowed, err
		})
		if err != nil {
			t.Fatalf("%s may not %s %s: %v", user, r.Verbs[0], r.Resources[0], err)
		}
	}
	return config
}

// expect waits until the view is as described.
func expect(t *testing.T, view *fleet.Fleet, want ...string) {
	t.Helper()
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	deadline := time.After(20 * time.Second)
	for {
		got := describe(view)
		if strings.Join(got, "\n") == strings.Join(want, "\n") {
			return
		}
		select {
		case <-ticker.C:
		case <-deadline:
			t.Fatalf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	}
}

func describe(view *fleet.Fleet) []string {
	var lines []string
	for _, s := range view.ScaledJobs() {
		lines = append(lines, fmt.Sprintf("%s/%s %s %d-%d x%d %v", s.Key.Namespace, s.Key.Name, s.Strategy, s.MinReplicas, s.MaxReplicas, s.Template.Parallelism, s.Triggers[0]))
	}
	jobs := view.Jobs()
	slices.SortFunc(jobs, func(a, b fleet.Job) int { return strings.Compare(a.Name, b.Name) })
	for _, job := range jobs {
		state := "running"
		switch {
		case job.Failed:
			state = "failed"
		case !job.Ended.IsZero():
			state = "ended"
		}
		lines = append(lines, fmt.Sprintf("%s/%s of %s, %s", job.Namespace, job.Name, job.ScaledJob, state))
	}
	return lines
}

func create(t *testing.T, custom dynamic.Interface, object *unstructured.Unstructured) {
	t.Helper()
	if _, err := custom.Resource(workload.ScaledJobs).Namespace(object.GetNamespace()).Apply(t.Context(), object.GetName(), object,
		metav1.ApplyOptions{FieldManager: "test"}); err != nil {
		t.Fatal(err)
	}
}

func setField(t *testing.T, object *unstructured.Unstructured, value any, path ...string) {
	t.Helper()
	if err := unstructured.SetNestedField(object.Object, value, path...); err != nil {
		t.Fatal(err)
	}
}

// newJob is a Job as KEDA makes it.
func newJob(namespace, name, scaledJob string) *batchv1.Job {
	return &batchv1.Job{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, Labels: map[string]string{fleet.ScaledJobLabel: scaledJob}},
		Spec: batchv1.JobSpec{Template: corev1.PodTemplateSpec{Spec: corev1.PodSpec{
			RestartPolicy: corev1.RestartPolicyNever, Containers: []corev1.Container{{Name: "agent", Image: "agent"}},
		}}},
	}
}

func createJob(t *testing.T, kube kubernetes.Interface, job *batchv1.Job) *batchv1.Job {
	t.Helper()
	created, err := kube.BatchV1().Jobs(job.Namespace).Create(t.Context(), job, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return created
}

// finish ends a Job by its deadline, as the Job controller does it.
func finish(t *testing.T, kube kubernetes.Interface, job *batchv1.Job) {
	t.Helper()
	patch := []byte(`{"spec":{"activeDeadlineSeconds":1}}`)
	if _, err := kube.BatchV1().Jobs(job.Namespace).Patch(t.Context(), job.Name, "application/merge-patch+json", patch, metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
}
