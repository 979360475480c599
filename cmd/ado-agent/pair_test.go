//go:build linux

package main

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue/adotest"
)

// couple is a keeper and a runner with separate folders.
type couple struct {
	keeper, runner *process
	shared         string
}

// startKeeper starts a keeper, or another in its place.
func (c *couple) startKeeper(t *testing.T, ado *adotest.Server, more ...string) {
	t.Helper()
	c.keeper = prepare(t, t.TempDir())
	c.keeper.command.Env = environment(c.keeper.dir, ado.URL(), append(more, "AZP_ROLE=keeper", "AZP_SHARED_DIR="+c.shared)...)
	c.keeper.start()
}

func launchPair(t *testing.T, ado *adotest.Server, more ...string) *couple {
	t.Helper()
	c := &couple{shared: t.TempDir()}
	c.startKeeper(t, ado, more...)
	c.runner = prepare(t, t.TempDir())
	c.runner.command.Env = []string{
		asProgram + "=1", "PATH=" + os.Getenv("PATH"), "HOME=" + c.runner.dir, "LANG=C.UTF-8",
		"AZP_ROLE=runner", "AZP_SHARED_DIR=" + c.shared, "AZP_AGENT_DIR=" + filepath.Join(c.runner.dir, "agent"),
		"AZP_JOB_FILE=" + filepath.Join(c.runner.dir, "job"), "AZP_LEAVE_TIMEOUT=5s", "AZP_GRACE_PERIOD=20s",
	}
	for _, v := range more {
		if strings.HasPrefix(v, "AZP_GRACE") || strings.HasPrefix(v, "AZP_LEAVE") || strings.HasPrefix(v, "AZP_START") {
			c.runner.command.Env = append(c.runner.command.Env, v)
		}
	}
	c.runner.start()
	return c
}

// exit waits for the runner, and ends the keeper as Kubernetes does then.
func (c *couple) exit(code int, texts ...string) {
	c.runner.t.Helper()
	c.runner.exits(code, texts...)
	c.keeper.signal(syscall.SIGTERM)
	c.keeper.exits(0)
}

func TestPairOneJob(t *testing.T) {
	ado := azureDevOps(t, adotest.Options{})
	work := filepath.Join(t.TempDir(), "work")
	c := launchPair(t, ado, "AZP_CAPABILITIES=docker", "AZP_WORK="+work)
	eventually(t, "the agent listens", listens(ado))
	if agent := ado.Agents("linux")[0]; agent.Capabilities["docker"] != "true" || !strings.HasPrefix(agent.System["Agent.HomeDirectory"], c.runner.dir) {
		t.Errorf("the agent is %+v", agent)
	}
	id := queue(t, ado, adotest.Job{Duration: time.Second})
	eventually(t, "the job file is there", c.runner.hasJob)
	for _, pid := range append(agentProcesses(c.runner.dir), c.runner.command.Process.Pid) {
		for _, file := range []string{"cmdline", "environ"} {
			if content := processFile(pid, file); strings.Contains(content, pat) {
				t.Errorf("%s of process %d: %q", file, pid, content)
			}
		}
	}
	settings, err := os.ReadFile(filepath.Join(c.runner.dir, "agent", ".agent"))
	if err != nil || !strings.Contains(string(settings), `"workFolder":"`+work+`"`) {
		t.Errorf("the agent's settings are %s, %v", settings, err)
	}
	c.exit(0, "completed with result: Succeeded")
	wantResult(t, ado, id, "succeeded")
	wantNoAgents(t, ado)
	if strings.Contains(c.keeper.output(), "Running job") {
		t.Error("the keeper ran the job")
	}
}

func TestPairIdle(t *testing.T) {
	ado := azureDevOps(t, adotest.Options{})
	launchPair(t, ado, "AZP_IDLE_TIMEOUT=500ms").exit(0)
	wantNoAgents(t, ado)
}

func TestPairSIGTERM(t *testing.T) {
	t.Run("before the agent listens", func(t *testing.T) {
		ado := azureDevOps(t, adotest.Options{})
		ado.Inject(adotest.Fault{Operation: adotest.OpConnectionData, Delay: time.Hour, Times: 1})
		c := launchPair(t, ado)
		eventually(t, "config asks", func() bool { return ado.Count(adotest.OpConnectionData, 0) > 0 })
		c.runner.signal(syscall.SIGTERM)
		c.exit(0)
		wantNoAgents(t, ado)
	})
	t.Run("without a job", func(t *testing.T) {
		ado := azureDevOps(t, adotest.Options{})
		c := launchPair(t, ado)
		eventually(t, "the agent listens", listens(ado))
		c.runner.signal(syscall.SIGTERM)
		c.exit(0)
		wantNoAgents(t, ado)
	})
	t.Run("both at once, without a job", func(t *testing.T) {
		ado := azureDevOps(t, adotest.Options{})
		c := launchPair(t, ado)
		eventually(t, "the agent listens", listens(ado))
		c.keeper.signal(syscall.SIGTERM)
		c.runner.signal(syscall.SIGTERM)
		c.runner.exits(0)
		c.keeper.exits(0)
		wantNoAgents(t, ado)
	})
	for _, tt := range []struct {
		name, grace string
		job         time.Duration
		again       bool // a second signal
		result      string
	}{
		{"a job that ends in time", "1m", 2 * time.Second, false, "succeeded"},
		{"a job that does not", "24s", time.Hour, false, "canceled"},
		{"a job that nobody wants to wait for", "1h", time.Hour, true, "canceled"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ado := azureDevOps(t, adotest.Options{})
			c := launchPair(t, ado, "AZP_GRACE_PERIOD="+tt.grace)
			eventually(t, "the agent listens", listens(ado))
			id := queue(t, ado, adotest.Job{Duration: tt.job})
			eventually(t, "it has the job", c.runner.hasJob)
			c.runner.signal(syscall.SIGTERM)
			if tt.again {
				c.runner.signal(syscall.SIGINT)
			}
			c.exit(0)
			wantResult(t, ado, id, tt.result)
			wantNoAgents(t, ado)
		})
	}
}

