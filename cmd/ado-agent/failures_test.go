//go:build linux

package main

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue/adotest"
)

func TestFailures(t *testing.T) {
	for _, tt := range []struct {
		name string
		ado  func(*adotest.Server)
		env  []string
		code int
		text string
	}{
		{"wrong token", nil, []string{"AZP_TOKEN=wrong-s3cr3t"}, exitCredential, "check that the token is valid"},
		{"expired token", func(ado *adotest.Server) { ado.ExpirePAT(pat) }, nil, exitCredential, "has expired"},
		{"token without a right", func(ado *adotest.Server) { ado.AllowPAT("reader", adotest.ScopeRead) }, []string{"AZP_TOKEN=reader"}, exitConfiguration, "Access denied"},
		{"no token file", nil, []string{"AZP_TOKEN_FILE=/nowhere"}, exitCredential, "check the setting of the personal access token"},
		{"unknown pool", nil, []string{"AZP_POOL=nowhere"}, exitPool, `pool "nowhere"`},
		{"hosted pool", func(ado *adotest.Server) { ado.AddPool(adotest.Pool{Name: "hosted", Hosted: true}) }, []string{"AZP_POOL=hosted"}, exitPool, "name a self-hosted pool"},
		{"out of reach", nil, []string{"AZP_URL=http://127.0.0.1:1/contoso"}, exitUnavailable, "connection refused"},
		{"packages fail", func(ado *adotest.Server) {
			ado.Inject(adotest.Fault{Operation: adotest.OpPackages, Status: 500})
		}, nil, exitPackage, "find the package agent for linux-"},
		{"no package", func(ado *adotest.Server) {
			ado.Inject(adotest.Fault{Operation: adotest.OpPackages, Body: []byte(`{"count":0,"value":[]}`), ContentType: "application/json"})
		}, nil, exitPackage, "there is none"},
		{"download fails", func(ado *adotest.Server) {
			ado.Inject(adotest.Fault{Operation: adotest.OpDownload, Status: 404})
		}, nil, exitPackage, "HTTP status 404 Not Found"},
		{"download is cut", func(ado *adotest.Server) {
			ado.Inject(adotest.Fault{Operation: adotest.OpDownload, CutAfter: 1000})
		}, nil, exitPackage, "unexpected EOF"},
		{"download is tampered with", func(ado *adotest.Server) {
			ado.Inject(adotest.Fault{Operation: adotest.OpDownload, Body: []byte("evil"), ContentType: "application/gzip"})
		}, nil, exitPackage, "its SHA-256 is "},
		{"config fails", func(ado *adotest.Server) {
			ado.Inject(adotest.Fault{Operation: adotest.OpConnectionData, Status: 400})
		}, nil, exitConfiguration, "Cannot connect to server"},
		{"config takes too long", func(ado *adotest.Server) {
			ado.Inject(adotest.Fault{Operation: adotest.OpConnectionData, Delay: time.Hour})
		}, []string{"AZP_START_TIMEOUT=10s"}, exitConfiguration, "longer than AZP_START_TIMEOUT"},
		{"config fails half-way, with the agent registered", nil, []string{"AZP_WORK=/proc/nowhere"}, exitConfiguration, "Cannot create the work folder"},
		{"agent fails at its start", func(ado *adotest.Server) {
			ado.Inject(adotest.Fault{Operation: adotest.OpSessions, Status: 400})
		}, nil, exitAgent, "cannot create a session"},
		{"capabilities are refused", func(ado *adotest.Server) {
			ado.Inject(adotest.Fault{Operation: adotest.OpAgents, Method: http.MethodPut, Status: 403})
		}, []string{"AZP_CAPABILITIES=docker"}, exitCredential, "set capabilities of agent"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ado := azureDevOps(t, adotest.Options{})
			if tt.ado != nil {
				tt.ado(ado)
			}
			p := launch(t, ado, tt.env...)
			p.exits(tt.code, "ado-agent: ", tt.text)
			explained := tt.code == exitConfiguration || tt.code == exitAgent
			if got := strings.Contains(p.output(), "--- The end of the agent's log Agent_"); got != explained {
				t.Errorf("the end of the agent's log is printed: %v", got)
			}
			wantNoAgents(t, ado)
			if _, err := os.Stat(filepath.Join(p.dir, "agent", "config.sh")); tt.code == exitPackage && err == nil {
				t.Error("it is unpacked nevertheless")
			}
			leftovers, _ := filepath.Glob(filepath.Join(p.dir, "agent", ".unpack*"))
			if len(leftovers) > 0 {
				t.Errorf("left: %v", leftovers)
			}
		})
	}
}

