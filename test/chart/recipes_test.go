package chart_test

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
)

// TestRecipes renders the values that the agent image's README has for building
// container images, and wants KEDA's and Kubernetes' types to know every field.
func TestRecipes(t *testing.T) {
	found := 0
	for _, block := range strings.Split(read(t, "../../linux/README.md"), "```yaml\n")[1:] {
		text, _, _ := strings.Cut(block, "```")
		if !strings.HasPrefix(text, "agents:") {
			continue
		}
		found++
		pod := scaledJobs(t, render(t, parse(t, basis+text+"agentPools: [{pool: linux}]\n")))[0].Spec.JobTargetRef.Template.Spec
		sidecar := pod.InitContainers[0]
		if sidecar.RestartPolicy == nil || *sidecar.RestartPolicy != corev1.ContainerRestartPolicyAlways || sidecar.StartupProbe == nil {
			t.Errorf("the sidecar is %+v", sidecar)
		}
		for _, mount := range sidecar.VolumeMounts { // what it shares with the agent
			shared := false
			for _, other := range pod.Containers[0].VolumeMounts {
				shared = shared || other == mount
			}
			if !shared {
				t.Errorf("the agent does not mount %+v", mount)
			}
		}
	}
	if found != 2 {
		t.Errorf("%d recipes", found)
	}
}
