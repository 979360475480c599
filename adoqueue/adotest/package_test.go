package adotest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

func TestPackages(t *testing.T) {
	ado := Serve(t, Options{})
	p := get(t, ado, tasks+"packages/agent?platform=linux-x64&top=1").list(t)[0]
	r := send(t, ado, exchange{path: p["downloadUrl"].(string), noAuth: true})
	sum := sha256.Sum256([]byte(r.body))
	if r.status != http.StatusOK || hex.EncodeToString(sum[:]) != p["hashValue"] {
		t.Errorf("got %d, hash %x of %v", r.status, sum, p)
	}
	if fmt.Sprint(p["version"], p["filename"]) != "map[major:4 minor:255 patch:0]vsts-agent-linux-x64-4.255.0.tar.gz" {
		t.Errorf("got %v", p)
	}
	if got := get(t, ado, tasks+"packages/agent?platform=win-x64").list(t); len(got) != 0 {
		t.Errorf("got %v", got)
	}
	if r := send(t, ado, exchange{path: tasks + "packages/agent", noAuth: true}); r.status != http.StatusNonAuthoritativeInfo {
		t.Errorf("got %d", r.status)
	}
	ado.Inject(Fault{Operation: OpDownload, Times: 1, Status: 500})
	if r := send(t, ado, exchange{path: p["downloadUrl"].(string), noAuth: true}); r.status != 500 {
		t.Errorf("got %d", r.status)
	}
}

// agentDir is an unpacked agent package.
type agentDir struct {
	t   *testing.T
	dir string
	env []string
}

func unpack(t *testing.T, ado *Server) agentDir {
	t.Helper()
	p := get(t, ado, tasks+"packages/agent?platform=linux-x64").list(t)[0]
	archive := send(t, ado, exchange{path: p["downloadUrl"].(string), noAuth: true}).body
	d := agentDir{t: t, dir: t.TempDir(), env: []string{"PATH=" + os.Getenv("PATH"), "AGENT_ALLOW_RUNASROOT=1", "LANG=C.UTF-8", "VSS_ALLOW_UNSAFE_BASICAUTH=true"}}
	tar := exec.Command("tar", "-xz", "-C", d.dir)
	tar.Stdin = strings.NewReader(archive)
	if out, err := tar.CombinedOutput(); err != nil {
		t.Fatalf("tar: %v: %s", err, out)
	}
	return d
}

// script prepares a script of the package in a separate process group, which
// ends with the test.
func (d agentDir) script(name string, args ...string) (*exec.Cmd, *bytes.Buffer) {
	d.t.Helper()
	ctx, cancel := context.WithTimeout(d.t.Context(), time.Minute)
	d.t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, filepath.Join(d.dir, name), args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = 5 * time.Second // a script that was killed leaves its listener behind
	cmd.Env = d.env
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	return cmd, &out
}

// exit runs a script to its end and returns its exit code and output.
func (d agentDir) exit(name string, args ...string) (int, string) {
	d.t.Helper()
	cmd, out := d.script(name, args...)
	err := cmd.Run()
	var exited *exec.ExitError
	if err != nil && !errors.As(err, &exited) {
		d.t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), out.String()
}

func (d agentDir) configure(ado *Server, args ...string) (int, string) {
	d.t.Helper()
	return d.exit("config.sh", append([]string{
		"--unattended", "--url", ado.URL(), "--auth", "PAT", "--token", "adotest-pat",
		"--pool", "linux", "--agent", "pod-1", "--work", "_work", "--acceptTeeEula",
	}, args...)...)
}

func (d agentDir) wantExit(code int, out string) func(wantCode int, text string) {
	return func(wantCode int, text string) {
		d.t.Helper()
		if code != wantCode || !strings.Contains(out, text) {
			d.t.Fatalf("got exit %d, want %d and %q:\n%s", code, wantCode, text, out)
		}
	}
}

// eventually waits for other processes, which is the one thing that needs real time.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("never: %s", what)
		}
	}
}

func inState(ado *Server, id int64, state State) func() bool {
	return func() bool {
		r, _ := ado.Request(id)
		return r.State == state
	}
}

func agentServer(t *testing.T, opts Options) *Server {
	t.Helper()
	if testing.Short() {
		t.Skip("runs bash and curl")
	}
	for _, program := range []string{"bash", "curl"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skipf("the agent package needs %s", program) // CI has it
		}
	}
	opts.AutoAssign = true
	ado := Serve(t, opts)
	ado.AddPool(Pool{Name: "linux"})
	return ado
}

