package main

import (
	"path/filepath"
	"testing"

	"k8s.io/client-go/kubernetes"
)

// TestManyJobsAreCreatedFast sends the requests of a large pass at once. client-go
// by itself makes all but ten of them wait.
func TestManyJobsAreCreatedFast(t *testing.T) {
	file := filepath.Join(t.TempDir(), "config")
	writeFile(t, file, `{"apiVersion": "v1", "kind": "Config", "current-context": "test",
		"clusters": [{"name": "test", "cluster": {"server": "http://127.0.0.1:1"}}], "contexts": [{"name": "test", "context": {"cluster": "test"}}]}`)
	t.Setenv("KUBECONFIG", file)
	config, err := kubernetesClientConfig()
	if err != nil {
		t.Fatal(err)
	}
	kube, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	limiter := kube.BatchV1().RESTClient().GetRateLimiter()
	for sent := range 88 {
		if !limiter.TryAccept() {
			t.Fatalf("the request after %d has to wait", sent)
		}
	}
}
