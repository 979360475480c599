package jobtemplate

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
)

// TestRefusesSettings wants all mistakes at once, and of values that may be
// secret nothing.
func TestRefusesSettings(t *testing.T) {
	s := Settings{
		OrganizationURL:  "https://user:secret@dev.azure.com/contoso",
		Namespace:        "No_Namespace",
		Prefix:           "_",
		Image:            "an image",
		Token:            SecretKey{Name: "azure-devops"},
		DockerSocketPath: "run/docker.sock",
		Capabilities:     map[string]string{"a b": "", "": "x", "ok": "1,2"},
		Resources: corev1.ResourceRequirements{
			Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("2")},
			Limits: corev1.ResourceList{
				corev1.ResourceCPU: resource.MustParse("1"), "memroy": resource.MustParse("1Gi"), "hugepages-big": resource.MustParse("1Gi"),
				"hugepages-2Mi": resource.MustParse("4Mi"), "nvidia.com/gpu": resource.MustParse("1"), "ephemeral-storage": resource.MustParse("1Gi"),
			},
		},
		NodeSelector:   map[string]string{"/": "ok", "ok": "not ok"},
		ServiceAccount: "Agents",
		TTL:            -time.Second,
		IdleTimeout:    time.Millisecond,
		GracePeriod:    1500 * time.Millisecond,
		Pool:           "Default",
		Scaling: Scaling{
			ScalerAddress: "http://scaler:9090", Authentication: "A", MinReplicas: -1, MaxReplicas: -2,
			MinIdle: 1 << 40, Priority: 1 << 40, PollingInterval: time.Millisecond,
		},
	}
	want := []string{
		"authentication: ",
		`capabilities: name "" `,
		`capabilities: name "a b" `,
		"capabilities[ok]: ",
		"dockerSocketPath: ",
		"gracePeriod: ",
		"idleTimeout: ",
		"image: ",
		"maxReplicas: ",
		"minIdle, maxReplicas: ",
		"minIdle: ",
		"minReplicas, maxReplicas: ",
		"minReplicas: ",
		"namespace: ",
		"nodeSelector: ",
		"nodeSelector[ok]: ",
		"organizationURL: ",
		"pollingInterval: ",
		"prefix: ",
		"priority: ",
		`resources.limits: "hugepages-big" must be cpu, memory`,
		`resources.limits: "memroy" must be cpu, memory`,
		"resources.requests[cpu], resources.limits: ",
		"scalerAddress: ",
		"serviceAccount: ",
		"token.key: ",
		"ttl: ",
	}
	_, err := ScaledJob(s)
	expectMistakes(t, err, want)
	if strings.Contains(err.Error(), "secret") {
		t.Errorf("it tells the password: %v", err)
	}
	_, err = Job(Settings{})
	expectMistakes(t, err, []string{"image: ", "organizationURL: ", "pool: "})
}

