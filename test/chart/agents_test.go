package chart_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/jobtemplate"
	"github.com/google/go-cmp/cmp"
	kedav1alpha1 "github.com/kedacore/keda/v2/apis/keda/v1alpha1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// basis are the values of every case below.
const basis = `
organization: {url: https://dev.azure.com/contoso, existingSecret: azure-devops, existingSecretKey: pat}
`

// agentImage is the default, of the chart's appVersion.
const agentImage = "ghcr.io/ado-agent-orchestrator/agent:0.1.0"

// settings are those that go with basis.
func settings(pool string) jobtemplate.Settings {
	return jobtemplate.Settings{
		OrganizationURL: "https://dev.azure.com/contoso", Pool: pool, Namespace: release.Namespace,
		Image: agentImage, Token: jobtemplate.SecretKey{Name: "azure-devops", Key: "pat"},
		Scaling: jobtemplate.Scaling{ScalerAddress: "ado-agent-orchestrator.ado.svc:9090"},
	}
}

// TestSameAsRender has the chart give the ScaledJobs that the program's render
// prints for the same settings.
func TestSameAsRender(t *testing.T) {
	for _, test := range []struct {
		name, values string
		settings     func() jobtemplate.Settings
	}{
		{"minimal", `agentPools: [{pool: linux}]`, func() jobtemplate.Settings { return settings("linux") }},
		{"full", `
tls: {mode: secret, existingSecret: a, mutual: false}
housekeeping: {endIdle: true}
agentPools:
- pool: Linux $(GPU) pool
  image: registry.example.com/agent:1
  capabilities: {java: "17", docker: "", price: $1}
  priority: -3
  shard: 2/3
  min: 1
  max: 20
  minIdle: 2
  warm:
    timeZone: Europe/Berlin
    maxAge: 12h
    periods:
    - {days: Mon-Fri, from: "07:30", to: "18:00", minIdle: 5, busyPercent: 20, max: 12}
    - {from: "22:00", to: "24:00", minIdle: 0}
  pollingInterval: 2
  ttlSecondsAfterFinished: 2592000
  idleTimeout: 1m30s
  terminationGracePeriodSeconds: 7200
  resources: {requests: {cpu: 1500m}, limits: {memory: 2Gi}}
  nodeSelector: {kubernetes.io/os: linux}
  serviceAccount: agents
`, full},
		{"unrestricted", `agentPools: [{pool: linux, unrestricted: true, idleTimeout: "0"}]`, func() jobtemplate.Settings {
			s := settings("linux")
			s.Unrestricted, s.IdleTimeout = true, -1
			return s
		}},
		{"docker", `agentPools: [{pool: linux, dockerSocketPath: /run/docker.sock}]`, func() jobtemplate.Settings {
			s := settings("linux")
			s.DockerSocketPath = "/run/docker.sock"
			return s
		}},
		{"isolated", `agentPools: [{pool: linux, isolateCredential: true, serviceAccount: agents, capabilities: {docker: ""}}]`, func() jobtemplate.Settings {
			s := settings("linux")
			s.IsolateCredential, s.ServiceAccount, s.Capabilities = true, "agents", map[string]string{"docker": ""}
			return s
		}},
		{"evictable", `
housekeeping: {evictableIdle: true}
agentPools: [{pool: linux, isolateCredential: true}]
`, func() jobtemplate.Settings {
			s := settings("linux")
			s.IsolateCredential, s.EvictableIdle = true, true
			return s
		}},
		{"evictable in a dry run", `
housekeeping: {evictableIdle: true, dryRun: true}
agentPools: [{pool: linux}]
`, func() jobtemplate.Settings { return settings("linux") }},
		{"agents", `
agents: {max: 7, minIdle: 1, unrestricted: true, capabilities: {docker: ""}}
agentPools: [{pool: linux, minIdle: 0, unrestricted: false, capabilities: {java: "17"}}]
`, func() jobtemplate.Settings {
			s := settings("linux")
			s.Scaling.MaxReplicas, s.Capabilities = 7, map[string]string{"docker": "", "java": "17"}
			return s
		}},
		{"definition", definitionValues, func() jobtemplate.Settings {
			s := settings("linux")
			definition, err := jobtemplate.ReadDefinition("job.yaml", []byte(definition))
			if err != nil {
				t.Fatal(err)
			}
			s.Definition = definition
			return s
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			want, err := jobtemplate.ScaledJob(test.settings())
			if err != nil {
				t.Fatal(err)
			}
			// Only the labels of the creator differ.
			want.Labels[jobtemplate.ManagedByLabel] = "Helm"
			want.Labels["app.kubernetes.io/instance"] = release.Name
			got := scaledJobs(t, render(t, parse(t, basis+test.values)))[0]
			if diff := cmp.Diff(manifest(t, want), manifest(t, got)); diff != "" {
				t.Errorf("-render +chart:\n%s", diff)
			}
		})
	}
}

