package chart_test

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	kedav1alpha1 "github.com/kedacore/keda/v2/apis/keda/v1alpha1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	schedulingv1 "k8s.io/api/scheduling/v1"
)

// TestWarmNodes wants pods that take as much room as an agent on the same nodes, pull
// its image, and make way for it.
func TestWarmNodes(t *testing.T) {
	for name, isolate := range map[string]string{"plain": "false", "isolated": "true"} {
		t.Run(name, func(t *testing.T) {
			list := render(t, parse(t, basis+`
imagePullSecrets: [{name: registry}]
agentPools:
- pool: linux
  max: 7
  image: {repository: registry.example.com/agent, tag: "3", pullPolicy: Always}
  isolateCredential: `+isolate+`
  resources: {requests: {cpu: "2", memory: 4Gi}, limits: {memory: 8Gi}}
  sidecars:
  - {name: docker, image: docker:dind, resources: {requests: {cpu: "1", memory: 2Gi}}}
  - {name: light, image: busybox}
  nodeSelector: {disk: ssd}
  tolerations: [{key: builds, operator: Exists}]
  affinity: {podAntiAffinity: {}}
  runtimeClassName: gvisor
  podTemplate: {spec: {schedulerName: packer}}
  warmNodes:
    min: 1
    timeZone: Europe/Berlin
    periods: [{days: Mon-Fri, from: "07:30", to: "18:00", minIdle: 3}]
`))
			agent := scaledJobs(t, list)[0].Spec.JobTargetRef.Template.Spec
			var pod corev1.PodSpec
			for _, object := range ofKind(list, "Deployment") {
				if object.GetName() == "agent-job-linux-nodes" {
					pod = typedAs(t, object, &appsv1.Deployment{}).Spec.Template.Spec
				}
			}
			place := func(s corev1.PodSpec) corev1.PodSpec {
				return corev1.PodSpec{
					NodeSelector: s.NodeSelector, Tolerations: s.Tolerations, Affinity: s.Affinity, ImagePullSecrets: s.ImagePullSecrets,
					SecurityContext: s.SecurityContext, RuntimeClassName: s.RuntimeClassName, SchedulerName: s.SchedulerName,
				}
			}
			if diff := cmp.Diff(place(agent), place(pod)); diff != "" {
				t.Errorf("-agent +pod:\n%s", diff)
			}
			if diff := cmp.Diff(requested(agent), requested(pod)); diff != "" {
				t.Errorf("requests: -agent +pod:\n%s", diff)
			}
			if got, want := pod.Containers[0], agent.Containers[0]; got.Image != want.Image || got.ImagePullPolicy != want.ImagePullPolicy {
				t.Errorf("the pods run %s (%s), agents %s (%s)", got.Image, got.ImagePullPolicy, want.Image, want.ImagePullPolicy)
			}
			class := typedAs(t, ofKind(list, "PriorityClass")[0], &schedulingv1.PriorityClass{})
			if class.Value >= 0 || class.Value < -10 || class.PreemptionPolicy == nil || *class.PreemptionPolicy != corev1.PreemptNever || pod.PriorityClassName != class.Name || class.Name != "ado-agent-orchestrator-ado-nodes" {
				t.Errorf("the pods' class is %q, and there is %+v", pod.PriorityClassName, class)
			}
			scaled := typedAs(t, ofKind(list, "ScaledObject")[0], &kedav1alpha1.ScaledObject{})
			want := map[string]string{
				"scalerAddress": "ado-agent-orchestrator.ado.svc:9090", "organizationURL": "https://dev.azure.com/contoso", "poolName": "linux",
				"count": "scheduled", "minIdle": "1", "warm": "Mon-Fri 07:30-18:00 3", "warmTimeZone": "Europe/Berlin",
			}
			if diff := cmp.Diff(want, scaled.Spec.Triggers[0].Metadata); diff != "" || *scaled.Spec.MaxReplicaCount != 7 {
				t.Errorf("up to %d, %s", *scaled.Spec.MaxReplicaCount, diff)
			}
		})
	}
}

// requested is what the containers and sidecars of a pod request together.
func requested(pod corev1.PodSpec) map[string]string {
	sum := corev1.ResourceList{}
	for _, container := range slices.Concat(pod.InitContainers, pod.Containers) {
		for name, quantity := range container.Resources.Requests {
			total := sum[name]
			total.Add(quantity)
			sum[name] = total
		}
	}
	texts := map[string]string{}
	for name, quantity := range sum {
		texts[string(name)] = quantity.String()
	}
	return texts
}
