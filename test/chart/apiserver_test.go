package chart_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/restmapper"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/test/controlplane"
)

// cluster is an API server, and clients with all rights.
type apiServer struct {
	t       *testing.T
	config  *rest.Config
	kube    kubernetes.Interface
	dynamic dynamic.Interface
	kinds   meta.RESTMapper // nil until it is needed
}

func newAPIServer(t *testing.T, config *rest.Config) *apiServer {
	t.Helper()
	kube, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	custom, err := dynamic.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	return &apiServer{t: t, config: config, kube: kube, dynamic: custom}
}

// namespace makes a namespace that enforces the restricted pod security
// standard.
func (c *apiServer) namespace(name string) {
	c.t.Helper()
	labels := map[string]string{"pod-security.kubernetes.io/enforce": "restricted"}
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels}}
	_, err := c.kube.CoreV1().Namespaces().Create(c.t.Context(), namespace, metav1.CreateOptions{})
	if err != nil && !apierrors.IsAlreadyExists(err) {
		c.t.Fatal(err)
	}
}

// resource finds where objects of a kind are; ok is false if the cluster does
// not know the kind.
func (c *apiServer) resource(object *unstructured.Unstructured) (client dynamic.ResourceInterface, ok bool) {
	c.t.Helper()
	if c.kinds == nil {
		groups, err := restmapper.GetAPIGroupResources(discovery.NewDiscoveryClient(c.kube.CoreV1().RESTClient()))
		if err != nil {
			c.t.Fatal(err)
		}
		c.kinds = restmapper.NewDiscoveryRESTMapper(groups)
	}
	kind := object.GroupVersionKind()
	mapping, err := c.kinds.RESTMapping(kind.GroupKind(), kind.Version)
	if err != nil {
		return nil, false
	}
	return c.dynamic.Resource(mapping.Resource).Namespace(object.GetNamespace()), true
}

// create creates an object; unknown fields are errors.
func (c *apiServer) create(object *unstructured.Unstructured, dryRun ...string) error {
	c.t.Helper()
	client, ok := c.resource(object)
	if !ok {
		return errors.New("there is no such kind")
	}
	_, err := client.Create(c.t.Context(), object, metav1.CreateOptions{DryRun: dryRun, FieldValidation: metav1.FieldValidationStrict})
	return err
}

func (c *apiServer) apply(list ...*unstructured.Unstructured) {
	c.t.Helper()
	for _, object := range list {
		if err := c.create(object); err != nil {
			c.t.Fatalf("%s %s: %v", object.GetKind(), object.GetName(), err)
		}
	}
}

// patience bounds each wait.
const patience = 2 * time.Minute

// eventually waits until check finds no problem.
func (c *apiServer) eventually(check func(context.Context) (problem string)) {
	c.t.Helper()
	c.within(patience, check)
}

func (c *apiServer) within(bound time.Duration, check func(context.Context) (problem string)) {
	c.t.Helper()
	ticker := time.NewTicker(50 * time.Millisecond)
	defer ticker.Stop()
	deadline := time.After(bound)
	for {
		problem := check(c.t.Context())
		if problem == "" {
			return
		}
		select {
		case <-ticker.C:
		case <-deadline:
			c.t.Fatal(problem)
		}
	}
}

// TestOnCluster tries what the chart renders on a real API server.
func TestOnCluster(t *testing.T) {
	plane := controlplane.ForTest(t, controlplane.Options{WithoutKEDA: true})
	c := newAPIServer(t, plane.Config())
	for name, values := range examples(t) {
		t.Run("valid/"+name, func(t *testing.T) { newAPIServer(t, plane.Config()).valid(values) })
	}
	for name, text := range map[string]string{"minimal": "minimal.yaml", "older": "older.yaml"} {
		t.Run("manifests/"+name, func(t *testing.T) {
			c := newAPIServer(t, plane.Config())
			c.namespace("ado-agent-orchestrator")
			c.namespace("ado")
			c.validObjects(objects(t, read(t, manifestsDir+text)))
			c.confined(objects(t, read(t, manifestsDir+text)))
		})
	}
	c.namespace("ado")
	c.namespace("builds")
	for _, test := range rights {
		t.Run("rights/"+test.name, func(t *testing.T) { newAPIServer(t, plane.Config()).rights(test) })
	}
	t.Run("any value", func(t *testing.T) { newAPIServer(t, plane.Config()).anyValue() })
	t.Run("restarts by authorities", func(t *testing.T) { newAPIServer(t, plane.Config()).restartsByAuthorities() })
	t.Run("restarts by variables", func(t *testing.T) { newAPIServer(t, plane.Config()).restartsByVariables() })
	t.Run("administrator of the namespace", func(t *testing.T) { newAPIServer(t, plane.Config()).installsAsAdministrator() })
	t.Run("KEDA is found", func(t *testing.T) { newAPIServer(t, plane.Config()).findsKEDA() })
}

