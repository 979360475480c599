package chart_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue"
	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// watched are values with which the chart creates every kind of object.
const watched = basis + `
replicaCount: 2
agentServiceAccount: {create: true}
metrics: {serviceMonitor: {enabled: true}, prometheusRule: {enabled: true}, dashboard: {enabled: true}}
agentPools: [{pool: linux, disruptionBudget: true, warmNodes: {min: 1}}]
`

func TestSwitchedOff(t *testing.T) {
	// Other values are not even checked.
	rendered, err := files(t, parse(t, "enabled: false\nextraObjects: [{kind: ConfigMap}]"))
	if err != nil {
		t.Fatal(err)
	}
	if text := manifests(rendered); text != "" {
		t.Errorf("rendered although it is switched off:\n%s", text)
	}
}

// TestCommonMetadata wants the common labels and annotations on all objects, and the
// labels on their pods.
func TestCommonMetadata(t *testing.T) {
	list := render(t, parse(t, watched+"commonLabels: {team: builds, app.kubernetes.io/name: mine}\ncommonAnnotations: {example.com/a: b, Foo.com/x: z}\nnamespaceOverride: elsewhere"))
	kinds := map[string]bool{}
	for _, object := range list {
		kinds[object.GetKind()] = true
		if object.GetLabels()["team"] != "builds" || object.GetAnnotations()["example.com/a"] != "b" {
			t.Errorf("%s %s: labels %v, annotations %v", object.GetKind(), object.GetName(), object.GetLabels(), object.GetAnnotations())
		}
		if object.GetNamespace() != "elsewhere" && object.GetKind() != "PriorityClass" { // that has none
			t.Errorf("%s %s is in %s", object.GetKind(), object.GetName(), object.GetNamespace())
		}
		if object.GetLabels()["app.kubernetes.io/name"] == "mine" {
			t.Errorf("%s %s has lost a label by which others find it", object.GetKind(), object.GetName())
		}
	}
	if len(kinds) < 10 {
		t.Errorf("there are only %v", kinds)
	}
	scaler := deployment(t, list).Spec.Template
	agent := scaledJobs(t, list)[0].Spec.JobTargetRef.Template
	if scaler.Labels["team"] != "builds" || agent.Labels["team"] != "builds" {
		t.Errorf("labels of pods: %v and %v", scaler.Labels, agent.Labels)
	}
}

// ofPods are the values of pods.
const ofPods = basis + `
strategy: {type: Recreate}
revisionHistoryLimit: 0
deploymentAnnotations: {reloader.stakater.com/auto: "true"}
runtimeClassName: gvisor
hostAliases: [{ip: 10.0.0.1, hostnames: [tfs]}]
dnsPolicy: None
dnsConfig: {nameservers: [10.0.0.10]}
initContainers: [{name: wait, image: busybox}]
extraContainers: [{name: beside, image: busybox}]
global: {imagePullSecrets: [all, {name: of-all}, own]}
imagePullSecrets: [{name: own}]
envFrom: [{secretRef: {name: proxy}}]
extraArgs: [--http-addr=:8080]
agents:
  envFrom: [{configMapRef: {name: tools}}]
  initContainers: [{name: prepare, image: busybox}]
  sidecars: [{name: database, image: postgres}]
  priorityClassName: builds
  runtimeClassName: kata
  topologySpreadConstraints: [{maxSkew: 1, topologyKey: zone, whenUnsatisfiable: ScheduleAnyway}]
  hostAliases: [{ip: 10.0.0.2}]
  dnsPolicy: Default
  dnsConfig: {searches: [example.com]}
  labels: {a: b}
  annotations: {c: d}
  podLabels: {e: f}
  podAnnotations: {g: h}
  successfulJobsHistoryLimit: 0
  failedJobsHistoryLimit: 7
agentPools: [{pool: linux}, {pool: urgent, podTemplate: {spec: {priorityClassName: high}}}]
`

