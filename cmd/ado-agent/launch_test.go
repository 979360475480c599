//go:build linux

package main

import (
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue/adotest"
)

// TestOneJob is the whole of an agent's life: fetched, configured, one job that
// fails, gone.
func TestOneJob(t *testing.T) {
	ado := azureDevOps(t, adotest.Options{})
	p := launch(t, ado, "AZP_CAPABILITIES=docker, java=17", "AZP_WORK=work here", "VSO_AGENT_IGNORE=OTHER,other", "OTHER=x", "other=x", "Other=shown", "HTTP_PROXY=http://u:s3cr3t@nowhere", "Https_proxy=http://u:s3cr3t@nowhere", "NO_PROXY=*",
		"NPM_TOKEN=npm-s3cr3t", "PIP_INDEX_URL=https://u:s3cr3t@pypi.example.com/")
	eventually(t, "the agent listens", listens(ado))
	agent := ado.Agents("linux")[0]
	if agent.Capabilities["docker"] != "true" || agent.Capabilities["java"] != "17" {
		t.Errorf("capabilities: %v", agent.Capabilities)
	}
	for name, value := range agent.System {
		if strings.Contains(value, "s3cr3t") || strings.EqualFold(name, "other") && name != "Other" {
			t.Errorf("the pool shows %s=%s", name, value)
		}
	}
	if agent.System["JAVA_HOME"] != "/opt/java" || agent.System["Other"] != "shown" { // else the check shows nothing
		t.Errorf("system capabilities: %v", agent.System)
	}
	if p.hasJob() {
		t.Error("it claims to have a job")
	}
	id := queue(t, ado, adotest.Job{Name: "build", Duration: time.Second, Result: "failed"})
	eventually(t, "the job file is there", p.hasJob)
	for _, pid := range agentProcesses(p.dir) {
		for _, file := range []string{"cmdline", "environ"} {
			content := processFile(pid, file)
			if strings.Contains(content, pat) || !onlyIgnored(content) {
				t.Errorf("%s of the agent: %q", file, content)
			}
		}
	}
	p.exits(0, "Successfully added the agent", "Running job: build", "completed with result: Failed")
	wantResult(t, ado, id, "failed")
	wantNoAgents(t, ado)
	if _, err := os.Stat(filepath.Join(p.dir, "agent", "work here")); err != nil {
		t.Error(err)
	}
}

// onlyIgnored reports whether our variables occur in VSO_AGENT_IGNORE alone.
func onlyIgnored(environ string) bool {
	for variable := range strings.SplitSeq(environ, "\x00") {
		if strings.Contains(variable, "AZP_") && !strings.HasPrefix(variable, "VSO_AGENT_IGNORE=") {
			return false
		}
	}
	return true
}

func TestIdle(t *testing.T) {
	ado := azureDevOps(t, adotest.Options{})
	p := launch(t, ado, "AZP_IDLE_TIMEOUT=500ms")
	p.exits(0, "No job came within the idle time-out")
	wantNoAgents(t, ado)
	var methods []string
	for _, call := range ado.Calls() {
		if call.Operation == adotest.OpAgents {
			methods = append(methods, call.Method)
		}
	}
	if got := strings.Join(methods, " "); !strings.HasSuffix(got, "PATCH GET DELETE") {
		t.Errorf("calls: %s", got)
	}
}

func TestSIGTERMBeforeJob(t *testing.T) {
	ado := azureDevOps(t, adotest.Options{})
	p := launch(t, ado)
	eventually(t, "the agent listens", listens(ado))
	p.signal(syscall.SIGTERM)
	p.exits(0, "asked to end and had no job")
	wantNoAgents(t, ado)
}