func TestAgentPackageConfig(t *testing.T) {
	ado := agentServer(t, Options{})
	ado.AddPool(Pool{Name: "grüne Wiese & Co"})
	ado.AllowPAT("reader", ScopeRead)
	d := unpack(t, ado)
	d.env = append(d.env, "JAVA=17", "QUOTES=a \"b\" \\c\nd")

	d.wantExit(d.configure(ado, "--token", "wrong"))(1, "VS30063: You are not authorized")
	d.wantExit(d.configure(ado, "--token", "reader"))(1, "Access denied")
	d.wantExit(d.configure(ado, "--pool", "nowhere"))(1, "Agent pool not found: 'nowhere'")
	d.wantExit(d.configure(ado, "--auth", "SP"))(1, "--auth PAT only")
	d.wantExit(d.configure(ado, "--disableupdate"))(1, "")
	d.wantExit(d.exit("run.sh", "--once"))(1, "Not configured")
	d.wantExit(d.configure(ado))(0, "Successfully added the agent")
	d.wantExit(d.configure(ado))(1, "already configured")

	agents := ado.Agents("linux")
	if len(agents) != 1 || agents[0].Name != "pod-1" || !agents[0].Offline {
		t.Fatalf("got %+v", agents)
	}
	have := get(t, ado, agentsPath+"/1?includeCapabilities=true").object(t)["systemCapabilities"].(map[string]any)
	for name, want := range map[string]any{
		"Agent.Name": "pod-1", "Agent.Version": "4.255.0", "Agent.OS": "Linux", "JAVA": "17",
		"QUOTES": "a \"b\" \\c\nd",
	} {
		if have[name] != want {
			t.Errorf("%s: got %q, want %q", name, have[name], want)
		}
	}

	second := unpack(t, ado)
	second.env = append(second.env, "VSTS_AGENT_INPUT_TOKEN=adotest-pat", "VSTS_AGENT_INPUT_URL="+ado.URL()+"/", "VSTS_AGENT_INPUT_POOL=grüne Wiese & Co", "VSTS_AGENT_INPUT_AGENT=twin")
	second.wantExit(second.exit("config.sh", "--unattended"))(0, "Successfully added")
	if agents := ado.Agents("grüne Wiese & Co"); len(agents) != 1 || agents[0].Name != "twin" {
		t.Errorf("got %+v", agents)
	}

	third := unpack(t, ado)
	third.wantExit(third.configure(ado))(1, "already contains an agent with name pod-1")
	third.wantExit(third.configure(ado, "--replace"))(0, "Successfully added")
	third.wantExit(third.exit("config.sh", "remove", "--unattended", "--auth", "PAT", "--token", "wrong"))(1, "not authorized")
	third.wantExit(third.exit("config.sh", "remove", "--unattended", "--auth", "PAT", "--token", "adotest-pat"))(0, "Succeeded: Removing agent")
	third.wantExit(third.exit("config.sh", "remove", "--unattended", "--auth", "PAT", "--token", "adotest-pat"))(0, "not configured")
	d.wantExit(d.exit("config.sh", "remove", "--unattended", "--auth", "PAT", "--token", "adotest-pat"))(0, "does not exist")
	env, _ := d.script("env.sh")
	env.Dir = t.TempDir() // where it writes .env and .path, as the real one does
	if err := env.Run(); err != nil {
		t.Error(err)
	}

	d.env = []string{"PATH=" + os.Getenv("PATH")}
	if os.Geteuid() == 0 {
		d.wantExit(d.configure(ado))(1, "Must not run with sudo")
	}
}

func TestAgentPackageOnce(t *testing.T) {
	ado := agentServer(t, Options{})
	d := unpack(t, ado)
	d.wantExit(d.configure(ado))(0, "")
	ado.RevokePAT("adotest-pat") // not needed from here on
	first := must1(ado.Queue("linux", Job{Name: "one", Duration: 300 * time.Millisecond, Result: "failed"}))(t)
	second := must1(ado.Queue("linux", Job{Name: "two"}))(t)
	d.wantExit(d.exit("run.sh", "--once"))(0, "Job one completed with result: Failed")
	r := wantState(t, ado, first, Finished, "failed", "pod-1")
	if took := r.FinishTime.Sub(r.ReceiveTime); took < 300*time.Millisecond {
		t.Errorf("took %v", took)
	}
	wantState(t, ado, second, Queued, "", "")
	if a := ado.Agents("linux")[0]; !a.Offline || a.Session {
		t.Errorf("got %+v", a)
	}
}