// TestPodValues wants the values of pods where Kubernetes has them.
func TestPodValues(t *testing.T) {
	list := render(t, parse(t, ofPods))
	scaler := deployment(t, list)
	pod, container := scaler.Spec.Template.Spec, scaler.Spec.Template.Spec.Containers[0]
	agents, urgent := scaledJobs(t, list)[0], scaledJobs(t, list)[1]
	template := agents.Spec.JobTargetRef.Template
	secrets := []corev1.LocalObjectReference{{Name: "own"}, {Name: "all"}, {Name: "of-all"}}
	for name, is := range map[string]bool{
		"strategy":                         scaler.Spec.Strategy.Type == appsv1.RecreateDeploymentStrategyType,
		"revisionHistoryLimit":             *scaler.Spec.RevisionHistoryLimit == 0,
		"deploymentAnnotations":            scaler.Annotations["reloader.stakater.com/auto"] == "true",
		"runtimeClassName":                 *pod.RuntimeClassName == "gvisor",
		"hostAliases":                      pod.HostAliases[0].IP == "10.0.0.1",
		"dnsPolicy":                        pod.DNSPolicy == corev1.DNSNone,
		"dnsConfig":                        pod.DNSConfig.Nameservers[0] == "10.0.0.10",
		"initContainers":                   pod.InitContainers[0].Name == "wait",
		"envFrom":                          container.EnvFrom[0].SecretRef.Name == "proxy",
		"extraArgs":                        strings.Join(container.Args, " ") == "serve --http-addr=:8080",
		"agents.envFrom":                   template.Spec.Containers[0].EnvFrom[0].ConfigMapRef.Name == "tools",
		"agents.initContainers":            template.Spec.InitContainers[0].Name == "prepare" && template.Spec.InitContainers[0].RestartPolicy == nil,
		"agents.sidecars":                  template.Spec.InitContainers[1].Name == "database",
		"agents.labels":                    agents.Labels["a"] == "b" && agents.Annotations["c"] == "d",
		"agents.podLabels":                 template.Labels["e"] == "f" && template.Annotations["g"] == "h",
		"agents.priorityClassName":         template.Spec.PriorityClassName == "builds" && *template.Spec.RuntimeClassName == "kata",
		"podTemplate over agents":          urgent.Spec.JobTargetRef.Template.Spec.PriorityClassName == "high",
		"agents.topologySpreadConstraints": template.Spec.TopologySpreadConstraints[0].TopologyKey == "zone",
		"agents.hostAliases":               template.Spec.HostAliases[0].IP == "10.0.0.2",
		"agents.dnsPolicy":                 template.Spec.DNSPolicy == corev1.DNSDefault && template.Spec.DNSConfig.Searches[0] == "example.com",
		"extraContainers":                  pod.Containers[1].Name == "beside",
		"imagePullSecrets":                 slices.Equal(pod.ImagePullSecrets, secrets) && slices.Equal(template.Spec.ImagePullSecrets, secrets),
		"history limits":                   *agents.Spec.SuccessfulJobsHistoryLimit == 0 && *agents.Spec.FailedJobsHistoryLimit == 7,
	} {
		if !is {
			t.Errorf("%s has no effect", name)
		}
	}
}

