package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"k8s.io/streaming/pkg/httpstream"
	"k8s.io/streaming/pkg/httpstream/spdy"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/explain"
)

// TestExplainThroughAPIServer finds the scaler's pods and reaches their port as
// kubectl port-forward does. Of two replicas, the one that KEDA asks has the answer; a
// third one has just ended.
func TestExplainThroughAPIServer(t *testing.T) {
	idle, _ := reporter(t, func(r *explain.Report) { r.Pools, r.Summary = nil, explain.Summary{} })
	asked, _ := reporter(t, func(*explain.Report) {})
	useCluster(t, forwardingServer(t, map[string]string{"scaler-idle": idle, "scaler-asked": asked, "scaler-ended": asked}))

	for _, tt := range []struct {
		args []string
		code int
		want string
	}{
		{nil, 3, "2 stopped, 0 coming, 1 served, 3 finished"},
		{[]string{"--namespace", "ado"}, 3, "2 stopped"},
		{[]string{"--namespace", "other"}, 1, "no pod with the labels app.kubernetes.io/name=ado-agent-orchestrator runs in namespace other"},
	} {
		var out, log bytes.Buffer
		code := runUntil(t.Context(), append([]string{"explain"}, tt.args...), outputs{out: &out, log: &log})
		if code != tt.code || !strings.Contains(out.String()+log.String(), tt.want) {
			t.Errorf("%v: exit code %d: %s%s", tt.args, code, &out, &log)
		}
	}
}

// TestExplainPrefersTheAskedReplica has a leader read Azure DevOps more often than the
// replica that KEDA asks.
func TestExplainPrefersTheAskedReplica(t *testing.T) {
	now := time.Now()
	replica := func(name string, read, polled, counted time.Time) string {
		address, _ := reporter(t, func(r *explain.Report) {
			r.Unpooled, r.Pools = nil, []explain.Pool{{
				Name: name, AzureDevOps: explain.AzureDevOps{LastRead: read},
				ScaledJobs: []explain.ScaledJob{{PolledAt: polled}}, Counted: []explain.Caller{{PolledAt: counted}},
			}}
		})
		return address
	}
	ago := func(d time.Duration) time.Time { return now.Add(-d) }
	for name, addresses := range map[string][2]string{ // the asked one and the other
		"never polled":         {replica("asked", ago(time.Minute), ago(time.Minute), time.Time{}), replica("leader", now, time.Time{}, time.Time{})},
		"polled before":        {replica("asked", ago(time.Minute), time.Time{}, ago(time.Minute)), replica("leader", now, ago(time.Hour), time.Time{})},
		"neither of the two":   {replica("asked", now, time.Time{}, time.Time{}), replica("other", ago(time.Hour), time.Time{}, time.Time{})},
		"ScaledObjects polled": {replica("asked", ago(time.Minute), time.Time{}, ago(time.Minute)), replica("leader", now, time.Time{}, time.Time{})},
	} {
		for _, order := range [][]string{{addresses[0], addresses[1]}, {addresses[1], addresses[0]}} {
			source := reportSource{addresses: order}
			report, complete, err := source.report(t.Context(), explain.Filter{})
			if err != nil || !complete || report.Pools[0].Name != "asked" {
				t.Errorf("%s: got %v, %v", name, report.Pools, err)
			}
		}
	}
}

// TestExplainWatchFindsNewPod goes on with the pod that takes the place of the one which
// it has watched.
func TestExplainWatchFindsNewPod(t *testing.T) {
	fresh, _ := reporter(t, func(r *explain.Report) { r.Pools[0].Name = "new" })
	var cluster atomic.Pointer[http.Handler]
	setPod := func(name, address string) {
		handler := forwardingServer(t, map[string]string{name: address})
		cluster.Store(&handler)
	}
	replaced := false
	old := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if replaced {
			http.Error(w, "stopping", http.StatusServiceUnavailable)
			return
		}
		replaced = true
		setPod("scaler-new", fresh)
		_ = json.NewEncoder(w).Encode(explain.Report{SchemaVersion: explain.SchemaVersion})
	}))
	t.Cleanup(old.Close)
	setPod("scaler-old", strings.TrimPrefix(old.URL, "http://"))
	useCluster(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { (*cluster.Load()).ServeHTTP(w, r) }))
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	out, log := &enough{lines: 2, end: cancel}, bytes.Buffer{}
	code := runUntil(ctx, []string{"explain", "-o", "json", "--watch", "--interval", "100ms"}, outputs{out: out, log: &log})
	if code != 3 || strings.Count(log.String(), "stopping; trying again") != 1 || !strings.Contains(out.buffer.String(), `"name":"new"`) {
		t.Errorf("exit code %d: %s%s", code, &out.buffer, &log)
	}
}

