package chart_test

import (
	"maps"
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// TestClusterChoosesUser has no pod ask for a user or group, unless the values say
// so: OpenShift's restricted security context constraints choose them, and refuse
// pods that name others. That both images run so is tried in .ci/images.
func TestClusterChoosesUser(t *testing.T) {
	rendered := render(t, parse(t, basis+"agentPools: [{pool: linux}, {pool: isolated, isolateCredential: true}]"))
	for name, list := range map[string][]*unstructured.Unstructured{
		"chart": rendered, "minimal.yaml": objects(t, read(t, manifestsDir+"minimal.yaml")),
	} {
		pods := 0
		for _, object := range list {
			path := map[string][]string{
				"Deployment": {"spec", "template"}, "ScaledJob": {"spec", "jobTargetRef", "template"},
			}[object.GetKind()]
			if path == nil {
				continue
			}
			template, _, err := unstructured.NestedMap(object.Object, path...)
			if err != nil {
				t.Fatal(err)
			}
			pods++
			pod := typedAs(t, &unstructured.Unstructured{Object: template}, &corev1.Pod{}).Spec
			for _, field := range chosen(&pod) {
				t.Errorf("%s, %s %s: %s is set", name, object.GetKind(), object.GetName(), field)
			}
		}
		if pods < 2 {
			t.Errorf("%s has %d pods", name, pods)
		}
	}
}

// chosen returns the fields of a pod that say who runs it.
func chosen(pod *corev1.PodSpec) []string {
	set := map[string]bool{}
	if c := pod.SecurityContext; c != nil {
		set["runAsUser"], set["runAsGroup"] = c.RunAsUser != nil, c.RunAsGroup != nil
		set["fsGroup"], set["supplementalGroups"] = c.FSGroup != nil, c.SupplementalGroups != nil
		set["seLinuxOptions"] = c.SELinuxOptions != nil
	}
	for _, container := range slices.Concat(pod.InitContainers, pod.Containers) {
		if c := container.SecurityContext; c != nil {
			set[container.Name+"'s runAsUser"], set[container.Name+"'s runAsGroup"] = c.RunAsUser != nil, c.RunAsGroup != nil
			set[container.Name+"'s seLinuxOptions"] = c.SELinuxOptions != nil
		}
	}
	maps.DeleteFunc(set, func(_ string, is bool) bool { return !is })
	return slices.Sorted(maps.Keys(set))
}