func expectMistakes(t *testing.T, err error, want []string) {
	t.Helper()
	if err == nil {
		t.Fatal("no mistake was found")
	}
	var got []string
	for i, line := range strings.Split(err.Error(), "\n") {
		if i < len(want) && strings.HasPrefix(line, want[i]) && len(line) > len(want[i]) {
			line = want[i]
		}
		got = append(got, line)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// TestRefusesDefinition has one definition with every mistake.
func TestRefusesDefinition(t *testing.T) {
	definition, err := ReadDefinition("job.yaml", []byte(`
apiVersion: batch/v1
kind: Job
metadata:
  name: Bad_Name
  generateName: custom-
  namespace: other
  uid: "1"
  labels:
    app.kubernetes.io/managed-by: Helm
    job-name: x
    mine: "1"
  annotations:
    scaledjob.keda.sh/generation: "1"
spec:
  parallelism: 2
  completions: 0
  completionMode: Indexed
  backoffLimit: 4
  suspend: true
  manualSelector: true
  ttlSecondsAfterFinished: -1
  activeDeadlineSeconds: 0
  template:
    metadata:
      name: agent
      labels:
        scaledjob.keda.sh/name: x
        ado-agent-orchestrator.io/pool: x
        batch.kubernetes.io/job-name: x
        controller-uid: x
    spec:
      restartPolicy: OnFailure
      terminationGracePeriodSeconds: -1
      serviceAccountName: other
      nodeSelector: {disk: fast, os: windows}
      initContainers:
      - name: init
        image: x
        env: [{name: AZP_TOKEN, value: clear}]
      containers:
      - name: side
        image: x
        env: [{name: AZP_TOKEN, value: clear}]
      - name: agent
        image: x
        resources: {limits: {cpu: 2}}
        env:
        - {name: AZP_URL, value: https://dev.azure.com/other}
        - {name: AZP_POOL, value: Default2}
        - {name: AZP_AGENT_NAME, value: fixed}
        - {name: AZP_CAPABILITIES, value: docker}
        - {name: AZP_TOKEN, valueFrom: {configMapKeyRef: {name: x, key: z}}}
        - {name: AZP_POOL, value: default}
      volumes:
      - {name: docker-volume, emptyDir: {}}
status: {active: 1}
`))
	if err != nil {
		t.Fatal(err)
	}
	s := minimal()
	s.Definition = definition
	s.ServiceAccount, s.DockerSocketPath = "agents", "/run/docker.sock"
	s.NodeSelector = map[string]string{"os": "linux", "disk": "fast"}
	s.Resources.Limits = corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("1")}
	_, err = Job(s)
	const pod, agent = "definition.spec.template.spec.", "definition.spec.template.spec.containers[1]."
	expectMistakes(t, err, []string{
		"definition.metadata.annotations[scaledjob.keda.sh/generation]: ",
		"definition.metadata.labels[app.kubernetes.io/managed-by]: ",
		"definition.metadata.labels[job-name]: ",
		"definition.metadata.namespace: ",
		"definition.metadata: must hold nothing but name, ",
		"definition.spec.activeDeadlineSeconds: ",
		"definition.spec.backoffLimit: ",
		"definition.spec.completionMode: ",
		"definition.spec.completions: ",
		"definition.spec.parallelism: ",
		"definition.spec.selector: ",
		"definition.spec.suspend: ",
		"definition.spec.template.metadata.labels[ado-agent-orchestrator.io/pool]: ",
		"definition.spec.template.metadata.labels[batch.kubernetes.io/job-name]: ",
		"definition.spec.template.metadata.labels[controller-uid]: ",
		"definition.spec.template.metadata.labels[scaledjob.keda.sh/name]: ",
		"definition.spec.template.metadata: must hold nothing but labels ",
		pod + "containers[0].env[0]: AZP_TOKEN ",
		pod + "containers[0]: must be a sidecar, ",
		agent + "env[0]: AZP_URL ",
		agent + `env[1]: AZP_POOL must be "Default", `,
		agent + "env[2]: AZP_AGENT_NAME ",
		agent + "env[3]: AZP_CAPABILITIES ",
		agent + "env[4]: AZP_TOKEN ",
		agent + "env[5].name: AZP_POOL appears twice",
		agent + "resources: ",
		pod + "initContainers[0].env[0]: AZP_TOKEN ",
		pod + "nodeSelector[os]: ",
		pod + "restartPolicy: ",
		pod + "serviceAccountName: ",
		pod + "terminationGracePeriodSeconds: ",
		pod + "volumes[0]: ",
		"definition.spec.ttlSecondsAfterFinished: ",
		"definition.status: ",
		"prefix: ",
	})
}

// TestRefusesNoContainer must not look into a container that is not there.
func TestRefusesNoContainer(t *testing.T) {
	s := minimal()
	definition, err := ReadDefinition("job.yaml", []byte("apiVersion: batch/v1\nkind: Job\n"))
	if err != nil {
		t.Fatal(err)
	}
	s.Definition = definition
	_, err = Job(s)
	expectMistakes(t, err, []string{"definition.spec.template.spec.containers: "})
}

// TestWarnings has what works, but badly.
func TestWarnings(t *testing.T) {
	s := minimal()
	if got := s.Warnings(); got != nil {
		t.Errorf("without a definition: %q", got)
	}
	s.Definition = read(t, "older")
	if got := s.Warnings(); got != nil {
		t.Errorf("older: %q", got)
	}
	s.Definition.Spec.ActiveDeadlineSeconds = new(int64(1800))
	want := "definition.spec.activeDeadlineSeconds is 1800: the time that an agent waits for a job counts too"
	if got := s.Warnings(); len(got) != 1 || !strings.HasPrefix(got[0], want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