// findsKEDA installs KEDA's Deployment in an unusual namespace, then in a usual one.
func (c *apiServer) findsKEDA() {
	for _, step := range []struct{ namespace, want string }{
		{"", "[keda kube-system openshift-keda]"}, {"autoscaling", "[autoscaling]"}, {"keda", "[keda]"},
	} {
		if step.namespace != "" {
			c.namespace(step.namespace)
			labels := map[string]any{"app": "keda-operator"}
			c.apply(&unstructured.Unstructured{Object: map[string]any{
				"apiVersion": "apps/v1", "kind": "Deployment", "metadata": map[string]any{"namespace": step.namespace, "name": "keda-operator"},
				"spec": map[string]any{
					"selector": map[string]any{"matchLabels": labels},
					"template": map[string]any{
						"metadata": map[string]any{"labels": labels},
						"spec":     map[string]any{"containers": []any{map[string]any{"name": "keda", "image": "keda"}}},
					},
				},
			}})
		}
		policy := typedAs(c.t, ofKind(c.render(parse(c.t, basis)), "NetworkPolicy")[0], &networkingv1.NetworkPolicy{})
		got := policy.Spec.Ingress[0].From[0].NamespaceSelector.MatchExpressions[0].Values
		if fmt.Sprint(got) != step.want {
			c.t.Errorf("with KEDA in %q, %v may ask the scaler, want %s", step.namespace, got, step.want)
		}
	}
}

// elsewhere are the kinds that the cluster does not know: neither the
// Prometheus operator nor cert-manager is there.
var elsewhere = []string{"monitoring.coreos.com", "cert-manager.io"}

func (c *apiServer) valid(values map[string]any) {
	c.namespace("ado")
	c.namespace("builds")
	c.validObjects(render(c.t, values))
}

// validObjects asks the API server whether it takes these objects.
func (c *apiServer) validObjects(list []*unstructured.Unstructured) {
	c.t.Helper()
	if len(list) == 0 {
		c.t.Fatal("there are no objects")
	}
	for _, object := range list {
		if group := object.GroupVersionKind().Group; slices.Contains(elsewhere, group) {
			c.t.Logf("%s %s: not tried, since there is no %s here", object.GetKind(), object.GetName(), group)
			continue
		}
		if err := c.create(object, metav1.DryRunAll); err != nil && !apierrors.IsAlreadyExists(err) {
			c.t.Errorf("%s %s: %v", object.GetKind(), object.GetName(), err)
		}
		misspelt := object.DeepCopy()
		misspelt.Object["metadate"] = map[string]any{}
		if err := c.create(misspelt, metav1.DryRunAll); !apierrors.IsBadRequest(err) {
			c.t.Errorf("%s: the API server takes anything", object.GetKind())
		}
		c.validPod(object)
	}
}

// validPod asks whether the pod of a Deployment or an agent may run.
func (c *apiServer) validPod(object *unstructured.Unstructured) {
	c.t.Helper()
	var template map[string]any
	switch object.GetKind() {
	case "Deployment":
		template, _, _ = unstructured.NestedMap(object.Object, "spec", "template")
	case "ScaledJob":
		template, _, _ = unstructured.NestedMap(object.Object, "spec", "jobTargetRef", "template")
	default:
		return
	}
	pod := podFrom(object, template)
	withoutClasses(template)
	err := c.create(pod, metav1.DryRunAll)
	if allowed := !unrestricted[object.GetName()]; allowed != (err == nil) {
		c.t.Errorf("pod of %s %s: %v", object.GetKind(), object.GetName(), err)
	}
}

// withoutClasses removes from a pod the classes that have to exist.
func withoutClasses(pod map[string]any) {
	unstructured.RemoveNestedField(pod, "spec", "priorityClassName")
	unstructured.RemoveNestedField(pod, "spec", "runtimeClassName")
}

func podFrom(owner *unstructured.Unstructured, template map[string]any) *unstructured.Unstructured {
	pod := &unstructured.Unstructured{Object: template}
	pod.SetAPIVersion("v1")
	pod.SetKind("Pod")
	pod.SetNamespace(owner.GetNamespace())
	pod.SetName(owner.GetName() + "-xxxxx")
	return pod
}

// unrestricted are the ScaledJobs of the examples that say they are.
var unrestricted = map[string]bool{"linux-docker": true, "windows-build": true}
