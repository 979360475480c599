package apply_test

import (
	"context"
	"maps"
	"strings"
	"testing"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/jobtemplate"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/jobtemplate/apply"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/test/controlplane"
)

// The names of the ScaledJobs of the pools linux and windows.
const linux, windows = "agent-job-linux", "agent-job-windows"

func TestApply(t *testing.T) {
	plane := controlplane.ForTest(t, controlplane.Options{WithoutKEDA: true})
	run := func(namespace string, test func(*env)) {
		t.Run(namespace, func(t *testing.T) { test(newEnv(t, plane.Config(), namespace)) })
	}
	// The API server describes the fields of a new CRD a moment after it serves it.
	run("described", func(s *env) {
		s.eventually("ScaledJobs are described", func(context.Context) bool { return s.apply(s.options("linux")) == nil })
	})
	run("twice", twice)
	run("conflict", conflicting)
	run("secret", secretOfOthers)
	run("deleting", deleting)
	run("few-rights", fewRights)
	run("no-rights", noRights)
	run("no-namespace", noNamespace)
	run("valid", valid)
}

// twice applies again and again what is there.
func twice(s *env) {
	options := s.options("linux", "windows")
	s.mustApply(options)
	before := s.versions()
	if len(before) != 4 {
		s.t.Fatalf("there are %v", before)
	}
	if secret := s.secret(); string(secret.Data["token"]) != token || secret.Labels[jobtemplate.ManagedByLabel] != jobtemplate.Manager {
		s.t.Errorf("the Secret is %v", secret)
	}
	s.mustApply(options)
	if after := s.versions(); !maps.Equal(before, after) {
		s.t.Errorf("applied again, %v became %v", before, after)
	}

	// Additions of users stay, also in the agent's container.
	s.patch("kubectl-edit", `{"metadata": {"annotations": {"mine": "1"}}, "spec": {"jobTargetRef": {"activeDeadlineSeconds": 60}}}`)
	mine := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "keda.sh/v1alpha1", "kind": "ScaledJob",
		"spec": map[string]any{"jobTargetRef": map[string]any{"template": map[string]any{"spec": map[string]any{"containers": []any{
			map[string]any{"name": "agent", "env": []any{map[string]any{"name": "MINE", "value": "1"}}},
		}}}}},
	}}
	if _, err := s.scaledJobs().Apply(s.t.Context(), linux, mine, metav1.ApplyOptions{FieldManager: "mine"}); err != nil {
		s.t.Fatal(err)
	}
	edited := s.get(linux)
	s.mustApply(options)
	if now := s.get(linux); now.GetResourceVersion() != edited.GetResourceVersion() || now.GetAnnotations()["mine"] != "1" {
		s.t.Errorf("from\n%v\nto\n%v", edited, now)
	}

	// Only the fields whose settings have changed are changed.
	settings := s.settings("linux")
	settings.Scaling.MaxReplicas = 7
	options.ScaledJobs[0] = s.scaledJob(settings)
	options.Token = func() (string, error) { return "another", nil }
	before = s.versions()
	s.mustApply(options)
	after := s.versions()
	for name, want := range map[string]bool{linux: true, windows: false, "secret": true, "namespace": false} {
		if changed := before[name] != after[name]; changed != want {
			s.t.Errorf("%s changed: %v", name, changed)
		}
	}
	if got := maxReplicas(s, linux); got != 7 {
		s.t.Errorf("maxReplicaCount is %d", got)
	}
	if text, err := s.get(linux).MarshalJSON(); err != nil || strings.Contains(string(text), token) {
		s.t.Errorf("the token stands in %s", text)
	}
}

