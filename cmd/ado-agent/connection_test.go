//go:build linux

package main

import (
	"encoding/json"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue/adotest"
)

// TestProxy reaches a host that only the proxy knows, the agent too.
func TestProxy(t *testing.T) {
	ado := azureDevOps(t, adotest.Options{})
	var asked, agent atomic.Int32
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Host != "ado.example.com" {
			return
		}
		asked.Add(1)
		if strings.HasPrefix(r.UserAgent(), "curl/") {
			agent.Add(1)
		}
		ado.ServeHTTP(w, r)
	}))
	defer proxy.Close()
	id := queue(t, ado, adotest.Job{})
	p := launch(t, ado, "AZP_URL=http://ado.example.com/contoso", "AZP_ALLOW_HTTP=true", "HTTP_PROXY="+proxy.URL)
	p.exits(0)
	wantResult(t, ado, id, "succeeded")
	wantNoAgents(t, ado)
	if asked.Load() == agent.Load() || agent.Load() == 0 {
		t.Errorf("the proxy was asked %d times, by the agent %d times", asked.Load(), agent.Load())
	}
}

// TestPrivateCA speaks TLS with a certificate that only AZP_CA_FILE vouches for.
func TestPrivateCA(t *testing.T) {
	ado := azureDevOps(t, adotest.Options{})
	server := httptest.NewTLSServer(ado)
	defer server.Close()
	file := filepath.Join(t.TempDir(), "ca.pem")
	certificate := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	check(t, os.WriteFile(file, certificate, 0o600))
	// curl stands for programs that trust what OpenSSL does; the step's environment
	// has to be set, since the shell of the job has no other.
	id := queue(t, ado, adotest.Job{Script: `
		curl -sS --fail --noproxy '*' "` + server.URL + `/_control/state" || exit
		cmp "$NODE_EXTRA_CA_CERTS" "` + file + `" && grep -qF "$(sed -n 2p "$NODE_EXTRA_CA_CERTS")" "$GIT_SSL_CAINFO"`})
	launch(t, ado, "AZP_URL="+server.URL+"/contoso", "AZP_CA_FILE="+file).exits(0)
	wantResult(t, ado, id, "succeeded")

	launch(t, ado, "AZP_URL="+server.URL+"/contoso").exits(exitUnavailable, "certificate")
	launch(t, ado, "AZP_CA_FILE=/nowhere").exits(exitSettings, "CA file")
}

// Neither we nor the agent use the proxy for the hosts in NO_PROXY.
func TestNoProxy(t *testing.T) {
	ado := azureDevOps(t, adotest.Options{})
	var asked atomic.Int32
	proxy := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked.Add(1) }))
	defer proxy.Close()
	id := queue(t, ado, adotest.Job{})
	launch(t, ado, "http_proxy="+proxy.URL, "NO_PROXY=example.com,127.0.0.1").exits(0)
	wantResult(t, ado, id, "succeeded")
	if asked.Load() > 0 {
		t.Errorf("the proxy was asked %d times", asked.Load())
	}
}

// The password of a proxy is not printed, even if the proxy cannot be used.
func TestProxyPassword(t *testing.T) {
	ado := azureDevOps(t, adotest.Options{})
	launch(t, ado, "AZP_URL=http://ado.example.com/contoso", "AZP_ALLOW_HTTP=true", "http_proxy=http://u:s3cr3t@ho st:1").exits(exitSettings, "http_proxy: is not a URL")
	launch(t, ado, "AZP_URL=http://ado.example.com/contoso", "AZP_ALLOW_HTTP=true", "http_proxy=http://u:s3cr3t@127.0.0.1:1").exits(exitUnavailable, "connection refused")
}

func TestPlainHTTPIsRefused(t *testing.T) {
	ado := azureDevOps(t, adotest.Options{})
	launch(t, ado, "AZP_URL=http://ado.example.com/contoso").exits(exitSettings, "not sent over plain http")
}

// TestEntra uses a managed identity: the agent is configured with its access
// token, and jobs cannot get one.
func TestEntra(t *testing.T) {
	ado := azureDevOps(t, adotest.Options{})
	ado.RevokePAT(pat)
	ado.AllowBearer("entra-s3cr3t", adotest.ScopeManage)
	identity := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("X-IDENTITY-HEADER") != "header-s3cr3t" || !strings.HasPrefix(r.FormValue("resource"), "499b84ac-1321-427f-aa17-267ca6975798") {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(map[string]any{
			"access_token": "entra-s3cr3t", "expires_on": time.Now().Add(time.Hour).Unix(),
			"resource": r.FormValue("resource"), "token_type": "Bearer",
		})
	}))
	defer identity.Close()
	env := []string{"AZP_TOKEN=", "AZP_AUTH=managed-identity", "IDENTITY_ENDPOINT=" + identity.URL, "IDENTITY_HEADER=header-s3cr3t"}
	p := launch(t, ado, env...)
	eventually(t, "the agent listens", listens(ado))
	for _, pid := range agentProcesses(p.dir) {
		if content := processFile(pid, "environ"); strings.Contains(content, "s3cr3t") {
			t.Errorf("environment of the agent: %q", content)
		}
	}
	id := queue(t, ado, adotest.Job{})
	p.exits(0)
	wantResult(t, ado, id, "succeeded")
	wantNoAgents(t, ado)

	env[3] = "IDENTITY_HEADER=wrong"
	launch(t, ado, env...).exits(exitCredential, "Microsoft Entra ID")
}
