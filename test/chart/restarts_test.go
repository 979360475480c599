package chart_test

import (
	"maps"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// podOf returns the annotations of the scaler's pods, a change of which restarts it.
func podOf(t *testing.T, list []*unstructured.Unstructured) map[string]string {
	t.Helper()
	return deployment(t, list).Spec.Template.Annotations
}

// TestRestarts changes settings in the ConfigMap of organizations, which the scaler
// reads at its start, and what it does not read.
func TestRestarts(t *testing.T) {
	const one, two = `
organizations:
  - {url: https://dev.azure.com/contoso, existingSecret: contoso}
  - {url: https://dev.azure.com/`, `, existingSecret: fabrikam}
`
	before := podOf(t, render(t, parse(t, one+"fabrikam"+two)))
	for _, test := range []struct {
		name, values string
		restarts     bool
	}{
		{"nothing", one + "fabrikam" + two, false},
		{"what agents read", one + "fabrikam" + two + "agents: {env: [{name: A, value: b}]}", false},
		{"an organization", one + "northwind" + two, true},
		{"annotations of pods", one + "fabrikam" + two + "podAnnotations: {a: b}", true},
	} {
		after := podOf(t, render(t, parse(t, test.values)))
		if restarts := !maps.Equal(before, after); restarts != test.restarts {
			t.Errorf("%s changes, and restarts the scaler: %t, want %t: %v", test.name, restarts, test.restarts, after)
		}
	}
	if len(before) != 1 {
		t.Errorf("annotations are %v", before)
	}
}

// restartsByAuthorities changes the ConfigMap of certificate authorities, which the
// scaler reads at its start.
func (c *apiServer) restartsByAuthorities() {
	configMaps := c.kube.CoreV1().ConfigMaps("ado")
	authorities := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "company-ca"}, Data: map[string]string{"ca.crt": "a", "other": "a"}}
	if _, err := configMaps.Create(c.t.Context(), authorities, metav1.CreateOptions{}); err != nil {
		c.t.Fatal(err)
	}
	sums := func() string {
		return podOf(c.t, c.render(parse(c.t, basis+"ca: {existingConfigMap: company-ca}")))["checksum/ca"]
	}
	before := sums()
	for _, change := range []struct {
		key      string
		restarts bool
	}{{"other", false}, {"ca.crt", true}} {
		authorities.Data[change.key] = "b"
		if _, err := configMaps.Update(c.t.Context(), authorities, metav1.UpdateOptions{}); err != nil {
			c.t.Fatal(err)
		}
		if after := sums(); before == "" || (after != before) != change.restarts {
			c.t.Errorf("%s has changed, and the checksum from %q to %q", change.key, before, after)
		}
	}
}

// restartsByVariables changes the Secrets and ConfigMaps of the scaler's variables.
func (c *apiServer) restartsByVariables() {
	sources := []variables{{"Secret", "of-env"}, {"Secret", "of-env-from"}, {"ConfigMap", "of-env"}, {"ConfigMap", "of-env-from"}}
	for _, source := range sources {
		c.apply(source.object("a"))
	}
	sum := func() string {
		return podOf(c.t, c.render(parse(c.t, basis+`
env:
  - {name: A, valueFrom: {secretKeyRef: {name: of-env, key: key}}}
  - {name: B, valueFrom: {configMapKeyRef: {name: of-env, key: key}}}
  - {name: C, value: c}
envFrom: [{secretRef: {name: of-env-from}}, {configMapRef: {name: of-env-from}, prefix: X_}, {secretRef: {name: absent, optional: true}}]
`)))["checksum/env"]
	}
	before := sum()
	if again := sum(); before == "" || again != before {
		c.t.Errorf("the checksum is %q, then %q", before, again)
	}
	for _, source := range sources {
		changed := source.object("b")
		resource, _ := c.resource(changed)
		if _, err := resource.Update(c.t.Context(), changed, metav1.UpdateOptions{}); err != nil {
			c.t.Fatal(err)
		}
		after := sum()
		if after == before {
			c.t.Errorf("%s %s has changed, and the checksum has not", source.kind, source.name)
		}
		before = after
	}
}

// variables are a Secret or ConfigMap of the scaler's variables.
type variables struct{ kind, name string }

func (v variables) object(value string) *unstructured.Unstructured {
	field := "data"
	if v.kind == "Secret" {
		field = "stringData"
	}
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "v1", "kind": v.kind, "metadata": map[string]any{"namespace": "ado", "name": v.name}, field: map[string]any{"key": value},
	}}
}
