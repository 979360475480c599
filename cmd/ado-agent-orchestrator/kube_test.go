package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
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

// apiServer is an API server without objects. It answers that it is not available,
// once up that nothing may be read, and once open with empty lists.
type apiServer struct{ up, open atomic.Bool }

func (k *apiServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	status := metav1.Status{
		TypeMeta: metav1.TypeMeta{Kind: "Status", APIVersion: "v1"}, Status: metav1.StatusFailure,
	}
	switch query := r.URL.Query(); {
	case !k.up.Load():
		status.Reason, status.Code = metav1.StatusReasonServiceUnavailable, http.StatusServiceUnavailable
	case !k.open.Load():
		status.Reason, status.Code = metav1.StatusReasonForbidden, http.StatusForbidden
	case query.Has("sendInitialEvents"): // as an older API server: clients list then
		status.Reason, status.Code = metav1.StatusReasonInvalid, http.StatusUnprocessableEntity
	case query.Has("watch"):
		<-r.Context().Done()
		return
	case r.Method == http.MethodPost: // rights that are optional
		_, _ = io.WriteString(w, `{"apiVersion":"authorization.k8s.io/v1","kind":"SelfSubjectAccessReview","status":{"allowed":false}}`)
		return
	case strings.HasSuffix(r.URL.Path, "/scaledjobs"):
		_, _ = io.WriteString(w, `{"apiVersion":"keda.sh/v1alpha1","kind":"ScaledJobList","metadata":{"resourceVersion":"1"},"items":[]}`)
		return
	default:
		_, _ = io.WriteString(w, `{"apiVersion":"batch/v1","kind":"JobList","metadata":{"resourceVersion":"1"},"items":[]}`)
		return
	}
	w.WriteHeader(int(status.Code))
	_ = json.NewEncoder(w).Encode(status)
}

// startKubernetes lets KUBECONFIG name an API server that is not available yet.
func startKubernetes(t *testing.T) *apiServer {
	t.Helper()
	k := &apiServer{}
	server := httptest.NewServer(k)
	t.Cleanup(func() {
		server.CloseClientConnections() // watches
		server.Close()
	})
	config := clientcmdapi.NewConfig()
	config.Clusters["test"] = &clientcmdapi.Cluster{Server: server.URL}
	config.Contexts["test"] = &clientcmdapi.Context{Cluster: "test"}
	config.CurrentContext = "test"
	path := filepath.Join(t.TempDir(), "kubeconfig")
	if err := clientcmd.WriteToFile(*config, path); err != nil {
		t.Fatal(err)
	}
	t.Setenv("KUBECONFIG", path)
	return k
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
		viewRetryInterval: 50 * time.Millisecond,
		view:              viewFlags{Kube: "auto"}, keda: kedaFlags{GRPCAddr: "127.0.0.1:0"},
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
	kube := startKubernetes(t)
	addr, logs := serveInProcess(t)
	await(t, "the program waits", func() bool { return logs.FilterMessageSnippet("Kubernetes does not answer").Len() > 0 })
	if text := fmt.Sprint(logs.FilterMessageSnippet("Kubernetes does not answer").All()[0].ContextMap()["error"]); !strings.Contains(text, os.Getenv("KUBECONFIG")) {
		t.Errorf("the error names no kubeconfig: %s", text)
	}
	await(t, "the organization was checked", func() bool { return logs.FilterMessage("the organization can be read").Len() > 0 })
	if live, ready := statusOf(t, "http://"+addr+"/healthz"), statusOf(t, "http://"+addr+"/readyz"); live != http.StatusOK || ready != http.StatusServiceUnavailable {
		t.Errorf("while it waits, /healthz is %d and /readyz %d, want 200 and 503", live, ready)
	}
	kube.up.Store(true)
	await(t, "the program is ready", func() bool { return statusOf(t, "http://"+addr+"/readyz") == http.StatusOK })
	for message, want := range map[string]int{"Kubernetes does not answer": 1, "no view of Kubernetes: count exact falls back to owned": 1, "serving": 1} {
		if n := logs.FilterMessageSnippet(message).Len(); n != want {
			t.Errorf("logged %q %d times, want %d", message, n, want)
		}
	}
}