// useCluster makes an API server the cluster that commands find.
func useCluster(t *testing.T, handler http.Handler) {
	t.Helper()
	api := httptest.NewServer(handler)
	t.Cleanup(api.Close)
	config := clientcmdapi.NewConfig()
	config.Clusters["c"] = &clientcmdapi.Cluster{Server: api.URL}
	config.Contexts["c"] = &clientcmdapi.Context{Cluster: "c", Namespace: "default"}
	config.CurrentContext = "c"
	kubeconfig := filepath.Join(t.TempDir(), "kubeconfig")
	if err := clientcmd.WriteToFile(*config, kubeconfig); err != nil {
		t.Fatal(err)
	}
	t.Setenv("KUBECONFIG", kubeconfig)
	t.Setenv("KUBERNETES_SERVICE_HOST", "")
}

// forwardingServer is an API server that has the pods of a scaler in namespace ado, with the addresses that their
// ports lead to.
func forwardingServer(t *testing.T, addresses map[string]string) http.Handler {
	t.Helper()
	var pods corev1.PodList
	for name, address := range addresses {
		_, port, err := net.SplitHostPort(address)
		if err != nil {
			t.Fatal(err)
		}
		number, err := strconv.ParseInt(port, 10, 32)
		if err != nil {
			t.Fatal(err)
		}
		pods.Items = append(pods.Items, corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Namespace: "ado", Name: name},
			Spec:       corev1.PodSpec{Containers: []corev1.Container{{Ports: []corev1.ContainerPort{{Name: "http", ContainerPort: int32(number)}}}}},
			Status:     corev1.PodStatus{Phase: corev1.PodRunning},
		})
	}
	list := func(items []corev1.Pod) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			if got := r.URL.Query().Get("labelSelector"); got != "app.kubernetes.io/name=ado-agent-orchestrator" {
				t.Errorf("the selector is %q", got)
			}
			w.Header().Set("Content-Type", "application/json")
			_ = json.NewEncoder(w).Encode(corev1.PodList{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "PodList"}, Items: items})
		}
	}
	mux := http.NewServeMux()
	mux.Handle("GET /api/v1/pods", list(pods.Items))
	mux.Handle("GET /api/v1/namespaces/ado/pods", list(pods.Items))
	mux.Handle("GET /api/v1/namespaces/other/pods", list(nil))
	mux.HandleFunc("POST /api/v1/namespaces/ado/pods/{name}/portforward", forwardPorts)
	return mux
}

// forwardPorts connects each stream of data with the port of this machine that its
// header names, of pods that run.
func forwardPorts(w http.ResponseWriter, r *http.Request) {
	if r.PathValue("name") == "scaler-ended" {
		http.Error(w, "the pod does not run", http.StatusBadRequest)
		return
	}
	if _, err := httpstream.Handshake(r, w, []string{"portforward.k8s.io"}); err != nil {
		return
	}
	conn := spdy.NewResponseUpgrader().UpgradeResponse(w, r, func(stream httpstream.Stream, _ <-chan struct{}) error {
		if stream.Headers().Get(corev1.StreamType) == corev1.StreamTypeData {
			go connect(stream)
		}
		return nil
	})
	if conn == nil {
		return
	}
	defer conn.Close()
	select {
	case <-conn.CloseChan():
	case <-time.After(time.Minute):
	}
}

func connect(stream httpstream.Stream) {
	defer stream.Close()
	conn, err := net.Dial("tcp", net.JoinHostPort("127.0.0.1", stream.Headers().Get(corev1.PortHeader)))
	if err != nil {
		return
	}
	defer conn.Close()
	go func() { _, _ = io.Copy(conn, stream) }()
	_, _ = io.Copy(stream, conn)
}

// TestExplainWithoutCluster says how to name the scaler.
func TestExplainWithoutCluster(t *testing.T) {
	t.Setenv("KUBECONFIG", filepath.Join(t.TempDir(), "none"))
	t.Setenv("KUBERNETES_SERVICE_HOST", "")
	var out, log bytes.Buffer
	if code := runUntil(t.Context(), []string{"explain"}, outputs{out: &out, log: &log}); code != 1 || !strings.Contains(log.String(), "or name the scaler with --address") {
		t.Errorf("exit code %d: %s", code, &log)
	}
}