// TestRevokedToken has Azure DevOps revoke the agent's own token, at which the agent
// ends as if all were well.
func TestRevokedToken(t *testing.T) {
	ado := azureDevOps(t, adotest.Options{})
	ado.Inject(adotest.Fault{
		Operation: adotest.OpMessages, Method: http.MethodGet, Status: http.StatusUnauthorized,
		Body: []byte(`{"message":"revoked","typeKey":"TaskAgentAccessTokenExpiredException"}`), ContentType: "application/json",
	})
	launch(t, ado).exits(0, "was revoked", "The agent ended without a job and without being asked to.")
	wantNoAgents(t, ado)
}

func TestNameTaken(t *testing.T) {
	t.Run("by a living agent", func(t *testing.T) {
		ado := azureDevOps(t, adotest.Options{})
		_, err := ado.AddAgent("linux", adotest.Agent{Name: podName})
		check(t, err)
		launch(t, ado).exits(exitName, "is online in pool", "AZP_AGENT_NAME")
		if agents := ado.Agents("linux"); len(agents) != 1 || agents[0].Offline || agents[0].Disabled {
			t.Errorf("got %+v", agents)
		}
	})
	t.Run("by a dead one", func(t *testing.T) {
		ado := azureDevOps(t, adotest.Options{})
		_, err := ado.AddAgent("linux", adotest.Agent{Name: podName, Offline: true, Disabled: true, Capabilities: map[string]string{"gpu": "old"}})
		check(t, err)
		id := queue(t, ado, adotest.Job{})
		p := launch(t, ado)
		eventually(t, "it has none of the dead one's capabilities", func() bool {
			return len(ado.Agents("linux")[0].Capabilities) == 0
		})
		p.exits(0)
		wantResult(t, ado, id, "succeeded")
		wantNoAgents(t, ado)
	})
}

func TestAgentCrashes(t *testing.T) {
	killAgent := func(p *process) {
		for _, pid := range agentProcesses(p.dir) {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	}
	t.Run("before a job", func(t *testing.T) {
		ado := azureDevOps(t, adotest.Options{})
		p := launch(t, ado)
		eventually(t, "the agent listens", listens(ado))
		killAgent(p)
		p.exits(exitAgent, "before it had a job")
		wantNoAgents(t, ado)
	})
	t.Run("in its job", func(t *testing.T) {
		ado := azureDevOps(t, adotest.Options{})
		p := launch(t, ado, "AZP_LEAVE_TIMEOUT=5s") // a busy machine needs some for one answer
		eventually(t, "the agent listens", listens(ado))
		id := queue(t, ado, adotest.Job{Duration: time.Hour})
		eventually(t, "it has the job", p.hasJob)
		killAgent(p)
		// Azure DevOps takes the job to be running until its lock lapses.
		p.exits(exitCrash, "in the middle of its job", "still registered", "is running a job")
		if r, _ := ado.Request(id); r.State != adotest.Running {
			t.Errorf("the job is %s", r.State)
		}
	})
	t.Run("in its job, and its lock lapses", func(t *testing.T) {
		ado := azureDevOps(t, adotest.Options{LockDuration: 2 * time.Second})
		p := launch(t, ado, "AZP_LEAVE_TIMEOUT=20s")
		eventually(t, "the agent listens", listens(ado))
		queue(t, ado, adotest.Job{Duration: time.Hour})
		eventually(t, "it has the job", p.hasJob)
		killAgent(p)
		p.exits(exitCrash)
		wantNoAgents(t, ado)
	})
}

// An agent that is baked into the image is not fetched; a leftover of an earlier
// run does no harm.
func TestBakedInAgent(t *testing.T) {
	ado := azureDevOps(t, adotest.Options{})
	first := launch(t, ado, "AZP_IDLE_TIMEOUT=100ms", "AZP_AGENT_PACKAGE=pipelines-agent")
	first.exits(0)
	folder := filepath.Join(first.dir, "agent")
	if _, err := os.Stat(filepath.Join(folder, ".agent")); err != nil {
		t.Fatal(err) // else the test shows nothing
	}
	fetched := ado.Count(adotest.OpPackages, 0)
	id := queue(t, ado, adotest.Job{})
	launch(t, ado, "AZP_AGENT_DIR="+folder).exits(0)
	wantResult(t, ado, id, "succeeded")
	if ado.Count(adotest.OpPackages, 0) != fetched {
		t.Error("it was fetched again")
	}
	for _, call := range ado.Calls() {
		if call.Operation == adotest.OpPackages && !strings.HasSuffix(call.Path, "/pipelines-agent") {
			t.Errorf("it asked for %s", call.Path)
		}
	}
}