func full() jobtemplate.Settings {
	s := settings("Linux $(GPU) pool")
	s.Image, s.ServiceAccount = "registry.example.com/agent:1", "agents"
	s.Capabilities = map[string]string{"java": "17", "docker": "", "price": "$1"}
	s.NodeSelector = map[string]string{"kubernetes.io/os": "linux"}
	s.Resources.Requests = corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("1500m")}
	s.Resources.Limits = corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("2Gi")}
	s.TTL, s.IdleTimeout, s.GracePeriod = 30*24*time.Hour, 90*time.Second, 2*time.Hour
	s.Scaling.Authentication, s.Scaling.Priority, s.Scaling.PollingInterval = "ado-agent-orchestrator", -3, 2*time.Second
	s.Scaling.Warm, s.Scaling.WarmTimeZone, s.Scaling.WarmMaxAge = "Mon-Fri 07:30-18:00 5 +20% max 12; 22:00-24:00 0", "Europe/Berlin", 12*time.Hour
	s.Scaling.MinReplicas, s.Scaling.MaxReplicas, s.Scaling.MinIdle, s.Scaling.Shard = 1, 20, 2, "2/3"
	return s
}

// The chart has values for all that render reads from a definition file.
const (
	definition = `
apiVersion: batch/v1
kind: Job
metadata: {name: agent-job}
spec:
  template:
    metadata:
      labels: {team: builds}
      annotations: {example.com/a: b}
    spec:
      automountServiceAccountToken: false
      priorityClassName: builds
      securityContext: {fsGroup: 1000, runAsNonRoot: true, seccompProfile: {type: RuntimeDefault}}
      imagePullSecrets: [{name: registry}]
      affinity: {nodeAffinity: {}}
      tolerations: [{key: builds, operator: Exists}]
      initContainers:
      - {name: database, image: postgres, restartPolicy: Always, ports: [{containerPort: 5432}]}
      containers:
      - name: agent
        imagePullPolicy: Always
        ports: [{containerPort: 80}]
        env: [{name: OPTIONS, value: "-v $(AZP_POOL)"}]
        volumeMounts: [{name: cache, mountPath: /cache}]
        securityContext: {readOnlyRootFilesystem: true, allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}
      volumes: [{name: cache, emptyDir: {}}]
`
	definitionValues = `
imagePullSecrets: [{name: registry}]
agentPools:
- pool: linux
  podSecurityContext: {fsGroup: 1000}
  securityContext: {readOnlyRootFilesystem: true}
  affinity: {nodeAffinity: {}}
  tolerations: [{key: builds, operator: Exists}]
  sidecars: [{name: database, image: postgres, ports: [{containerPort: 5432}]}]
  env: [{name: OPTIONS, value: "-v $(AZP_POOL)"}]
  volumes: [{name: cache, emptyDir: {}}]
  volumeMounts: [{name: cache, mountPath: /cache}]
  container: {imagePullPolicy: Always, ports: [{containerPort: 80}]}
  podTemplate:
    metadata: {labels: {team: builds}, annotations: {example.com/a: b}}
  priorityClassName: builds
`
)