// A failure in one container ends the other. The exit code is that of the mode with
// one container.
func TestPairFailures(t *testing.T) {
	for _, tt := range []struct {
		name string
		ado  func(*adotest.Server)
		env  []string
		code int
		text string
	}{
		{"wrong settings", nil, []string{"AZP_URL=nonsense"}, exitSettings, "AZP_URL (--url)"},
		{"wrong token", nil, []string{"AZP_TOKEN=wrong-s3cr3t"}, exitCredential, "check that the token is valid"},
		{"unknown pool", nil, []string{"AZP_POOL=nowhere"}, exitPool, `pool "nowhere"`},
		{"no package", func(ado *adotest.Server) {
			ado.Inject(adotest.Fault{Operation: adotest.OpDownload, Status: 404})
		}, nil, exitPackage, "HTTP status 404 Not Found"},
		{"config fails", func(ado *adotest.Server) {
			ado.Inject(adotest.Fault{Operation: adotest.OpConnectionData, Status: 400})
		}, nil, exitConfiguration, "could not be configured"},
		{"agent fails at its start", func(ado *adotest.Server) {
			ado.Inject(adotest.Fault{Operation: adotest.OpSessions, Status: 400})
		}, nil, exitAgent, "--- The end of the agent's log"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ado := azureDevOps(t, adotest.Options{})
			if tt.ado != nil {
				tt.ado(ado)
			}
			launchPair(t, ado, tt.env...).exit(tt.code, tt.text)
			wantNoAgents(t, ado)
		})
	}
}

// A runner that is killed, as one that needs too much memory is, leaves nothing in
// the pool: its keeper lives.
func TestPairRunnerKilled(t *testing.T) {
	for name, job := range map[string]bool{"idle": false, "in its job": true} {
		t.Run(name, func(t *testing.T) {
			ado := azureDevOps(t, adotest.Options{LockDuration: 2 * time.Second})
			c := launchPair(t, ado, "AZP_LEAVE_TIMEOUT=20s")
			eventually(t, "the agent listens", listens(ado))
			if job {
				queue(t, ado, adotest.Job{Duration: time.Hour})
				eventually(t, "it has the job", c.runner.hasJob)
			}
			c.runner.signal(syscall.SIGKILL)
			<-c.runner.done
			for _, pid := range agentProcesses(c.runner.dir) { // as the end of a container does
				_ = syscall.Kill(pid, syscall.SIGKILL)
			}
			c.keeper.signal(syscall.SIGTERM)
			c.keeper.exits(0)
			wantNoAgents(t, ado)
		})
	}
}

// A keeper that is killed is started again by Kubernetes, and goes on.
func TestPairKeeperKilled(t *testing.T) {
	kill := func(c *couple) {
		c.keeper.signal(syscall.SIGKILL)
		<-c.keeper.done
	}
	t.Run("before the agent listens", func(t *testing.T) {
		ado := azureDevOps(t, adotest.Options{})
		ado.Inject(adotest.Fault{Operation: adotest.OpConnectionData, Delay: time.Hour, Times: 1})
		c := launchPair(t, ado)
		eventually(t, "config asks", func() bool { return ado.Count(adotest.OpConnectionData, 0) > 0 })
		kill(c)
		id := queue(t, ado, adotest.Job{})
		c.startKeeper(t, ado)
		c.exit(0)
		wantResult(t, ado, id, "succeeded")
		wantNoAgents(t, ado)
	})
	t.Run("during a job, and Azure DevOps does not answer", func(t *testing.T) {
		ado := azureDevOps(t, adotest.Options{})
		c := launchPair(t, ado)
		eventually(t, "the agent listens", listens(ado))
		id := queue(t, ado, adotest.Job{Duration: 4 * time.Second})
		eventually(t, "it has the job", c.runner.hasJob)
		kill(c)
		ado.Inject(adotest.Fault{Operation: adotest.OpPools, Status: 400, Times: 1})
		c.startKeeper(t, ado)
		c.exit(0, "completed with result: Succeeded")
		wantResult(t, ado, id, "succeeded")
		wantNoAgents(t, ado)
	})
	t.Run("for good", func(t *testing.T) {
		ado := azureDevOps(t, adotest.Options{})
		c := launchPair(t, ado, "AZP_LEAVE_TIMEOUT=1s")
		eventually(t, "the agent listens", listens(ado))
		id := queue(t, ado, adotest.Job{Duration: time.Second})
		eventually(t, "it has the job", c.runner.hasJob)
		kill(c)
		c.runner.exits(0, "the agent may still be registered")
		wantResult(t, ado, id, "succeeded")
	})
}

// The container that runs jobs refuses what it must not have.
func TestRunnerRefusesCredentials(t *testing.T) {
	output, code := outcome(t, []string{"AZP_ROLE=runner", "AZP_TOKEN=s3cr3t"})
	if code != exitSettings || !strings.Contains(output, "must have no token") || strings.Contains(output, "s3cr3t") {
		t.Errorf("exit code %d:\n%s", code, output)
	}
	if output, code := outcome(t, []string{"AZP_ROLE=chief", "AZP_URL=https://dev.azure.com/contoso"}); code != exitSettings || !strings.Contains(output, "AZP_ROLE (--role)") {
		t.Errorf("exit code %d:\n%s", code, output)
	}
}
