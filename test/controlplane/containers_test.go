package controlplane

import (
	"fmt"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func testEnvironment(t *testing.T, n namespace) {
	secret := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: "secret"},
		StringData: map[string]string{"token": "s3cret", "user": "alice"},
	}
	if _, err := n.client.CoreV1().Secrets(n.name).Create(t.Context(), secret, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	configMap := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "config"}, Data: map[string]string{"color": "blue"}}
	if _, err := n.client.CoreV1().ConfigMaps(n.name).Create(t.Context(), configMap, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	pod := shellPod(`echo "$TOKEN|$COLOR|$S_user|$GREETING|$LABEL|$POD|$NODE|$EXTRA|$1|$(cat "$FILE")|$(cat "$2")|$(ls "$WORK")|${HOME:+home}|$USER"`)
	pod.Labels = map[string]string{"app.example.com/kind": "agent"}
	pod.Spec.Volumes = []corev1.Volume{
		{Name: "secret", VolumeSource: corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: "secret"}}},
		{Name: "work", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}},
	}
	c := &pod.Spec.Containers[0]
	c.Args = []string{"sh", "$(COLOR)-$(UNKNOWN)-$$(COLOR)", "/run/secrets/user"}
	c.EnvFrom = []corev1.EnvFromSource{{Prefix: "S_", SecretRef: &corev1.SecretEnvSource{LocalObjectReference: corev1.LocalObjectReference{Name: "secret"}}}}
	c.VolumeMounts = []corev1.VolumeMount{{Name: "secret", MountPath: "/run/secrets"}, {Name: "work", MountPath: "/work"}}
	c.Env = []corev1.EnvVar{
		{Name: "TOKEN", ValueFrom: &corev1.EnvVarSource{SecretKeyRef: &corev1.SecretKeySelector{
			LocalObjectReference: corev1.LocalObjectReference{Name: "secret"}, Key: "token",
		}}},
		{Name: "COLOR", ValueFrom: &corev1.EnvVarSource{ConfigMapKeyRef: &corev1.ConfigMapKeySelector{
			LocalObjectReference: corev1.LocalObjectReference{Name: "config"}, Key: "color",
		}}},
		{Name: "GREETING", Value: "hello $(S_user)"},
		{Name: "LABEL", ValueFrom: fieldRef("metadata.labels['app.example.com/kind']")},
		{Name: "POD", ValueFrom: fieldRef("metadata.name")},
		{Name: "NODE", ValueFrom: fieldRef("spec.nodeName")},
		{Name: "FILE", Value: "/run/secrets/token"},
		{Name: "WORK", Value: "/work"},
	}
	made := n.create(t, pod)
	n.awaitPod(t, pod.Name, hasPhase(corev1.PodSucceeded))
	want := "s3cret|blue|alice|hello alice|agent|pod|node|of the kubelet|blue-$(UNKNOWN)-$(COLOR)|s3cret|alice||home|\n"
	if log := n.log(t, made, "shell"); log != want {
		t.Errorf("the container printed\n%swant\n%s", log, want)
	}
}

func fieldRef(path string) *corev1.EnvVarSource {
	return &corev1.EnvVarSource{FieldRef: &corev1.ObjectFieldSelector{FieldPath: path}}
}

func testEntrypoint(t *testing.T, n namespace) {
	pod := shellPod("")
	pod.Spec.Containers[0].Image, pod.Spec.Containers[0].Command = "echo", nil
	pod.Spec.Containers[0].Args = []string{"args"}
	made := n.create(t, pod)
	n.awaitPod(t, pod.Name, hasPhase(corev1.PodSucceeded))
	if log := n.log(t, made, "shell"); log != "entrypoint args\n" {
		t.Errorf("log %q", log)
	}
}