// conflicting has fields that are wanted otherwise by others.
func conflicting(s *env) {
	options := s.options("linux", "windows")
	s.mustApply(options)
	s.patch("kubectl-edit", `{"spec": {"maxReplicaCount": 3}}`)
	settings := s.settings("windows")
	settings.Scaling.MaxReplicas = 7
	options.ScaledJobs[1] = s.scaledJob(settings)
	err := s.apply(options)
	if err == nil || !strings.Contains(err.Error(), "conflict/"+linux) || !strings.Contains(err.Error(), ".spec.maxReplicaCount (by kubectl-edit)") {
		s.t.Errorf("got %v", err)
	}
	if got := maxReplicas(s, linux); got != 3 {
		s.t.Errorf("the user's maxReplicaCount became %d", got)
	}
	if got := maxReplicas(s, windows); got != 7 {
		s.t.Errorf("the other ScaledJob's maxReplicaCount is %d", got)
	}

	// With what we wrote by other means, there is no conflict.
	s.patch(jobtemplate.Manager, `{"spec": {"maxReplicaCount": 4}}`)
	s.mustApply(options)
	if got := maxReplicas(s, linux); got != 100 {
		s.t.Errorf("our own maxReplicaCount stayed %d", got)
	}

	// Nor is there with what KEDA wrote back, if not as it was.
	for _, keda := range []string{"keda", "keda-operator"} {
		s.patch(keda, `{"spec": {"maxReplicaCount": 5}}`)
		s.mustApply(options)
		if got := maxReplicas(s, linux); got != 100 {
			s.t.Errorf("maxReplicaCount of %s stayed %d", keda, got)
		}
	}

	// But a user's field is not taken with it.
	s.patch(jobtemplate.Manager, `{"spec": {"maxReplicaCount": 4}}`)
	s.patch("kubectl-edit", `{"spec": {"pollingInterval": 60}}`)
	if err := s.apply(options); err == nil || !strings.Contains(err.Error(), "kubectl-edit") {
		s.t.Errorf("got %v", err)
	}
	if got := maxReplicas(s, linux); got != 4 {
		s.t.Errorf("it was forced: maxReplicaCount is %d", got)
	}
}

func maxReplicas(s *env, name string) int64 {
	s.t.Helper()
	n, _, err := unstructured.NestedInt64(s.get(name).Object, "spec", "maxReplicaCount")
	if err != nil {
		s.t.Fatal(err)
	}
	return n
}

// secretOfOthers has a Secret of the same name that is a user's.
func secretOfOthers(s *env) {
	options := s.options("linux")
	s.mustApply(options)
	if _, err := s.kube.CoreV1().Secrets(s.namespace).Patch(s.t.Context(), "azure-devops", "application/merge-patch+json",
		[]byte(`{"stringData": {"token": "theirs"}}`), metav1.PatchOptions{FieldManager: "theirs"}); err != nil {
		s.t.Fatal(err)
	}
	err := s.apply(options)
	if err == nil || !strings.Contains(err.Error(), ".data.token (by theirs)") || strings.Contains(err.Error(), token) {
		s.t.Errorf("got %v", err)
	}
	if got := string(s.secret().Data["token"]); got != "theirs" {
		s.t.Errorf("the user's token became %s", got)
	}
}

// deleting applies a ScaledJob that is on its way out, as of a pool that was
// taken out of the list and put back.
func deleting(s *env) {
	options := s.options("linux")
	s.mustApply(options)
	s.patch("test", `{"metadata": {"finalizers": ["example.com/held"]}}`)
	s.mustApply(s.options())
	if err := s.apply(options); err == nil || !strings.Contains(err.Error(), "it is being deleted") {
		s.t.Errorf("got %v", err)
	}
	s.patch("test", `{"metadata": {"finalizers": []}}`)
	s.eventually("it is created again", func(context.Context) bool { return s.apply(options) == nil })
	if finalizers := s.get(linux).GetFinalizers(); len(finalizers) > 0 {
		s.t.Errorf("the old one is still there, held by %v", finalizers)
	}
}

// fewRights applies as a user who may do no more than has to be.
func fewRights(s *env) {
	s.mustApply(s.options()) // makes the namespace
	s.allow("applier",
		rbacv1.PolicyRule{APIGroups: []string{"keda.sh"}, Resources: []string{"scaledjobs"}, Verbs: []string{"create", "patch", "list", "delete"}},
		rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{"secrets"}, Verbs: []string{"create", "patch"}},
	)
	s.config.Impersonate.UserName = "applier"
	s.eventually("the role is known", func(context.Context) bool { return s.apply(s.options("linux", "windows")) == nil })
	s.mustApply(s.options("linux"))
}