// A job that comes just before the idle agent is disabled is run.
func TestJobMeetsIdleExit(t *testing.T) {
	ado := azureDevOps(t, adotest.Options{})
	// The request that disables the agent arrives after the job, however busy the machine is.
	received := make(chan struct{})
	ado.Inject(adotest.Fault{Operation: adotest.OpAgents, Method: http.MethodPatch, Times: 1, Delay: time.Minute, Until: received})
	p := launch(t, ado, "AZP_IDLE_TIMEOUT=1s")
	eventually(t, "it is about to leave", func() bool {
		return slices.ContainsFunc(ado.Calls(), func(c adotest.Call) bool { return c.Method == http.MethodPatch })
	})
	eventually(t, "the agent listens", listens(ado))
	id := queue(t, ado, adotest.Job{Duration: 2 * time.Second})
	eventually(t, "the job is the agent's", func() bool {
		r, _ := ado.Request(id)
		return r.State != adotest.Queued
	})
	close(received)
	p.exits(0, "completed with result: Succeeded")
	wantResult(t, ado, id, "succeeded")
	wantNoAgents(t, ado)
}

func TestSIGTERMDuringJob(t *testing.T) {
	for _, tt := range []struct {
		name, grace string
		job         time.Duration
		again       bool // a second signal
		result      string
	}{
		{"it ends in time", "1m", 2 * time.Second, false, "succeeded"},
		{"it does not", "24s", time.Hour, false, "canceled"},
		{"nobody wants to wait", "1h", time.Hour, true, "canceled"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ado := azureDevOps(t, adotest.Options{})
			p := launch(t, ado, "AZP_GRACE_PERIOD="+tt.grace)
			eventually(t, "the agent listens", listens(ado))
			id := queue(t, ado, adotest.Job{Duration: tt.job})
			eventually(t, "it has the job", p.hasJob)
			p.signal(syscall.SIGTERM)
			if tt.again {
				p.signal(syscall.SIGINT)
			}
			p.exits(0)
			wantResult(t, ado, id, tt.result)
			wantNoAgents(t, ado)
		})
	}
}

func TestSIGTERMAfterJob(t *testing.T) {
	ado := azureDevOps(t, adotest.Options{})
	p := launch(t, ado)
	eventually(t, "the agent listens", listens(ado))
	ado.Inject(adotest.Fault{Operation: adotest.OpAgents, Method: http.MethodDelete, Times: 1, Delay: time.Second})
	id := queue(t, ado, adotest.Job{})
	eventually(t, "it leaves", func() bool {
		return slices.ContainsFunc(ado.Calls(), func(c adotest.Call) bool {
			return c.Method == http.MethodDelete && c.Operation == adotest.OpAgents
		})
	})
	p.signal(syscall.SIGTERM)
	p.exits(0)
	wantResult(t, ado, id, "succeeded")
	wantNoAgents(t, ado)
}

// SIGTERM ends the launcher at once wherever it is, and nothing stays behind.
func TestSIGTERMBeforeTheAgentListens(t *testing.T) {
	for operation, count := range map[string]int{
		adotest.OpPools:          1,
		adotest.OpPackages:       1,
		adotest.OpDownload:       1,
		adotest.OpConnectionData: 1, // config's first question
		adotest.OpSessions:       1, // run's first
	} {
		t.Run(operation, func(t *testing.T) {
			ado := azureDevOps(t, adotest.Options{})
			ado.Inject(adotest.Fault{Operation: operation, Delay: time.Hour, Times: 1})
			p := launch(t, ado)
			eventually(t, "it asks", func() bool { return ado.Count(operation, 0) >= count })
			p.signal(syscall.SIGTERM)
			p.exits(0)
			wantNoAgents(t, ado)
		})
	}
}

// An agent that is registered and does not listen yet is taken out again.
func TestSIGTERMInTheMiddleOfRegistration(t *testing.T) {
	ado := azureDevOps(t, adotest.Options{})
	p := launch(t, ado, "AZP_CAPABILITIES=docker")
	// The only PUT is that of the capabilities, after config.
	ado.Inject(adotest.Fault{Operation: adotest.OpAgents, Method: http.MethodPut, Delay: time.Hour, Times: 1})
	eventually(t, "it registers", func() bool {
		return slices.ContainsFunc(ado.Calls(), func(c adotest.Call) bool { return c.Method == http.MethodPut })
	})
	if len(ado.Agents("linux")) != 1 {
		t.Error("it is not registered")
	}
	p.signal(syscall.SIGTERM)
	p.exits(0, "asked to end before it listened")
	wantNoAgents(t, ado)
}