// TestNames has the chart name the ScaledJobs of all kinds of pools as render
// names them.
func TestNames(t *testing.T) {
	pools := []string{
		"linux", "Linux", "Azure Pipelines", "a/b", "a--b", "-a-", "0badc0de", "x-0badc0de", "!", "$(POOL)", "a_b.c",
		strings.Repeat("x", 41), strings.Repeat("x", 42), strings.Repeat("ab ", 66), strings.Repeat("x", 31) + "-----------y",
	}
	random := rand.New(rand.NewPCG(1, 2)) // the same names each time
	for range 200 {
		name := make([]byte, 1+random.IntN(60))
		for i := range name {
			name[i] = byte(' ' + random.IntN('~'-' '+1))
		}
		if text := strings.TrimSpace(string(name)); text != "" {
			pools = append(pools, text)
		}
	}
	var items []any
	want := map[string]string{} // pool by name; as jobtemplate, the chart takes upper and lower case for one
	for _, pool := range pools {
		name, err := jobtemplate.Name(jobtemplate.DefaultPrefix, pool)
		if err != nil {
			t.Fatal(err)
		}
		if _, twice := want[name]; !twice {
			items = append(items, map[string]any{"pool": pool})
			want[name] = pool
		}
	}
	values := parse(t, basis+"test: {enabled: false}")
	values["agentPools"] = items
	got := map[string]string{}
	for _, s := range scaledJobs(t, render(t, values)) {
		got[s.Name] = s.Spec.Triggers[0].Metadata["poolName"]
		if label := s.Spec.JobTargetRef.Template.Labels[jobtemplate.PoolLabel]; label != s.Name {
			t.Errorf("%s has the label %s", s.Name, label)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-render +chart:\n%s", diff)
	}
}

// scaledJobs are typed, and so must have no fields but KEDA's.
func scaledJobs(t *testing.T, list []*unstructured.Unstructured) []*kedav1alpha1.ScaledJob {
	t.Helper()
	var typed []*kedav1alpha1.ScaledJob
	for _, object := range ofKind(list, "ScaledJob") {
		typed = append(typed, typedAs(t, object, &kedav1alpha1.ScaledJob{}))
	}
	return typed
}

// typedAs reads an object strictly.
func typedAs[T any](t *testing.T, object *unstructured.Unstructured, into T) T {
	t.Helper()
	data, err := json.Marshal(object)
	if err != nil {
		t.Fatal(err)
	}
	decoder := json.NewDecoder(strings.NewReader(string(data)))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(into); err != nil {
		t.Fatal(fmt.Errorf("%s %s: %w", object.GetKind(), object.GetName(), err))
	}
	return into
}

func manifest(t *testing.T, s *kedav1alpha1.ScaledJob) map[string]any {
	t.Helper()
	object, err := jobtemplate.Manifest(s)
	if err != nil {
		t.Fatal(err)
	}
	return object.Object
}

// TestIsolatedIdentity has the chart keep an Entra identity from the container
// that runs jobs, whether that of Azure's webhook or a certificate.
func TestIsolatedIdentity(t *testing.T) {
	for name, values := range map[string]string{
		"workload identity": `
organization: {url: https://dev.azure.com/contoso, auth: {kind: workload-identity, tenantID: t, clientID: c}}
agentServiceAccount: {create: true}
agentPools: [{pool: linux, isolateCredential: true, sidecars: [{name: database, image: postgres}]}]
`,
		"certificate": `
organization: {url: https://dev.azure.com/contoso, existingSecret: s, auth: {kind: service-principal, tenantID: t, clientID: c, certificate: true}}
agentPools: [{pool: linux, isolateCredential: true, sidecars: [{name: database, image: postgres}]}]
`,
	} {
		t.Run(name, func(t *testing.T) {
			template := scaledJobs(t, render(t, parse(t, values)))[0].Spec.JobTargetRef.Template
			agent, keeper := template.Spec.Containers[0], template.Spec.InitContainers[0]
			for _, v := range agent.Env {
				if strings.HasPrefix(v.Name, "AZURE_") || v.Name == "AZP_AUTH" || v.ValueFrom != nil {
					t.Errorf("the agent's container has %s", v.Name)
				}
			}
			if len(agent.VolumeMounts) != 1 || agent.VolumeMounts[0].MountPath != "/azp/shared" {
				t.Errorf("the agent's container mounts %v", agent.VolumeMounts)
			}
			identified := false
			for _, v := range keeper.Env {
				identified = identified || v.Name == "AZURE_CLIENT_ID"
			}
			if keeper.Name != "keeper" || !identified || *template.Spec.AutomountServiceAccountToken {
				t.Errorf("the keeper is %+v", keeper)
			}
			if got := template.Annotations["azure.workload.identity/skip-containers"]; got != "database;agent" {
				t.Errorf("containers without the identity: %q", got)
			}
		})
	}
}
