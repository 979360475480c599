package controlplane

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

// These make a process of this test binary a helper: one that starts a control
// plane in a directory, and comes to an end that no test can have itself.
const (
	helperEnd = "CONTROL_PLANE_HELPER_END"
	helperDir = "CONTROL_PLANE_HELPER_DIR"
)

const (
	endByPanic = "panic"
	endByKill  = "kill"
)

func TestMain(m *testing.M) {
	end := os.Getenv(helperEnd)
	if end == "" {
		os.Exit(m.Run())
	}
	if err := help(context.Background(), end); err != nil {
		fmt.Fprintln(os.Stderr, "helper:", err)
		os.Exit(1)
	}
}

// help starts a control plane with a pod, prints the ids of all processes, and
// comes to its end once its standard input is closed.
func help(ctx context.Context, end string) error {
	dir := os.Getenv(helperDir)
	c, err := Start(ctx, Options{WithoutKEDA: true, Dir: dir})
	if err != nil {
		return err
	}
	if err := runFamily(ctx, c); err != nil {
		return err
	}
	pids, err := c.Processes()
	if err != nil {
		return err
	}
	if err := json.NewEncoder(os.Stdout).Encode(pids); err != nil {
		return err
	}
	if _, err := io.Copy(io.Discard, os.Stdin); err != nil {
		return err
	}
	if end == endByPanic {
		panic("as the test wants it")
	}
	select {} // until it is killed
}

// runFamily runs a pod whose process has a child in a separate session.
func runFamily(ctx context.Context, c *ControlPlane) error {
	if _, err := c.StartKubelet(ctx, KubeletOptions{}); err != nil {
		return err
	}
	client, err := kubernetes.NewForConfig(c.Config())
	if err != nil {
		return err
	}
	ready, err := newSignal(c.Dir())
	if err != nil {
		return err
	}
	pod := shellPod(fmt.Sprintf("setsid sleep 1000 & echo > %s; wait", ready))
	if _, err := client.CoreV1().Pods(metav1.NamespaceDefault).Create(ctx, pod, metav1.CreateOptions{}); err != nil {
		return err
	}
	return ready.wait()
}

func shellPod(script string) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "pod"},
		Spec:       shellPodSpec(script),
	}
}

func shellPodSpec(script string) corev1.PodSpec {
	return corev1.PodSpec{
		RestartPolicy: corev1.RestartPolicyNever,
		Containers: []corev1.Container{{
			Name: "shell", Image: "shell", Command: []string{"sh", "-c", script},
		}},
	}
}

// helperProcess is a running helper.
type helperProcess struct {
	cmd   *exec.Cmd
	stdin io.Closer
	pids  []int // of its control plane
}

func startHelper(t *testing.T, end, dir string) *helperProcess {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), helperEnd+"="+end, helperDir+"="+dir)
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	h := &helperProcess{cmd: cmd, stdin: stdin}
	if err := json.NewDecoder(stdout).Decode(&h.pids); err != nil {
		t.Fatalf("the helper started no control plane: %v (%v)", err, cmd.Wait())
	}
	// etcd, the API server, the controllers, the pod's shell, and what that started.
	if len(h.pids) < 5 {
		t.Errorf("the control plane has the processes %v, want 5", h.pids)
	}
	return h
}
