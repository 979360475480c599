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