func TestAgentPackageCancelled(t *testing.T) {
	ado := agentServer(t, Options{LockDuration: 3 * time.Second})
	d := unpack(t, ado)
	d.wantExit(d.configure(ado))(0, "")
	cmd, out := d.script("run.sh", "--once")
	check(t, cmd.Start())
	id := must1(ado.Queue("linux", Job{Name: "long", Duration: time.Hour}))(t)
	eventually(t, "a job runs", inState(ado, id, Running))
	eventually(t, "its lock is renewed", func() bool {
		r, _ := ado.Request(id)
		return r.State == Running && r.LockedUntil.Sub(r.ReceiveTime) > ado.opts.LockDuration+500*time.Millisecond
	})
	check(t, ado.Cancel(id))
	if err := cmd.Wait(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
	wantState(t, ado, id, Finished, "canceled", "pod-1")
}

// An agent that gets errors and sign-in pages for a while loses no request.
func TestAgentPackageUnderFaults(t *testing.T) {
	ado := agentServer(t, Options{})
	d := unpack(t, ado)
	d.wantExit(d.configure(ado))(0, "")
	for _, f := range []Fault{
		{Operation: OpSessions, Times: 1, Status: 503},
		{Operation: OpMessages, Method: http.MethodGet, Times: 1, Status: 203, Body: []byte(signInPage), ContentType: htmlType},
		{Operation: OpMessages, Method: http.MethodDelete, Times: 1, Reset: true},
		{Operation: OpJobRequest, Times: 1, Status: 203, Body: []byte(signInPage), ContentType: htmlType},
	} {
		ado.Inject(f)
	}
	id := must1(ado.Queue("linux", Job{Duration: time.Millisecond}))(t)
	d.wantExit(d.exit("run.sh", "--once"))(0, "completed with result: Succeeded")
	wantState(t, ado, id, Finished, "succeeded", "pod-1")
}

func TestAgentPackageKilled(t *testing.T) {
	ado := agentServer(t, Options{SessionTimeout: time.Second, LockDuration: 3 * time.Second})
	d := unpack(t, ado)
	d.wantExit(d.configure(ado))(0, "")
	cmd, _ := d.script("run.sh", "--once")
	check(t, cmd.Start())
	id := must1(ado.Queue("linux", Job{Duration: time.Hour}))(t)
	eventually(t, "a job runs", inState(ado, id, Running))
	check(t, syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL))
	_ = cmd.Wait()
	eventually(t, "the agent is offline", func() bool { return ado.Agents("linux")[0].Offline })
	eventually(t, "the request is abandoned", inState(ado, id, Finished))
	wantState(t, ado, id, Finished, "abandoned", "pod-1")
}

func TestAgentPackageDeletedMeanwhile(t *testing.T) {
	ado := agentServer(t, Options{})
	d := unpack(t, ado)
	d.wantExit(d.configure(ado))(0, "")
	cmd, out := d.script("run.sh", "--once")
	check(t, cmd.Start())
	eventually(t, "the agent is online", func() bool { return ado.Agents("linux")[0].Session })
	check(t, ado.RemoveAgent("linux", "pod-1"))
	if err := cmd.Wait(); err == nil || !strings.Contains(out.String(), "no longer exists on the server") {
		t.Errorf("got %v: %s", err, out)
	}
}

// A token must not show in a list of processes.
func TestAgentPackageHidesTokens(t *testing.T) {
	ado := agentServer(t, Options{})
	ado.AllowPAT("very-secret-token", ScopeManage)
	d := unpack(t, ado)
	d.env = append(d.env, "VSTS_AGENT_INPUT_TOKEN=very-secret-token")
	ado.Inject(Fault{Operation: OpConnectionData, Times: 1, Delay: time.Hour})
	cmd, _ := d.script("config.sh", "--unattended", "--url", ado.URL(), "--pool", "linux")
	check(t, cmd.Start())
	eventually(t, "curl asks", func() bool { return ado.Count(OpConnectionData, 0) > 0 })
	found := false
	entries, err := filepath.Glob("/proc/[0-9]*")
	check(t, err)
	for _, entry := range entries {
		line, _ := os.ReadFile(filepath.Join(entry, "cmdline"))
		environment, _ := os.ReadFile(filepath.Join(entry, "environ"))
		if !bytes.Contains(line, []byte(ado.URL())) || !bytes.HasPrefix(line, []byte("curl")) {
			continue
		}
		found = true
		if bytes.Contains(line, []byte("very-secret")) || bytes.Contains(environment, []byte("very-secret")) {
			t.Errorf("the token shows: %q %q", line, environment)
		}
	}
	if !found {
		t.Error("no curl found")
	}
	check(t, syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL))
	_ = cmd.Wait()
}

func TestFiftyAgents(t *testing.T) {
	ado := agentServer(t, Options{SessionTimeout: 30 * time.Second})
	var wg sync.WaitGroup
	start := time.Now()
	for i := range 50 {
		d := unpack(t, ado)
		must1(ado.Queue("linux", Job{SkipMatch: true, Duration: 100 * time.Millisecond}))(t)
		wg.Go(func() {
			if code, out := d.configure(ado, "--agent", fmt.Sprintf("pod-%d", i)); code != 0 {
				t.Errorf("config.sh: %d: %s", code, out)
				return
			}
			if code, out := d.exit("run.sh", "--once"); code != 0 {
				t.Errorf("run.sh: %d: %s", code, out)
			}
		})
	}
	wg.Wait()
	t.Logf("50 agents in %v", time.Since(start))
	if p := ado.Snapshot().Pools[0]; p.Finished != 50 {
		t.Errorf("finished %d of 50", p.Finished)
	}
	for _, r := range ado.Requests("linux") {
		if r.Result != "succeeded" {
			t.Errorf("got %+v", r)
		}
	}
}