// noRights applies as somebody who may do nothing, to a namespace that exists.
func noRights(s *env) {
	s.mustApply(s.options("linux"))
	s.config.Impersonate.UserName = "nobody"
	err := s.apply(s.options("linux"))
	for _, want := range []string{"apply Secret no-rights/azure-devops: ", "apply ScaledJob no-rights/" + linux + ": ", "list ScaledJobs in no-rights: ", "is there a Role"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			s.t.Errorf("got %v, want %s", err, want)
		}
	}
}

// noNamespace may see that the namespace is missing, but not make it.
func noNamespace(s *env) {
	s.allow("viewer", rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{"namespaces"}, Verbs: []string{"get"}})
	options := s.options("linux")
	options.CreateNamespace = false
	if err := s.apply(options); err == nil || !strings.Contains(err.Error(), `namespaces "no-namespace" not found`) {
		s.t.Errorf("got %v", err)
	}
	options.CreateNamespace = true
	s.config.Impersonate.UserName = "viewer"
	s.eventually("it says that the namespace is missing", func(context.Context) bool {
		err := s.apply(options)
		return err != nil && strings.HasPrefix(err.Error(), "namespace no-namespace does not exist, and creating it is forbidden")
	})
}

// valid asks the API server whether it would take all kinds of what is made.
func valid(s *env) {
	s.mustApply(s.options())
	// A bare Job's pod is held to the restricted standard by the namespace.
	restricted := `{"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "restricted"}}}`
	if _, err := s.kube.CoreV1().Namespaces().Patch(s.t.Context(), s.namespace, types.MergePatchType, []byte(restricted), metav1.PatchOptions{}); err != nil {
		s.t.Fatal(err)
	}
	plain, docker, full := s.settings("linux"), s.settings("docker"), s.settings("Linux $(GPU) "+strings.Repeat("x", 200))
	docker.DockerSocketPath = "/run/docker.sock"
	full.Capabilities = map[string]string{"docker": ""}
	full.NodeSelector = map[string]string{"kubernetes.io/os": "linux"}
	full.Resources.Limits = corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("2048Mi")}
	full.Scaling.MinIdle = 1
	for settings, allowed := range map[*jobtemplate.Settings]bool{&plain: true, &docker: false, &full: true} {
		scaledJob, err := jobtemplate.Manifest(s.scaledJob(*settings))
		if err != nil {
			s.t.Fatal(err)
		}
		dryRun := metav1.ApplyOptions{FieldManager: "test", DryRun: []string{metav1.DryRunAll}}
		if _, err := s.scaledJobs().Apply(s.t.Context(), scaledJob.GetName(), scaledJob, dryRun); err != nil {
			s.t.Error(err)
		}
		job, err := jobtemplate.Job(*settings)
		if err != nil {
			s.t.Fatal(err)
		}
		job, err = s.kube.BatchV1().Jobs(s.namespace).Create(s.t.Context(), job, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
		if err != nil {
			s.t.Error(err)
			continue
		}
		pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: job.Name + "-xxxxx", Labels: job.Spec.Template.Labels}, Spec: job.Spec.Template.Spec}
		_, err = s.kube.CoreV1().Pods(s.namespace).Create(s.t.Context(), pod, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
		if got := err == nil; got != allowed {
			s.t.Errorf("pod of pool %s: %v", settings.Pool, err)
		}
	}
}

// TestWithoutKEDA applies to a cluster that does not know ScaledJobs.
func TestWithoutKEDA(t *testing.T) {
	plane := controlplane.ForTest(t, controlplane.Options{WithoutKEDA: true})
	s := newEnv(t, plane.Config(), "no-crd")
	crds := s.dynamic.Resource(schema.GroupVersionResource{Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"})
	if err := crds.Delete(t.Context(), "scaledjobs.keda.sh", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	s.eventually("it asks for KEDA", func(context.Context) bool {
		err := s.apply(s.options("linux"))
		return err != nil && strings.Contains(err.Error(), "is KEDA installed")
	})
	// Jobs without KEDA still get what they need.
	applier, err := apply.New(s.config, s.options("linux"))
	if err != nil {
		t.Fatal(err)
	}
	if err := applier.Prepare(t.Context()); err != nil {
		t.Error(err)
	}
	s.secret()
}
