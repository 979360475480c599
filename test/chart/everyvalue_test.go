package chart_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	kedav1alpha1 "github.com/kedacore/keda/v2/apis/keda/v1alpha1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// trials are what a value is set to, by the kind of its default: values of its kind
// that are hard to render, and values of other kinds.
var trials = map[string][]any{
	"text": {
		"", "123", "true", strings.Repeat("x", 300), `it's "quoted"`, "line\nbreak: - {{ x", "#x: $(HOME)", "-",
		7,
		[]any{"x"},
		map[string]any{"x": "y"},
	},
	"number":  {0, -1, 99, 2147483648, 1.5, "7", true, map[string]any{}},
	"boolean": {true, false, "true", 1, map[string]any{}},
	"list": {
		[]any{},
		[]any{nil},
		[]any{"a \"b\"\nc"},
		[]any{7},
		[]any{map[string]any{}},
		[]any{map[string]any{"name": "x"}},
		[]any{map[string]any{"name": "x", "image": "x", "value": "a\n\"b\""}},
		[]any{map[string]any{"name": "X y", "mountPath": "{{ x"}},
		[]any{"x"},
		"x",
		map[string]any{"x": "y"},
	},
	"mapping": {
		map[string]any{"x": "y"},
		map[string]any{"true": "123"},
		map[string]any{"x": nil},
		map[string]any{"x": 7},
		map[string]any{`a "b"`: "c"},
		map[string]any{"x": "c\nd: {{ e"},
		map[string]any{strings.Repeat("x", 300): "y"},
		map[string]any{"name": "x"},
		map[string]any{"spec": map[string]any{}, "metadata": map[string]any{}},
		map[string]any{"limits": map[string]any{"cpu": 1}},
		map[string]any{},
		"x",
		[]any{"x"},
	},
}

func kindOf(value any) string {
	switch value.(type) {
	case string:
		return "text"
	case bool:
		return "boolean"
	case []any:
		return "list"
	case map[string]any:
		return "mapping"
	default:
		return "number"
	}
}

// trial is one value that is tried, and what is rendered then.
type trial struct {
	path    string
	value   any
	objects []*unstructured.Unstructured
}

// tried renders the trials of every value, and yields those that are accepted. If yield
// returns false, the next value is tried.
func tried(t *testing.T, yield func(trial) (more bool)) {
	t.Helper()
	refused, accepted := 0, 0
	for path, preset := range presets(t) {
		for _, value := range trials[kindOf(preset)] {
			rendered, err := files(t, everything(t, path, value))
			if err != nil {
				refused++
				inWords(t, path, value, err)
				continue
			}
			if items, _ := value.([]any); path == "extraObjects" && len(items) > 0 && kindOf(items[0]) == "text" {
				continue // the user's manifests
			}
			accepted++
			if !yield(trial{path, value, objects(t, manifests(rendered))}) {
				break
			}
		}
	}
	if refused < 100 || accepted < 100 {
		t.Errorf("%d trials were refused, %d accepted", refused, accepted)
	}
}

// everything are values that make the templates use the one at the path.
func everything(t *testing.T, path string, value any) map[string]any {
	t.Helper()
	values := parse(t, basis+`
agentPools: [{pool: linux, isolateCredential: true}]
replicaCount: 2
proxy: {https: "http://proxy.example.com:3128"}
ca: {existingConfigMap: company-ca}
metrics: {serviceMonitor: {enabled: true}, prometheusRule: {enabled: true}, dashboard: {enabled: true}}
agentServiceAccount: {create: true}
tls: {mode: secret, existingSecret: a, existingClientSecret: b}
`)
	if path == "tls.issuerRef" || path == "tls.clientDuration" {
		values["tls"] = map[string]any{"mode": "cert-manager", "issuerRef": map[string]any{"name": "x"}}
	}
	if name, ok := strings.CutPrefix(path, "agentPools[0]."); ok {
		put(values["agentPools"].([]any)[0].(map[string]any), name, value)
	} else if path != "" {
		put(values, path, value)
	}
	return values
}

// presets are all values with their defaults, and those of an item of agentPools.
func presets(t *testing.T) map[string]any {
	t.Helper()
	all := map[string]any{
		"agentPools[0].pool": "", "agentPools[0].name": "", "agentPools[0].organizationURL": "", "agentPools[0].paused": false,
	}
	values := parse(t, read(t, chartDir+"/values.yaml"))
	for _, v := range valuesOf(t) {
		var preset any = values
		for name := range strings.SplitSeq(v.key, ".") {
			preset = preset.(map[string]any)[name]
		}
		all[v.key] = preset
		if name, ok := strings.CutPrefix(v.key, "agents."); ok {
			all["agentPools[0]."+name] = preset
		}
	}
	return all
}

