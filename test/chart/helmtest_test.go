package chart_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
)

// TestTestPods wants one container in each pod of helm test: helm test --logs of Helm 3
// shows those logs alone, and only if the pod is still there.
func TestTestPods(t *testing.T) {
	pods := ofKind(render(t, parse(t, basis+"agentPools: [{pool: linux}, {pool: windows}]")), "Pod")
	if len(pods) != 2 {
		t.Fatalf("%d pods for 2 ScaledJobs", len(pods))
	}
	for _, object := range pods {
		pod := typedAs(t, object, &corev1.Pod{})
		if len(pod.Spec.Containers) != 1 || pod.Annotations["helm.sh/hook-delete-policy"] != "before-hook-creation" {
			t.Errorf("pod %s: %v, %d containers", pod.Name, pod.Annotations, len(pod.Spec.Containers))
		}
	}
}

// TestTestPodsRunLikeScaler wants the pods of helm test where the scaler's can run.
func TestTestPodsRunLikeScaler(t *testing.T) {
	list := render(t, parse(t, basis+`
agentPools: [{pool: linux}]
imagePullSecrets: [{name: registry}]
nodeSelector: {disk: ssd}
tolerations: [{key: infra, operator: Exists}]
priorityClassName: high
runtimeClassName: gvisor
hostAliases: [{ip: 10.0.0.1, hostnames: [tfs]}]
dnsPolicy: None
dnsConfig: {nameservers: [10.0.0.10]}
resources: {limits: {cpu: "1"}}
podSecurityContext: {fsGroup: 7}
`))
	like := func(pod corev1.PodSpec) corev1.PodSpec {
		return corev1.PodSpec{
			ImagePullSecrets: pod.ImagePullSecrets, NodeSelector: pod.NodeSelector, Tolerations: pod.Tolerations,
			PriorityClassName: pod.PriorityClassName, RuntimeClassName: pod.RuntimeClassName, HostAliases: pod.HostAliases,
			DNSPolicy: pod.DNSPolicy, DNSConfig: pod.DNSConfig, SecurityContext: pod.SecurityContext,
			Containers: []corev1.Container{{Resources: pod.Containers[0].Resources, SecurityContext: pod.Containers[0].SecurityContext}},
		}
	}
	scaler := like(deployment(t, list).Spec.Template.Spec)
	test := like(typedAs(t, ofKind(list, "Pod")[0], &corev1.Pod{}).Spec)
	if diff := cmp.Diff(scaler, test); diff != "" || scaler.NodeSelector["disk"] != "ssd" {
		t.Errorf("-scaler +test:\n%s", diff)
	}
}

// TestLogsOfTest has the notes propose --logs only where Helm finds the pods: in the
// release's namespace.
func TestLogsOfTest(t *testing.T) {
	for values, want := range map[string]bool{"": true, "namespaceOverride: ado": true, "namespaceOverride: builds": false} {
		rendered, err := files(t, parse(t, basis+"agentPools: [{pool: linux}]\n"+values))
		if err != nil {
			t.Fatal(err)
		}
		command := "  helm --namespace ado test ado-agent-orchestrator"
		if want {
			command += " --logs"
		}
		if !strings.Contains(rendered[notes], command+"\n") {
			t.Errorf("%s: the notes lack %q:\n%s", values, command, rendered[notes])
		}
	}
}

// TestExampleTrigger wants the trigger in the notes to name an organization if there
// are several.
func TestExampleTrigger(t *testing.T) {
	const two = "organizations: [{url: 'https://dev.azure.com/a', existingSecret: x}, {url: 'https://dev.azure.com/b', existingSecret: x}]"
	for values, want := range map[string]string{
		basis: "ado-agent-orchestrator.ado.svc:9090\n      poolName: linux\n",
		two:   "ado-agent-orchestrator.ado.svc:9090\n      organizationURL: https://dev.azure.com/a\n      poolName: linux\n",
	} {
		rendered, err := files(t, parse(t, values))
		if err != nil {
			t.Fatal(err)
		}
		if want = "      scalerAddress: " + want; !strings.Contains(rendered[notes], want) {
			t.Errorf("%s: the notes lack\n%s\n%s", values, want, rendered[notes])
		}
	}
}
