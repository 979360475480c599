package chart_test

import (
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/util/validation"
)

// TestObjectNames wants names that Kubernetes accepts, whatever the release is called.
func TestObjectNames(t *testing.T) {
	for _, test := range []struct{ release, values, want string }{
		{"builds", "", "builds-ado-agent-orchestrator"},
		{"ado-agent-orchestrator-2", "", "ado-agent-orchestrator-2"},
		{"a.b", "", "a-b-ado-agent-orchestrator"},
		{"ado-agent-orchestrator.2", "", "ado-agent-orchestrator-2"},
		{strings.Repeat("a", 38) + "--b", "", strings.Repeat("a", 38)},
		{strings.Repeat("a", 38) + "..b", "", strings.Repeat("a", 38)},
		{"builds", "fullnameOverride: a" + strings.Repeat("-", 50) + "b", "a"},
		{"builds", "nameOverride: a" + strings.Repeat("-", 50) + "b", "builds-a"},
		{strings.Repeat("a", 53), "", strings.Repeat("a", 40)},
	} {
		of := release
		of.Name = test.release
		rendered, err := filesOf(t, parse(t, watched+test.values), of)
		if err != nil {
			t.Errorf("release %s, %s: %v", test.release, test.values, err)
			continue
		}
		list := objects(t, manifests(rendered))
		service := ofKind(list, "Service")[0].GetName()
		if problems := validation.IsDNS1035Label(service); service != test.want || len(problems) > 0 {
			t.Errorf("release %s, %s: the Service is %s, want %s: %v", test.release, test.values, service, test.want, problems)
		}
		for _, object := range list {
			for _, problem := range unacceptable(t, object) {
				t.Errorf("release %s, %s: %s %s: %v", test.release, test.values, object.GetKind(), object.GetName(), problem)
			}
		}
	}
}