// inWords wants a refusal to be the schema's or the chart's, not that of a template
// which could not be executed.
func inWords(t *testing.T, path string, value any, err error) {
	t.Helper()
	text := err.Error()
	meant := strings.Contains(text, "The values cannot be used:\n- ") || strings.Contains(text, "values don't meet the specifications of the schema")
	if path == "extraObjects" { // the user's templates
		meant = meant || !strings.Contains(text, "nil pointer")
	}
	if !meant {
		t.Errorf("%s: %#v: %v", path, value, err)
	}
}

// typed are the kinds that are read strictly.
func typed(kind string) any {
	switch kind {
	case "Deployment":
		return &appsv1.Deployment{}
	case "Pod":
		return &corev1.Pod{}
	case "Service":
		return &corev1.Service{}
	case "ServiceAccount":
		return &corev1.ServiceAccount{}
	case "ConfigMap":
		return &corev1.ConfigMap{}
	case "Role":
		return &rbacv1.Role{}
	case "RoleBinding":
		return &rbacv1.RoleBinding{}
	case "ClusterRole":
		return &rbacv1.ClusterRole{}
	case "ClusterRoleBinding":
		return &rbacv1.ClusterRoleBinding{}
	case "NetworkPolicy":
		return &networkingv1.NetworkPolicy{}
	case "PodDisruptionBudget":
		return &policyv1.PodDisruptionBudget{}
	case "ScaledJob":
		return &kedav1alpha1.ScaledJob{}
	case "TriggerAuthentication":
		return &kedav1alpha1.TriggerAuthentication{}
	default: // of others
		return &map[string]any{}
	}
}

// TestEveryValue sets each value to what it can and cannot be. Either the refusal is
// in words, or the objects have known fields alone, and names, labels and annotations
// that Kubernetes accepts.
func TestEveryValue(t *testing.T) {
	tried(t, func(trial trial) bool {
		for _, object := range trial.objects {
			if trial.path == "extraObjects" && object.GetKind() == "" {
				continue // the user's
			}
			for _, problem := range unacceptable(t, object) {
				t.Errorf("%s: %#v: %s %s: %v", trial.path, trial.value, object.GetKind(), object.GetName(), problem)
			}
		}
		return true
	})
}

// unacceptable lists what Kubernetes would refuse in an object, as far as that is known
// without an API server.
func unacceptable(t *testing.T, object *unstructured.Unstructured) (problems []error) {
	t.Helper()
	data, err := json.Marshal(object)
	if err != nil {
		t.Fatal(err)
	}
	into := typed(object.GetKind())
	decoder := json.NewDecoder(strings.NewReader(string(data)))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(into); err != nil {
		return []error{err}
	}
	for _, problem := range badMetadata(object, into) {
		problems = append(problems, problem)
	}
	return problems
}

// badMetadata finds what Kubernetes refuses in the metadata of an object and its pods.
func badMetadata(object *unstructured.Unstructured, into any) field.ErrorList {
	list := validation.ValidateObjectMetaAccessor(object, object.GetNamespace() != "", validation.NameIsDNSSubdomain, field.NewPath("metadata"))
	var template *metav1.ObjectMeta
	switch o := into.(type) {
	case *appsv1.Deployment:
		template = &o.Spec.Template.ObjectMeta
	case *kedav1alpha1.ScaledJob:
		template = &o.Spec.JobTargetRef.Template.ObjectMeta
	default:
		return list
	}
	pod := template.DeepCopy()
	pod.Name, pod.Namespace = "pod", "ado"
	return append(list, validation.ValidateObjectMeta(pod, true, validation.NameIsDNSSubdomain, field.NewPath("template", "metadata"))...)
}

// anyValue tries on a cluster what the chart renders for the first accepted trial of
// each value that changes something.
func (c *apiServer) anyValue() {
	c.namespace("ado")
	known := map[string]bool{}
	for _, object := range render(c.t, everything(c.t, "", nil)) {
		known[text(object)] = true
	}
	dry := 0
	tried(c.t, func(trial trial) bool {
		changed := slices.DeleteFunc(slices.Clone(trial.objects), func(o *unstructured.Unstructured) bool { return known[text(o)] })
		for _, object := range changed {
			known[text(object)] = true
			if slices.Contains(elsewhere, object.GroupVersionKind().Group) || object.GetNamespace() != "ado" || trial.path == "extraObjects" {
				continue
			}
			dry++
			withoutClasses(object.Object)
			if err := c.create(object, metav1.DryRunAll); err != nil {
				c.t.Errorf("%s: %#v: %s %s: %v", trial.path, trial.value, object.GetKind(), object.GetName(), err)
			}
		}
		return len(changed) == 0
	})
	if dry < 50 {
		c.t.Errorf("only %d objects were tried", dry)
	}
}

func text(object *unstructured.Unstructured) string { return fmt.Sprint(object.Object) }