func TestImages(t *testing.T) {
	const digest = "sha256:1111111111111111111111111111111111111111111111111111111111111111"
	for _, test := range []struct{ values, scaler, agent string }{
		{"image: {registry: mirror:5000}", "mirror:5000/ado-agent-orchestrator/ado-agent-orchestrator:0.1.0", agentImage},
		{"image: {repository: team/scaler, registry: mirror}", "mirror/team/scaler:0.1.0", agentImage},
		{"global: {imageRegistry: mirror.example.com}", "mirror.example.com/ado-agent-orchestrator/ado-agent-orchestrator:0.1.0", "mirror.example.com/ado-agent-orchestrator/agent:0.1.0"},
		{"image: mirror/scaler:1\nagents: {image: {tag: '2'}}", "mirror/scaler:1", "ghcr.io/ado-agent-orchestrator/agent:2"},
		{"agents: {image: {repository: own, digest: '" + digest + "'}}", "ghcr.io/ado-agent-orchestrator/ado-agent-orchestrator:0.1.0", "own@" + digest},
		{"agents: {image: own:1}", "ghcr.io/ado-agent-orchestrator/ado-agent-orchestrator:0.1.0", "own:1"},
	} {
		list := render(t, parse(t, basis+test.values+"\nagentPools: [{pool: linux}, {pool: windows, image: windows:1}, {pool: arm, image: {repository: arm, tag: '3', pullPolicy: Always}}]"))
		agents := scaledJobs(t, list)
		container := func(i int) corev1.Container { return agents[i].Spec.JobTargetRef.Template.Spec.Containers[0] }
		if scaler := deployment(t, list).Spec.Template.Spec.Containers[0].Image; scaler != test.scaler || container(0).Image != test.agent {
			t.Errorf("%s\nrenders %s and %s", test.values, scaler, container(0).Image)
		}
		if container(1).Image != "windows:1" || container(2).ImagePullPolicy != corev1.PullAlways || !strings.Contains(container(2).Image, "arm") {
			t.Errorf("%s\nrenders %s and %s of pools", test.values, container(1).Image, container(2).Image)
		}
	}
}

// TestProxy wants one proxy for the scaler and the agents, without which both reach
// what is in the cluster.
func TestProxy(t *testing.T) {
	const inside = "localhost,127.0.0.1,169.254.169.254,.svc,.cluster.local,$(KUBERNETES_SERVICE_HOST)"
	const secret = "env: &env [{name: HTTPS_PROXY, valueFrom: {secretKeyRef: {name: proxy, key: url}}}]\nagents: {env: *env}\n"
	for values, want := range map[string]map[string]string{
		"proxy: {https: 'http://proxy:3128', exclude: [tfs.example.com]}": {"HTTPS_PROXY": "http://proxy:3128", "NO_PROXY": inside + ",tfs.example.com"},
		secret: {"HTTPS_PROXY": "", "NO_PROXY": inside},
		secret + "proxy: {exclude: [tfs.example.com]}":                                              {"HTTPS_PROXY": "", "NO_PROXY": inside + ",tfs.example.com"},
		"proxy: {exclude: [tfs.example.com]}":                                                       {"NO_PROXY": inside + ",tfs.example.com"},
		"env: &env [{name: http_proxy, value: x}]\nagents: {env: *env}":                             {"http_proxy": "x", "NO_PROXY": inside},
		"env: &env [{name: HTTP_PROXY, value: x}, {name: no_proxy, value: z}]\nagents: {env: *env}": {"HTTP_PROXY": "x", "no_proxy": "z"},
		"": {},
	} {
		list := render(t, parse(t, basis+values+"\nagentPools: [{pool: linux}]"))
		for name, env := range map[string][]corev1.EnvVar{
			"scaler": deployment(t, list).Spec.Template.Spec.Containers[0].Env,
			"agent":  scaledJobs(t, list)[0].Spec.JobTargetRef.Template.Spec.Containers[0].Env,
		} {
			got := map[string]string{}
			for _, v := range env {
				if strings.HasSuffix(strings.ToUpper(v.Name), "_PROXY") {
					got[v.Name] = v.Value
				}
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%s\n%s: %s", values, name, diff)
			}
		}
	}
}