func testLateSecret(t *testing.T, n namespace) {
	pod := shellPod("exit 0")
	pod.Spec.Containers[0].Env = []corev1.EnvVar{{Name: "TOKEN", ValueFrom: &corev1.EnvVarSource{
		SecretKeyRef: &corev1.SecretKeySelector{LocalObjectReference: corev1.LocalObjectReference{Name: "late"}, Key: "token"},
	}}}
	n.create(t, pod)
	n.awaitPod(t, pod.Name, func(pod *corev1.Pod) bool {
		return len(pod.Status.ContainerStatuses) > 0 && pod.Status.ContainerStatuses[0].State.Waiting.Reason == "CreateContainerConfigError"
	})
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "late"}, StringData: map[string]string{"token": ""}}
	if _, err := n.client.CoreV1().Secrets(n.name).Create(t.Context(), secret, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	n.awaitPod(t, pod.Name, hasPhase(corev1.PodSucceeded))
}

func testNoSuchCommand(t *testing.T, n namespace) {
	pod := shellPod("")
	pod.Spec.Containers[0].Command = []string{"no-such-command"}
	n.create(t, pod)
	end := n.awaitPod(t, pod.Name, hasPhase(corev1.PodFailed)).Status.ContainerStatuses[0].State.Terminated
	if end == nil || end.ExitCode != startErrorCode || end.Reason != "StartError" {
		t.Errorf("terminated: %+v", end)
	}
}

func testInitContainers(t *testing.T, n namespace) {
	pod := shellPod("echo never")
	pod.Spec.InitContainers = []corev1.Container{
		{Name: "first", Image: "shell", Command: []string{"sh", "-c", `echo first > "$DIR/order"`}},
		{Name: "second", Image: "shell", Command: []string{"sh", "-c", `cat "$DIR/order"; exit 1`}},
	}
	shareFolder(&pod.Spec)
	made := n.create(t, pod)
	last := n.awaitPod(t, pod.Name, hasPhase(corev1.PodFailed))
	if log := n.log(t, made, "second"); log != "first\n" {
		t.Errorf("log of the second: %q", log)
	}
	if last.Status.ContainerStatuses[0].State.Waiting == nil || conditionOf(last, corev1.PodInitialized) != corev1.ConditionFalse {
		t.Errorf("status: %+v", last.Status)
	}
}

// shareFolder mounts a folder, DIR, into all containers of a pod.
func shareFolder(spec *corev1.PodSpec) {
	spec.Volumes = []corev1.Volume{{Name: "shared", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}}}
	for _, containers := range [][]corev1.Container{spec.InitContainers, spec.Containers} {
		for i := range containers {
			containers[i].Env = append(containers[i].Env, corev1.EnvVar{Name: "DIR", Value: "/shared"})
			containers[i].VolumeMounts = []corev1.VolumeMount{{Name: "shared", MountPath: "/shared"}}
		}
	}
}

// A sidecar begins before the containers that follow, is restarted when it ends,
// and is ended after them; its exit code says nothing about the pod.
func testSidecar(t *testing.T, n namespace) {
	pod := shellPod(`until test -e "$DIR/again"; do sleep 0.05; done; echo main`)
	pod.Spec.InitContainers = []corev1.Container{
		{
			Name: "sidecar", Image: "shell", RestartPolicy: new(corev1.ContainerRestartPolicyAlways),
			Command: []string{"sh", "-c", `
				trap 'echo told; exit 3' TERM
				echo begin; touch "$DIR/begun"
				until test -e "$DIR/init"; do sleep 0.05; done
				test -e once || { touch once; exit 1; }
				touch "$DIR/again"
				sleep 1000 & wait`},
		},
		{Name: "init", Image: "shell", Command: []string{"sh", "-c", `until test -e "$DIR/begun"; do sleep 0.05; done; touch "$DIR/init"`}},
	}
	shareFolder(&pod.Spec)
	made := n.create(t, pod)
	last := n.awaitPod(t, pod.Name, hasPhase(corev1.PodSucceeded))
	if log := n.log(t, made, "sidecar"); log != "begin\nbegin\ntold\n" {
		t.Errorf("log of the sidecar: %q", log)
	}
	status := last.Status.InitContainerStatuses[0]
	if end := status.State.Terminated; end == nil || end.ExitCode != 3 || status.RestartCount != 1 {
		t.Errorf("status: %+v", status)
	}
}