// TestKubeconfigComesLate has the file that KUBECONFIG names written after the start, as
// by a sidecar.
func TestKubeconfigComesLate(t *testing.T) {
	kube := startKubernetes(t)
	kube.up.Store(true)
	kube.open.Store(true)
	file := os.Getenv("KUBECONFIG")
	if err := os.Rename(file, file+".later"); err != nil {
		t.Fatal(err)
	}
	_, logs := serveInProcess(t)
	serves := func(kubernetes bool) func() bool {
		return func() bool {
			return logs.FilterMessage("serving").FilterField(zap.Bool("kubernetes", kubernetes)).Len() == 1
		}
	}
	await(t, "the program serves without a view", serves(false))
	if err := os.Rename(file+".later", file); err != nil {
		t.Fatal(err)
	}
	await(t, "the program serves with a view", serves(true))
}

// TestKubernetesAllowsLate has the right to read ScaledJobs come after the program:
// auto serves without a view, and then with one at the same address.
func TestKubernetesAllowsLate(t *testing.T) {
	kube := startKubernetes(t)
	kube.up.Store(true)
	addr, logs := serveInProcess(t)
	serving := func(kubernetes bool) []observer.LoggedEntry {
		return logs.FilterMessage("serving").FilterField(zap.Bool("kubernetes", kubernetes)).All()
	}
	await(t, "the program serves without a view", func() bool { return len(serving(false)) == 1 })
	kube.open.Store(true)
	await(t, "the program serves with a view", func() bool { return len(serving(true)) == 1 })
	if before, after := serving(false)[0].ContextMap()["grpc"], serving(true)[0].ContextMap()["grpc"]; before != after {
		t.Errorf("it serves at %v, and before at %v", after, before)
	}
	grpcAddr, _ := serving(true)[0].ContextMap()["grpc"].(string)
	if _, log, exit := output(t, nil, "query", "--address", grpcAddr, "--pool", "none"); exit != 1 || !strings.Contains(log, "NotFound") {
		t.Errorf("query: exit %d, %s", exit, log)
	}
	if live, ready, metrics := statusOf(t, "http://"+addr+"/healthz"), statusOf(t, "http://"+addr+"/readyz"), statusOf(t, "http://"+addr+"/metrics"); live+ready+metrics != 3*http.StatusOK {
		t.Errorf("/healthz is %d, /readyz %d, /metrics %d", live, ready, metrics)
	}
}

// TestStopWhileKubernetesIsSilent ends the program while it waits; see
// serveInProcess.
func TestStopWhileKubernetesIsSilent(t *testing.T) {
	startKubernetes(t)
	_, logs := serveInProcess(t)
	await(t, "the program waits", func() bool { return logs.FilterMessageSnippet("Kubernetes does not answer").Len() > 0 })
}

// TestPodWithoutToken runs as in a pod whose service account has no token.
func TestPodWithoutToken(t *testing.T) {
	env := []string{
		"HOME=" + t.TempDir(), "KUBECONFIG=", "KUBERNETES_SERVICE_HOST=127.0.0.1", "KUBERNETES_SERVICE_PORT=1",
		"ORG_URL=https://dev.azure.com/contoso", "ORG_PAT=s3cr3t", "KUBE=on", "GRPC_ADDR=127.0.0.1:0", "HTTP_ADDR=127.0.0.1:0",
	}
	const want = "KUBE (--kube): no cluster: the pod has no token of a service account"
	if _, log, exit := output(t, env, "serve"); exit != 1 || !strings.Contains(log, want) {
		t.Errorf("exit %d: %s, want %s", exit, log, want)
	}
}
