package controlplane

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestSideBySide(t *testing.T) {
	t.Parallel()
	one, err := Start(t.Context(), Options{WithoutKEDA: true})
	if err != nil {
		t.Fatal(err)
	}
	stopped := false
	t.Cleanup(func() {
		if !stopped {
			_ = one.Stop()
		}
	})
	two := ForTest(t, Options{WithoutKEDA: true})

	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "of-one"}}
	if _, err := clientOf(t, one).CoreV1().Namespaces().Create(t.Context(), namespace, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := clientOf(t, two).CoreV1().Namespaces().Get(t.Context(), namespace.Name, metav1.GetOptions{}); !apierrors.IsNotFound(err) {
		t.Errorf("the namespace of the one in the other: error %v, want it not to be found", err)
	}

	stopped = true
	if err := one.Stop(); err != nil {
		t.Fatal(err)
	}
	if pids, err := one.Processes(); err != nil || len(pids) > 0 {
		t.Errorf("processes %v are left after Stop (error %v)", pids, err)
	}
	if _, err := os.Stat(one.Dir()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the directory is left after Stop: error %v", err)
	}
	if _, err := clientOf(t, two).Discovery().ServerVersion(); err != nil {
		t.Errorf("the other ended with the one: %v", err)
	}
}

func TestStartFails(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	_, err := Start(t.Context(), Options{Dir: dir, KEDAArgs: []string{"--no-such-flag"}})
	log := filepath.Join(dir, "logs", "keda-operator.log")
	if err == nil || !strings.Contains(err.Error(), log) {
		t.Errorf("error %v, want one that names %s", err, log)
	}
	if content, err := os.ReadFile(log); err != nil || !strings.Contains(string(content), "no-such-flag") {
		t.Errorf("the log does not tell the cause: %q, error %v", content, err)
	}
	id, err := os.ReadFile(claimPath(dir))
	if err != nil {
		t.Fatal(err)
	}
	if pids, err := planeMark(string(id)).pids(); err != nil || len(pids) > 0 {
		t.Errorf("processes %v are left (error %v)", pids, err)
	}
	if _, err := Start(t.Context(), Options{Dir: dir}); err == nil {
		t.Error("another one started in the same directory")
	}
}

func TestStopKeepingLogs(t *testing.T) {
	t.Parallel()
	c, err := Start(t.Context(), Options{Dir: t.TempDir(), WithoutKEDA: true})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.StopKeepingLogs(); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(c.Dir())
	if err != nil || len(entries) != 1 || filepath.Join(c.Dir(), entries[0].Name()) != c.LogDir() {
		t.Errorf("the directory holds %v (error %v), want the logs only", entries, err)
	}
	if _, err := os.Stat(filepath.Join(c.LogDir(), "kube-apiserver.log")); err != nil {
		t.Error(err)
	}
}