// When its pod is deleted, a sidecar is asked to end after the other containers.
func testSidecarOfDeletedPod(t *testing.T, n namespace) {
	pod := shellPod(`trap 'sleep 0.3; touch "$DIR/main"; exit' TERM; touch "$DIR/ready"; sleep 1000 & wait`)
	pod.Spec.InitContainers = []corev1.Container{{
		Name: "sidecar", Image: "shell", RestartPolicy: new(corev1.ContainerRestartPolicyAlways),
		Command: []string{"sh", "-c", `trap 'ls "$DIR"; exit' TERM; sleep 1000 & wait`},
	}}
	shareFolder(&pod.Spec)
	made := n.create(t, pod)
	n.awaitPod(t, pod.Name, hasPhase(corev1.PodRunning))
	n.delete(t, made, 10)
	n.awaitRemoval(t, made)
	if log := n.log(t, made, "sidecar"); log != "main\nready\n" {
		t.Errorf("log of the sidecar: %q", log)
	}
}

func testRestartOnFailure(t *testing.T, n namespace) {
	pod := shellPod("test -e again || { touch again; exit 1; }")
	pod.Spec.RestartPolicy = corev1.RestartPolicyOnFailure
	n.create(t, pod)
	status := n.awaitPod(t, pod.Name, hasPhase(corev1.PodSucceeded)).Status.ContainerStatuses[0]
	if status.RestartCount != 1 || status.LastTerminationState.Terminated == nil {
		t.Errorf("status: %+v", status)
	}
}

func testDeletionIsHeard(t *testing.T, n namespace) {
	ready, err := newSignal(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	pod := n.create(t, shellPod(fmt.Sprintf(`trap 'echo bye; exit 0' TERM; echo > %s; while :; do sleep 0.05; done`, ready)))
	if err := ready.wait(); err != nil {
		t.Fatal(err)
	}
	n.awaitPod(t, pod.Name, func(pod *corev1.Pod) bool { return conditionOf(pod, corev1.PodReady) == corev1.ConditionTrue })
	n.delete(t, pod, 60)
	last := n.awaitRemoval(t, pod)
	if log := n.log(t, pod, "shell"); log != "bye\n" {
		t.Errorf("log %q", log)
	}
	if last.Status.Phase != corev1.PodSucceeded {
		t.Errorf("phase %s at its removal", last.Status.Phase)
	}
}

func testDeletionIsIgnored(t *testing.T, n namespace) {
	ready, err := newSignal(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	pod := n.create(t, shellPod(fmt.Sprintf(`trap '' TERM; setsid sleep 1000 & echo > %s; while :; do sleep 0.05; done`, ready)))
	if err := ready.wait(); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	n.delete(t, pod, 1)
	end := n.awaitRemoval(t, pod).Status.ContainerStatuses[0].State.Terminated
	if took := time.Since(began); took < time.Second {
		t.Errorf("killed after %s, before the end of its grace period", took)
	}
	if end == nil || int(end.ExitCode) != killedCode || end.Reason != "Error" {
		t.Errorf("terminated: %+v", end)
	}
	if pids, err := containerMark(string(pod.UID), "shell").pids(); err != nil || len(pids) > 0 {
		t.Errorf("processes %v of the container are left (error %v)", pids, err)
	}
}

func testKill(t *testing.T, n namespace) {
	pod := n.create(t, shellPod("while :; do sleep 0.05; done"))
	if err := n.kubelet.Kill(n.name, "no-such-pod"); err == nil || !strings.Contains(err.Error(), "no-such-pod") {
		t.Errorf("error %v at the kill of a pod that is not there", err)
	}
	n.awaitPod(t, pod.Name, hasPhase(corev1.PodRunning))
	if err := n.kubelet.Kill(n.name, pod.Name); err != nil {
		t.Fatal(err)
	}
	end := n.awaitPod(t, pod.Name, hasPhase(corev1.PodFailed)).Status.ContainerStatuses[0].State.Terminated
	if end == nil || int(end.ExitCode) != killedCode {
		t.Errorf("terminated: %+v", end)
	}
}
