package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

// TestManyJobsAreCreatedFast creates the Jobs of one pass over HTTP.
func TestManyJobsAreCreatedFast(t *testing.T) {
	var created atomic.Int32
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost && r.URL.Path == "/apis/batch/v1/namespaces/ado/jobs" {
			created.Add(1)
		}
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprint(w, `{"apiVersion":"batch/v1","kind":"Job"}`)
	}))
	defer api.Close()
	file := filepath.Join(t.TempDir(), "config")
	writeFile(t, file, fmt.Sprintf(`{"apiVersion": "v1", "kind": "Config", "current-context": "test",
		"clusters": [{"name": "test", "cluster": {"server": %q}}], "contexts": [{"name": "test", "context": {"cluster": "test"}}]}`, api.URL))
	t.Setenv("KUBECONFIG", file)
	config, err := kubernetesClientConfig()
	if err != nil {
		t.Fatal(err)
	}
	kube, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	for range 88 {
		if _, err := kube.BatchV1().Jobs("ado").Create(t.Context(), &batchv1.Job{}, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	if took := time.Since(begin); created.Load() != 88 || took > 3*time.Second {
		t.Errorf("%d Jobs in %v, want 88 in less than 3 s", created.Load(), took)
	}
}
