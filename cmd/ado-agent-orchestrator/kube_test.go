package main

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue/adoauth"
)

// kubernetesThatRefuses answers nothing but errors: that it is not available, and
// once up that nothing may be read.
func kubernetesThatRefuses(t *testing.T) (up *atomic.Bool) {
	t.Helper()
	up = &atomic.Bool{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		refusal := metav1.Status{
			TypeMeta: metav1.TypeMeta{Kind: "Status", APIVersion: "v1"},
			Status:   metav1.StatusFailure, Reason: metav1.StatusReasonServiceUnavailable, Code: http.StatusServiceUnavailable,
		}
		if up.Load() {
			refusal.Reason, refusal.Code = metav1.StatusReasonForbidden, http.StatusForbidden
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(int(refusal.Code))
		_ = json.NewEncoder(w).Encode(refusal)
	}))
	t.Cleanup(server.Close)
	config := clientcmdapi.NewConfig()
	config.Clusters["test"] = &clientcmdapi.Cluster{Server: server.URL}
	config.Contexts["test"] = &clientcmdapi.Context{Cluster: "test"}
	config.CurrentContext = "test"
	path := filepath.Join(t.TempDir(), "kubeconfig")
	if err := clientcmd.WriteToFile(*config, path); err != nil {
		t.Fatal(err)
	}
	t.Setenv("KUBECONFIG", path)
	return up
}

// serveInProcess runs `serve` with KUBE=auto and returns its HTTP address and what
// it logs. It ends with the test, and without an error.
func serveInProcess(t *testing.T) (httpAddr string, logs *observer.ObservedLogs) {
	t.Helper()
	url, err := adoqueue.ParseOrganizationURL(azureDevOps(t, "s3cr3t").URL())
	if err != nil {
		t.Fatal(err)
	}
	s := settings{
		view: viewFlags{Kube: "auto"}, keda: kedaFlags{GRPCAddr: "127.0.0.1:0"},
		commonSettings: commonSettings{
			commonFlags:   commonFlags{PollingDelay: time.Second, StaleFor: 30 * time.Second, Timeout: 10 * time.Second, Election: off},
			processFlags:  processFlags{HTTPAddr: "127.0.0.1:0"},
			organizations: []organization{{url: url, auth: adoauth.Settings{PAT: "s3cr3t"}}},
		},
	}
	ctx, cancel := context.WithCancel(t.Context())
	l, err := s.listen(ctx)
	if err != nil {
		t.Fatal(err)
	}
	core, logs := observer.New(zap.InfoLevel)
	ended := make(chan error, 1)
	go func() { ended <- s.serve(ctx, zap.New(core), l) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("serve: %v", err)
		}
	})
	return l.http.Addr().String(), logs
}

func statusOf(t *testing.T, url string) int {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, response.Body) // so that the connection is kept
	_ = response.Body.Close()
	return response.StatusCode
}

func await(t *testing.T, what string, check func() bool) {
	t.Helper()
	err := wait.PollUntilContextTimeout(t.Context(), 10*time.Millisecond, 30*time.Second, true, func(context.Context) (bool, error) {
		return check(), nil
	})
	if err != nil {
		t.Fatalf("%v, before %s", err, what)
	}
}

// TestKubernetesAnswersLate has Kubernetes come up after the program: auto decides
// on its answer, not on its silence.
func TestKubernetesAnswersLate(t *testing.T) {
	up := kubernetesThatRefuses(t)
	addr, logs := serveInProcess(t)
	await(t, "the program waits", func() bool { return logs.FilterMessageSnippet("Kubernetes does not answer").Len() > 0 })
	if live, ready := statusOf(t, "http://"+addr+"/healthz"), statusOf(t, "http://"+addr+"/readyz"); live != http.StatusOK || ready != http.StatusServiceUnavailable {
		t.Errorf("while it waits, /healthz is %d and /readyz %d, want 200 and 503", live, ready)
	}
	up.Store(true)
	await(t, "the program is ready", func() bool { return statusOf(t, "http://"+addr+"/readyz") == http.StatusOK })
	for message, want := range map[string]int{"Kubernetes does not answer": 1, "no view of Kubernetes: count exact falls back to owned": 1, "serving": 1} {
		if n := logs.FilterMessageSnippet(message).Len(); n != want {
			t.Errorf("logged %q %d times, want %d", message, n, want)
		}
	}
}

// TestStopWhileKubernetesIsSilent ends the program while it waits; see
// serveInProcess.
func TestStopWhileKubernetesIsSilent(t *testing.T) {
	kubernetesThatRefuses(t)
	_, logs := serveInProcess(t)
	await(t, "the program waits", func() bool { return logs.FilterMessageSnippet("Kubernetes does not answer").Len() > 0 })
}