// TestMonitoring wants what users of the Prometheus operator set.
func TestMonitoring(t *testing.T) {
	list := render(t, parse(t, basis+`
replicaCount: 3
podDisruptionBudget: {maxUnavailable: 50%}
metrics:
  serviceMonitor:
    enabled: true
    interval: "0"
    scrapeTimeout: 5s
    relabelings: [{action: labeldrop, regex: pod}]
    metricRelabelings: [{action: drop, regex: go_.*, sourceLabels: [__name__]}]
  prometheusRule:
    enabled: true
    runbookURL: https://runbooks.example.com/
    additionalRules: [{alert: Mine, expr: vector(1)}]
extraObjects:
- {apiVersion: v1, kind: ConfigMap, metadata: {name: "{{ .Release.Name }}-more"}}
- |
  {{- range list "a" "b" }}
  ---
  apiVersion: v1
  kind: ConfigMap
  metadata: {name: {{ $.Release.Name }}-{{ . }}}
  {{- end }}
`))
	endpoints, _, _ := unstructured.NestedSlice(ofKind(list, "ServiceMonitor")[0].Object, "spec", "endpoints")
	endpoint := endpoints[0].(map[string]any)
	if endpoint["interval"] != "0" || endpoint["scrapeTimeout"] != "5s" || len(endpoint["relabelings"].([]any)) != 1 || len(endpoint["metricRelabelings"].([]any)) != 1 {
		t.Errorf("the endpoint is %v", endpoint)
	}
	groups, _, _ := unstructured.NestedSlice(ofKind(list, "PrometheusRule")[0].Object, "spec", "groups")
	rules := groups[0].(map[string]any)["rules"].([]any)
	for _, rule := range rules[:len(rules)-1] {
		name := rule.(map[string]any)["alert"]
		if url := rule.(map[string]any)["annotations"].(map[string]any)["runbook_url"]; url != fmt.Sprint("https://runbooks.example.com/", name) {
			t.Errorf("the runbook of %v is %v", name, url)
		}
	}
	if last := rules[len(rules)-1].(map[string]any); last["alert"] != "Mine" {
		t.Errorf("the last rule is %v", last)
	}
	if share, _, _ := unstructured.NestedFieldNoCopy(ofKind(list, "PodDisruptionBudget")[0].Object, "spec", "maxUnavailable"); share != "50%" {
		t.Errorf("maxUnavailable is %v", share)
	}
	var extra []string
	for _, object := range ofKind(list, "ConfigMap") {
		extra = append(extra, strings.TrimPrefix(object.GetName(), "ado-agent-orchestrator-"))
	}
	if !slices.Equal(extra, []string{"more", "a", "b"}) {
		t.Errorf("the extra objects are %v", extra)
	}
}

// TestQuoted wants names that YAML treats as numbers and booleans to stay strings.
func TestQuoted(t *testing.T) {
	list := render(t, parse(t, `
organization: {url: https://dev.azure.com/123, existingSecret: "123", existingSecretKey: "true"}
nameOverride: "1234"
fullnameOverride: "true"
namespaceOverride: "123"
serviceAccount: {name: "0x1"}
priorityClassName: "1e3"
tls: {mode: secret, existingSecret: "1", existingClientSecret: "2"}
agentPools: [{pool: "123", name: "456", serviceAccount: "null"}]
`))
	for _, object := range list {
		for _, problem := range unacceptable(t, object) {
			t.Errorf("%s %s: %v", object.GetKind(), object.GetName(), problem)
		}
	}
}

// TestOrganizationURLs compares which URLs the chart accepts with the program.
func TestOrganizationURLs(t *testing.T) {
	for _, url := range []string{
		"https://dev.azure.com/contoso", "https://dev.azure.com/contoso/", "HTTPS://DEV.azure.com/Contoso//", " https://dev.azure.com/contoso ",
		"https://contoso.visualstudio.com", "https://contoso.visualstudio.com/DefaultCollection/", "https://tfs.example.com:8080/tfs/DefaultCollection",
		"https://tfs/tfs/A%20Collection", "https://[::1]:8443/tfs/x", "https://10.0.0.1/tfs",
		"https://dev.azure.com", "https://dev.azure.com/", "https://dev.azure.com//contoso", "https://dev.azure.com/contoso/project", "https://dev.azure.com/contoso/_git/x",
		"https://contoso.visualstudio.com/project", "https://contoso.visualstudio.com/DefaultCollection/x",
		"contoso", "dev.azure.com/contoso", "ftp://dev.azure.com/contoso", "https://", "https:///contoso", "https://user@dev.azure.com/contoso", "https://user:p@ss@dev.azure.com/contoso",
		"https://dev.azure.com/contoso?x=y", "https://dev.azure.com/contoso#x", "https://dev.azure.com/cont%zzoso", "https://dev.azure.com/con\ntoso", "https://tfs:port/x", "https://t fs/x",
	} {
		_, refused := adoqueue.ParseOrganizationURL(url)
		_, err := files(t, map[string]any{"organization": map[string]any{"url": url, "existingSecret": "x"}})
		if (err != nil) != (refused != nil) {
			t.Errorf("%q: the program: %v, the chart: %v", url, refused, err)
		}
		if err != nil {
			inWords(t, "organization.url", url, err)
			if strings.Contains(err.Error(), "p@ss") {
				t.Errorf("the message shows the password: %v", err)
			}
		}
	}
}

