package jobtemplate

import (
	"slices"
	"strings"
	"testing"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
)

// defined returns settings that isolate the credential of a Definition.
func defined(t *testing.T, pod string) Settings {
	t.Helper()
	s := minimal()
	s.IsolateCredential = true
	var err error
	s.Definition, err = ReadDefinition("job.yaml", []byte("apiVersion: batch/v1\nkind: Job\nspec:\n  template:\n    spec:\n"+pod))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func names(env []corev1.EnvVar) []string {
	all := make([]string, len(env))
	for i, v := range env {
		all[i] = v.Name
	}
	slices.Sort(all)
	return all
}

func podOf(t *testing.T, s Settings) *corev1.PodSpec {
	t.Helper()
	var job *batchv1.Job
	job, err := Job(s)
	if err != nil {
		t.Fatal(err)
	}
	return &job.Spec.Template.Spec
}

// With an identity of Entra, its variables go to the sidecar; what the agent needs
// to trust is mounted in both, and nothing else of the agent's.
func TestIsolateIdentity(t *testing.T) {
	s := defined(t, `
      containers:
        - name: agent
          image: agent
          env:
            - {name: AZP_AUTH, value: service-principal}
            - {name: AZURE_TENANT_ID, value: tenant}
            - {name: AZURE_CLIENT_SECRET, valueFrom: {secretKeyRef: {name: s, key: k}}}
            - {name: AZP_CA_FILE, value: /ca/ca.pem}
            - {name: JAVA_HOME, value: /opt/java}
          volumeMounts:
            - {name: ca, mountPath: /ca}
            - {name: cache, mountPath: /cache}
      initContainers:
        - {name: other, image: other, restartPolicy: Always}
      volumes:
        - {name: ca, configMap: {name: ca}}
        - {name: cache, emptyDir: {}}
`)
	s.Token = SecretKey{}
	pod := podOf(t, s)
	agent, keeper := pod.Containers[0], pod.InitContainers[0]
	want := "AZP_CA_FILE AZP_GRACE_PERIOD AZP_ROLE AZP_SHARED_DIR JAVA_HOME"
	if got := strings.Join(names(agent.Env), " "); got != want {
		t.Errorf("the agent's container has %s", got)
	}
	want = "AZP_AGENT_NAME AZP_AUTH AZP_CA_FILE AZP_GRACE_PERIOD AZP_IDLE_TIMEOUT AZP_POOL AZP_ROLE AZP_SHARED_DIR AZP_URL AZURE_CLIENT_SECRET AZURE_TENANT_ID JAVA_HOME"
	if got := strings.Join(names(keeper.Env), " "); got != want {
		t.Errorf("the keeper has %s", got)
	}
	var mounts []string
	for _, m := range keeper.VolumeMounts {
		mounts = append(mounts, m.MountPath)
	}
	if got := strings.Join(mounts, " "); got != "/ca /azp/shared" {
		t.Errorf("the keeper mounts %s", got)
	}
	if *keeper.RestartPolicy != corev1.ContainerRestartPolicyAlways || keeper.Image != "agent" || *pod.AutomountServiceAccountToken {
		t.Errorf("got %+v", pod)
	}
	job, err := Job(s)
	if got := job.Spec.Template.Annotations[skipContainers]; err != nil || got != "other;agent" {
		t.Errorf("containers without an identity are %q", got)
	}
}

// A Definition may say more of the sidecar than the settings do.
func TestIsolateWithKeeper(t *testing.T) {
	pod := podOf(t, defined(t, `
      initContainers:
        - {name: prepare, image: prepare}
        - name: keeper
          image: keeper
          env: [{name: AZP_LOG_LEVEL, value: debug}, {name: AZP_TOKEN_FILE, value: /t/token}]
          volumeMounts: [{name: token, mountPath: /t}]
      containers:
        - {name: agent, image: agent}
      volumes: [{name: token, secret: {secretName: s}}]
`))
	if len(pod.InitContainers) != 2 || pod.InitContainers[1].Image != "keeper" || len(pod.InitContainers[1].VolumeMounts) != 2 {
		t.Errorf("got %+v", pod.InitContainers)
	}
	if hasVariable(pod.Containers[0].Env, envToken) || len(pod.Containers[0].VolumeMounts) != 1 {
		t.Errorf("got %+v", pod.Containers[0])
	}
}

// Settings that would let jobs reach the credential are refused.
func TestRefusesIsolation(t *testing.T) {
	s := defined(t, `
      shareProcessNamespace: true
      hostPID: true
      automountServiceAccountToken: true
      initContainers:
        - {name: keeper, restartPolicy: Sometimes, volumeMounts: [{name: agent, mountPath: /azp/agent}]}
      containers:
        - name: agent
          image: agent
          env: [{name: AZP_TOKEN_FILE, value: /t/token}]
          volumeMounts: [{name: agent, mountPath: /azp/agent}]
      volumes: [{name: agent, emptyDir: {}}]
`)
	s.DockerSocketPath = "/var/run/docker.sock"
	_, err := Job(s)
	const pod = "definition.spec.template.spec."
	expectMistakes(t, err, []string{
		pod + "automountServiceAccountToken: ",
		pod + "containers[0].env[0]: AZP_TOKEN_FILE would ",
		pod + "hostPID: ",
		pod + "initContainers[0].restartPolicy: ",
		pod + "initContainers[0].volumeMounts[0]: ",
		pod + "shareProcessNamespace: ",
		"isolateCredential: ",
	})
}
