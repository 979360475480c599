package chart_test

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/test/cluster"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/test/components"
)

const manifestsDir = "../../deploy/manifests/"

// TestManifest holds the plain YAML to what the chart renders.
func TestManifest(t *testing.T) {
	plain := objects(t, read(t, manifestsDir+"minimal.yaml"))
	values := examples(t)["minimal"]
	// The plain YAML is for every KEDA.
	values["keda"] = map[string]any{"version": components.KEDAVersions()[0]}
	chart := render(t, values)

	want, got := scaledJobs(t, chart)[0], scaledJobs(t, plain)[0]
	if diff := cmp.Diff(want.Spec, got.Spec); diff != "" {
		t.Errorf("ScaledJob, -chart +plain:\n%s", diff)
	}
	if diff := cmp.Diff(ofKind(chart, "PodDisruptionBudget")[0].Object["spec"], ofKind(plain, "PodDisruptionBudget")[0].Object["spec"]); diff != "" {
		t.Errorf("PodDisruptionBudget, -chart +plain:\n%s", diff)
	}
	if n := len(ofKind(chart, "Role")); n != 2 || len(ofKind(chart, "ClusterRole")) != 0 {
		t.Fatalf("the chart has %d Roles", n)
	}
	for i, role := range ofKind(chart, "Role") {
		want := typedAs(t, role, &rbacv1.Role{})
		got := typedAs(t, ofKind(plain, "Role")[i], &rbacv1.Role{})
		if diff := cmp.Diff(want.Rules, got.Rules); diff != "" {
			t.Errorf("Role %d, -chart +plain:\n%s", i, diff)
		}
	}
	// Settings that plain YAML leaves out have the program's defaults.
	pods := [2]corev1.PodSpec{}
	for i, list := range [][]*unstructured.Unstructured{chart, plain} {
		pods[i] = typedAs(t, ofKind(list, "Deployment")[0], &appsv1.Deployment{}).Spec.Template.Spec
		pods[i].Volumes, pods[i].Containers[0].VolumeMounts, pods[i].Containers[0].Env = nil, nil, nil
	}
	if diff := cmp.Diff(pods[0], pods[1]); diff != "" {
		t.Errorf("Deployment, -chart +plain:\n%s", diff)
	}
}

// confined checks that the namespace of the scaler, as the manifest makes it, takes its
// pod and refuses one that may become root.
func (c *apiServer) confined(list []*unstructured.Unstructured) {
	c.t.Helper()
	deployment := ofKind(list, "Deployment")[0]
	i := slices.IndexFunc(list, func(o *unstructured.Unstructured) bool {
		return o.GetKind() == "Namespace" && o.GetName() == deployment.GetNamespace()
	})
	if i < 0 {
		c.t.Fatalf("the manifest does not make the namespace %s", deployment.GetNamespace())
	}
	namespace := list[i].DeepCopy()
	namespace.SetName("confined-" + namespace.GetName()) // the examples have made the other
	c.apply(namespace)
	deployment.SetNamespace(namespace.GetName())
	for _, root := range []bool{false, true} {
		template, _, _ := unstructured.NestedMap(deployment.Object, "spec", "template")
		if root {
			containers, _, _ := unstructured.NestedSlice(template, "spec", "containers")
			delete(containers[0].(map[string]any), "securityContext")
			if err := unstructured.SetNestedSlice(template, containers, "spec", "containers"); err != nil {
				c.t.Fatal(err)
			}
		}
		if err := c.create(podFrom(deployment, template), metav1.DryRunAll); apierrors.IsForbidden(err) != root || !root && err != nil {
			c.t.Errorf("pod in the scaler's namespace, with the rights of root %t: %v", root, err)
		}
	}
}

// older runs the older orchestrator's Deployment with its rights.
func older(s *env) {
	list := objects(s.t, read(s.t, manifestsDir+"older.yaml"))
	for _, object := range list {
		if object.GetKind() == "Namespace" {
			continue
		}
		if object.GetNamespace() != "" {
			object.SetNamespace(s.Namespace)
		}
		if subjects, found, _ := unstructured.NestedSlice(object.Object, "subjects"); found {
			subjects[0].(map[string]any)["namespace"] = s.Namespace
			object.Object["subjects"] = subjects
		}
		s.put(object)
	}
	// As its comment says.
	secret := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "v1", "kind": "Secret", "stringData": map[string]any{"pat": cluster.AgentsPAT},
	}}
	secret.SetNamespace(s.Namespace)
	secret.SetName("azure-devops")
	s.put(secret)
	s.runDeployment(ofKind(list, "Deployment")[0], map[string]string{
		"ORG_URL": s.Azure.URL(), "AGENT_POOLS": cluster.Pool, "JOB_IMAGE": cluster.AgentImage, "JOB_NAMESPACE": s.Namespace,
	})
	s.done(s.queue(cluster.Pool, 2, time.Second))
	if n := len(s.jobs()); n != 2 {
		s.t.Errorf("%d Jobs for 2 requests", n)
	}
	s.quiet()
}