// TestWorkloadIdentity refuses service accounts that Azure's webhook cannot use.
func TestWorkloadIdentity(t *testing.T) {
	const url = "organization: {url: https://dev.azure.com/contoso, auth: {kind: workload-identity"
	for _, test := range []struct{ name, values, want string }{
		{"no client ID", url + "}}", "organization.auth.clientID: is required for workload identity"},
		{"the account has it", url + "}}\nserviceAccount: {create: false, name: mine}", ""},
		{"by an annotation", url + "}}\nserviceAccount: {annotations: {azure.workload.identity/client-id: x}}", ""},
		{"client ID", url + ", clientID: x}}", ""},
		{"agents without an account", url + ", clientID: x}}\nagentPools: [{pool: linux}]", "agentPools[0].serviceAccount: is required for workload identity"},
		{"agents", url + ", clientID: x}}\nagentServiceAccount: {create: true}\nagentPools: [{pool: linux}]", ""},
		{
			"agents alone", basis + "agentServiceAccount: {create: true}\nagentPools: [{pool: linux, credential: {auth: {kind: workload-identity}}}]",
			"agentPools[0]: auth.clientID is required for workload identity with agentServiceAccount.create",
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := files(t, parse(t, test.values))
			if test.want == "" && err != nil || test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
				t.Errorf("the message is %v, want %q", err, test.want)
			}
		})
	}
}

func deployment(t *testing.T, list []*unstructured.Unstructured) *appsv1.Deployment {
	t.Helper()
	return typedAs(t, ofKind(list, "Deployment")[0], &appsv1.Deployment{})
}

// TestEvictableIdle has the scaler write the only PodDisruptionBudget of agents: a pod
// with two can never be evicted.
func TestEvictableIdle(t *testing.T) {
	for values, want := range map[string]int{
		"housekeeping: {evictableIdle: false}":               1,
		"housekeeping: {evictableIdle: true}":                0,
		"housekeeping: {evictableIdle: true, dryRun: true}":  1,
		"housekeeping: {evictableIdle: false, dryRun: true}": 1,
	} {
		list := render(t, parse(t, basis+"agentPools: [{pool: linux, disruptionBudget: true}]\n"+values))
		if got := len(ofKind(list, "PodDisruptionBudget")); got != want {
			t.Errorf("%s: %d PodDisruptionBudgets, want %d", values, got, want)
		}
	}
}

// TestDisruptionBudget wants the one of minAvailable and maxUnavailable that is set; by
// default one replica may be evicted.
func TestDisruptionBudget(t *testing.T) {
	for values, want := range map[string]string{
		"":                     "maxUnavailable: 1",
		"maxUnavailable: 0":    "maxUnavailable: 0",
		"maxUnavailable: 50%":  "maxUnavailable: 50%",
		"maxUnavailable: null": "maxUnavailable: 1",
		"minAvailable: 0":      "minAvailable: 0",
		"minAvailable: 2":      "minAvailable: 2",
		"minAvailable: 100%":   "minAvailable: 100%",
	} {
		list := render(t, parse(t, basis+"replicaCount: 2\npodDisruptionBudget: {"+values+"}"))
		spec := ofKind(list, "PodDisruptionBudget")[0].Object["spec"].(map[string]any)
		delete(spec, "selector")
		if diff := cmp.Diff(parse(t, want), spec); diff != "" {
			t.Errorf("%q: %s", values, diff)
		}
	}
}
