package adotest

import (
	"bytes"
	"encoding/pem"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// These tests hold the stand-in's agent to what Microsoft's does. Each is named
// after a behaviour that a launcher relies on or has to cope with.

// processes returns the processes of an agent whose command line holds a text.
func (d agentDir) processes(text string) []int {
	d.t.Helper()
	var found []int
	entries, err := filepath.Glob("/proc/[0-9]*")
	check(d.t, err)
	for _, entry := range entries {
		folder, _ := os.Readlink(filepath.Join(entry, "cwd"))
		line, _ := os.ReadFile(filepath.Join(entry, "cmdline"))
		if folder == d.dir && strings.Contains(strings.ReplaceAll(string(line), "\x00", " "), text) {
			pid, err := strconv.Atoi(filepath.Base(entry))
			check(d.t, err)
			found = append(found, pid)
		}
	}
	slices.Sort(found)
	return found
}

// running is an agent that has a long job.
func running(t *testing.T, ado *Server, job Job) (agentDir, *exec.Cmd, int64) {
	t.Helper()
	d := unpack(t, ado)
	d.wantExit(d.configure(ado, "--replace"))(0, "")
	cmd, _ := d.script("run.sh", "--once")
	check(t, cmd.Start())
	id := must1(ado.Queue("linux", job))(t)
	eventually(t, "the job runs", inState(ado, id, Running))
	eventually(t, "its step runs", func() bool { return len(d.processes("sleep 3600")) > 0 })
	return d, cmd, id
}

func TestAJobIsATreeOfProcesses(t *testing.T) {
	ado := agentServer(t, Options{})
	d, cmd, id := running(t, ado, Job{Duration: time.Hour})
	listener, worker := d.processes("Agent.Listener run"), d.processes("Agent.Worker")
	if len(listener) != 1 || len(worker) != 1 {
		t.Errorf("listeners %v, workers %v", listener, worker)
	}
	check(t, syscall.Kill(d.processes("sleep 3600")[0], syscall.SIGKILL))
	check(t, cmd.Wait())
	wantState(t, ado, id, Finished, "failed", "pod-1")
}

// A signal to the listener alone cancels the job in order.
func TestTheListenerAloneCancelsOnASignal(t *testing.T) {
	for _, signal := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM} {
		ado := agentServer(t, Options{})
		d, cmd, id := running(t, ado, Job{Duration: time.Hour})
		check(t, syscall.Kill(d.processes("Agent.Listener run")[0], signal))
		check(t, cmd.Wait())
		wantState(t, ado, id, Finished, "canceled", "pod-1")
		if a := ado.Agents("linux")[0]; !a.Offline || a.Session {
			t.Errorf("got %+v", a)
		}
	}
}

// SIGINT to all of its processes ends the step before the worker hears of it, also if
// the worker gets no processor for longer than the listener waits for that.
func TestSIGINTToTheGroupFailsTheJob(t *testing.T) {
	ado := agentServer(t, Options{})
	d, cmd, id := running(t, ado, Job{Duration: time.Hour})
	worker := d.processes("Agent.Worker")[0]
	check(t, syscall.Kill(worker, syscall.SIGSTOP))
	check(t, syscall.Kill(-cmd.Process.Pid, syscall.SIGINT))
	eventually(t, "the listener cancels the job", func() bool { return pending(t, worker)&(1<<(syscall.SIGUSR1-1)) != 0 })
	check(t, syscall.Kill(worker, syscall.SIGCONT))
	_ = cmd.Wait()
	wantState(t, ado, id, Finished, "failed", "pod-1")
}

// pending returns the signals that wait until a process runs.
func pending(t *testing.T, pid int) (signals uint64) {
	t.Helper()
	status, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/status")
	check(t, err)
	_, after, _ := strings.Cut(string(status), "ShdPnd:")
	signals, err = strconv.ParseUint(strings.Fields(after)[0], 16, 64)
	check(t, err)
	return signals
}

func TestTheScriptsPassNoSignalOn(t *testing.T) {
	ado := agentServer(t, Options{})
	d, cmd, id := running(t, ado, Job{Duration: time.Hour})
	check(t, cmd.Process.Signal(syscall.SIGTERM))
	eventually(t, "the script ends", func() bool { return len(d.processes("run.sh")) == 0 })
	if r, _ := ado.Request(id); r.State != Running || len(d.processes("Agent.Listener run")) != 1 {
		t.Errorf("got %+v", r)
	}
	check(t, syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL))
	_ = cmd.Wait()
}

// A step that heeds neither SIGINT nor SIGTERM is killed after 10 s.
func TestAStepHasTenSecondsToEnd(t *testing.T) {
	ado := agentServer(t, Options{})
	t.Parallel()
	_, cmd, id := running(t, ado, Job{Script: "trap '' INT TERM; for i in {1..100}; do sleep 3600; done"})
	start := time.Now()
	check(t, ado.Cancel(id))
	check(t, cmd.Wait())
	wantState(t, ado, id, Finished, "canceled", "pod-1")
	if took := time.Since(start); took < 9*time.Second {
		t.Errorf("it took %v", took)
	}
	check(t, syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)) // what the step left behind
}

func TestAJobMayBeAScript(t *testing.T) {
	ado := agentServer(t, Options{})
	d := unpack(t, ado)
	d.wantExit(d.configure(ado))(0, "")
	file := t.TempDir() + `/it's "there"`
	id := must1(ado.Queue("linux", Job{Script: "echo 'said \"so\"' > \"" + strings.ReplaceAll(file, `"`, `\"`) + "\"\nexit 3"}))(t)
	d.wantExit(d.exit("run.sh", "--once"))(0, "completed with result: Failed")
	wantState(t, ado, id, Finished, "failed", "pod-1")
	if got := string(must1(os.ReadFile(file))(t)); got != "said \"so\"\n" {
		t.Errorf("got %q", got)
	}
}

func TestItUpdatesItself(t *testing.T) {
	for _, tt := range []struct {
		name, script string
		flags        []string
		env          string
		links        bool
		code         int
		text         string
	}{
		{"with --once it ends with 4, and run-docker.sh goes on", "run-docker.sh", []string{"--once"}, "", false, 0, "Agent exit code 4"},
		{"without it ends with 3", "bin/Agent.Listener", []string{"run", "--startuptype", "service"}, "", false, 3, "Agent update in progress"},
		{"an update that takes too long ends run-docker.sh", "run-docker.sh", []string{"--once"}, "ADOTEST_MOVE_SECONDS=4", false, 1, "Failed to update within 3 seconds"},
		{"with links nothing is moved", "run-docker.sh", []string{"--once"}, "ADOTEST_MOVE_SECONDS=4", true, 0, "Agent exit code 4"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ado := agentServer(t, Options{})
			t.Parallel()
			d := unpack(t, ado)
			if tt.links {
				for _, folder := range []string{"bin", "externals"} {
					check(t, os.Rename(filepath.Join(d.dir, folder), filepath.Join(d.dir, folder+".4.255.0")))
					check(t, os.Symlink(folder+".4.255.0", filepath.Join(d.dir, folder)))
				}
			}
			d.env = append(d.env, "ADOTEST_UPDATE_PATIENCE=3", tt.env)
			d.wantExit(d.configure(ado))(0, "")
			cmd, out := d.script(tt.script, tt.flags...)
			check(t, cmd.Start())
			eventually(t, "the agent listens", func() bool { return ado.Agents("linux")[0].Session })
			check(t, ado.UpdateAgent("linux", "pod-1", "4.256.0"))
			id := must1(ado.Queue("linux", Job{}))(t)
			_ = cmd.Wait()
			d.wantExit(cmd.ProcessState.ExitCode(), out.String())(tt.code, tt.text)
			if tt.code == 0 {
				wantState(t, ado, id, Finished, "succeeded", "pod-1")
				if got := d.version(); got != "4.256.0" {
					t.Errorf("version %s", got)
				}
			}
			eventually(t, "the update is over", func() bool { return len(d.processes("_update.sh")) == 0 })
		})
	}
}

func (d agentDir) version() string {
	d.t.Helper()
	return strings.TrimSpace(string(must1(os.ReadFile(filepath.Join(d.dir, "bin", "version")))(d.t)))
}

// A listener that cannot reach its server when it makes its session ends with 2.
func TestNoNetworkIsReturnCode2(t *testing.T) {
	ado := agentServer(t, Options{})
	d := unpack(t, ado)
	d.wantExit(d.configure(ado))(0, "")
	check(t, ado.Close())
	d.wantExit(d.exit("run.sh", "--once"))(2, "see inner exception")
	if !strings.Contains(d.diagnostics(), "SocketException") {
		t.Errorf("got %s", d.diagnostics())
	}
}

// diagnostics is what the agent's logs hold.
func (d agentDir) diagnostics() string {
	d.t.Helper()
	var all bytes.Buffer
	files, err := filepath.Glob(filepath.Join(d.dir, "_diag", "*.log"))
	check(d.t, err)
	for _, file := range files {
		all.Write(must1(os.ReadFile(file))(d.t))
	}
	return all.String()
}

// The output of config does not contain the cause; its log does.
func TestConfigWithoutNetworkFails(t *testing.T) {
	ado := agentServer(t, Options{})
	d := unpack(t, ado)
	d.wantExit(d.configure(ado, "--url", "http://127.0.0.1:1/contoso"))(1, "see inner exception")
	if !strings.Contains(d.diagnostics(), "SocketException") {
		t.Errorf("got %s", d.diagnostics())
	}
}

func TestConfigHasNoEndOfItsOwn(t *testing.T) {
	ado := agentServer(t, Options{})
	ado.Inject(Fault{Operation: OpConnectionData, Delay: time.Hour})
	d := unpack(t, ado)
	cmd, _ := d.script("config.sh", "--unattended", "--url", ado.URL(), "--pool", "linux", "--token", "adotest-pat")
	check(t, cmd.Start())
	eventually(t, "it asks", func() bool { return ado.Count(OpConnectionData, 0) > 0 })
	for _, pid := range d.processes("curl") {
		line := string(must1(os.ReadFile("/proc/" + strconv.Itoa(pid) + "/cmdline"))(t))
		if !strings.Contains(line, "--max-time\x000\x00") {
			t.Errorf("it has an end: %q", line)
		}
	}
	check(t, syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL))
	_ = cmd.Wait()
}

func TestASessionConflictIsTriedAgain(t *testing.T) {
	ado := agentServer(t, Options{SessionTimeout: time.Second})
	first := unpack(t, ado)
	first.wantExit(first.configure(ado))(0, "")
	first.env = append(first.env, "ADOTEST_CONFLICT_SECONDS=1") // 30 otherwise
	id := must1(ado.Queue("linux", Job{Duration: 3 * time.Second}))(t)
	cmd, _ := first.script("run.sh", "--once")
	check(t, cmd.Start())
	eventually(t, "it runs", inState(ado, id, Running))
	again, out := first.script("run.sh", "--once")
	check(t, again.Start())
	check(t, cmd.Wait())
	next := must1(ado.Queue("linux", Job{}))(t)
	check(t, again.Wait())
	wantState(t, ado, next, Finished, "succeeded", "pod-1")
	if !strings.Contains(out.String(), "already exists") {
		t.Errorf("got %s", out)
	}
}

func TestAPATIsRefusedOverHTTP(t *testing.T) {
	ado := agentServer(t, Options{})
	d := unpack(t, ado)
	d.env = slices.DeleteFunc(d.env, func(v string) bool { return strings.HasPrefix(v, "VSS_") })
	d.wantExit(d.configure(ado))(1, "Basic authentication requires a secure connection")
}

// Only SSL_CERT_FILE says whom the agent trusts; --sslcacert is for git.
func TestTrustIsBySSLCERTFILE(t *testing.T) {
	ado := agentServer(t, Options{})
	server := httptest.NewTLSServer(ado)
	defer server.Close()
	file := filepath.Join(t.TempDir(), "ca.pem")
	check(t, os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}), 0o600))
	d := unpack(t, ado)
	d.wantExit(d.configure(ado, "--url", server.URL+"/contoso", "--sslcacert", file))(1, "see inner exception")
	d.env = append(d.env, "CURL_CA_BUNDLE="+file)
	d.wantExit(d.configure(ado, "--url", server.URL+"/contoso", "--sslcacert", file))(1, "see inner exception")
	if !strings.Contains(d.diagnostics(), "AuthenticationException") {
		t.Errorf("got %s", d.diagnostics())
	}
	d.env = append(d.env, "SSL_CERT_FILE="+file)
	d.wantExit(d.configure(ado, "--url", server.URL+"/contoso"))(0, "Successfully added")
}

// no_proxy counts in lower case only.
func TestNoProxyIsInLowerCase(t *testing.T) {
	ado := agentServer(t, Options{})
	proxied := 0
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		proxied++
		ado.ServeHTTP(w, r)
	}))
	defer proxy.Close()
	_, port, err := net.SplitHostPort(strings.TrimPrefix(proxy.URL, "http://"))
	check(t, err)
	for _, tt := range []struct {
		env   []string
		flags []string
		want  bool
	}{
		{[]string{"HTTP_PROXY=" + proxy.URL, "HTTPS_PROXY=" + proxy.URL}, nil, false},
		{[]string{"http_proxy=" + proxy.URL}, nil, true},
		{[]string{"http_proxy=" + proxy.URL, "NO_PROXY=127.0.0.1"}, nil, true},
		{[]string{"http_proxy=" + proxy.URL, "no_proxy=127.0.0.1"}, nil, false},
		{nil, []string{"--proxyurl", "http://127.0.0.1:" + port}, true},
		{[]string{"no_proxy=example.com,127.0.0.1"}, []string{"--proxyurl", proxy.URL}, false},
	} {
		proxied = 0
		d := unpack(t, ado)
		d.env = append(d.env, tt.env...)
		d.wantExit(d.configure(ado, append(tt.flags, "--replace")...))(0, "Successfully added")
		if (proxied > 0) != tt.want {
			t.Errorf("%v %v: %d requests by the proxy", tt.env, tt.flags, proxied)
		}
	}
}

// --replace keeps what users set: their capabilities, and that it is disabled.
func TestReplaceKeepsWhatUsersGave(t *testing.T) {
	ado := agentServer(t, Options{})
	must1(ado.AddAgent("linux", Agent{Name: "pod-1", Offline: true, Disabled: true, Capabilities: map[string]string{"gpu": "1"}}))(t)
	d := unpack(t, ado)
	d.wantExit(d.configure(ado, "--replace"))(0, "")
	if a := ado.Agents("linux")[0]; !a.Disabled || a.Capabilities["gpu"] != "1" {
		t.Errorf("got %+v", a)
	}
}

// The file .proxybypass, of regular expressions, counts beside no_proxy.
func TestTheProxyIsBypassedByAFile(t *testing.T) {
	ado := agentServer(t, Options{})
	d := unpack(t, ado)
	check(t, os.WriteFile(filepath.Join(d.dir, ".proxybypass"), []byte("example\\.com\n127\\.0\\.0\\.1\n"), 0o600))
	d.wantExit(d.configure(ado, "--proxyurl", "http://127.0.0.1:1"))(0, "Successfully added")
}

// Three files are all that a configured agent consists of, and the token that
// configured it is in none of them.
func TestThreeFilesMakeAConfiguredAgent(t *testing.T) {
	ado := agentServer(t, Options{})
	d, other := unpack(t, ado), unpack(t, ado)
	d.wantExit(d.configure(ado))(0, "Successfully added")
	for _, name := range []string{".agent", ".credentials", ".credentials_rsaparams"} {
		content := must1(os.ReadFile(filepath.Join(d.dir, name)))(t)
		if bytes.Contains(content, []byte("adotest-pat")) {
			t.Errorf("%s holds the token", name)
		}
		if mode := must1(os.Stat(filepath.Join(d.dir, name)))(t).Mode().Perm(); mode != 0o600 {
			t.Errorf("%s has mode %v", name, mode)
		}
		check(t, os.WriteFile(filepath.Join(other.dir, name), content, 0o600))
	}
	id := must1(ado.Queue("linux", Job{}))(t)
	other.wantExit(other.exit("run.sh", "--once"))(0, "completed with result: Succeeded")
	wantState(t, ado, id, Finished, "succeeded", "pod-1")
}

// A listener whose own token was revoked ends as if all were well.
func TestARevokedTokenEndsWith0(t *testing.T) {
	ado := agentServer(t, Options{})
	d := unpack(t, ado)
	d.wantExit(d.configure(ado))(0, "Successfully added")
	ado.Inject(Fault{
		Operation: OpMessages, Method: http.MethodGet, Status: http.StatusUnauthorized,
		Body: []byte(`{"message":"revoked","typeKey":"TaskAgentAccessTokenExpiredException"}`), ContentType: "application/json",
	})
	d.wantExit(d.exit("run.sh", "--once"))(0, "was revoked")
}

// Without ping, update.sh would spin while it waits for the listener's end.
func TestTheUpdateWaitsByPing(t *testing.T) {
	ado := agentServer(t, Options{})
	d := unpack(t, ado)
	bin := t.TempDir()
	pinged := filepath.Join(bin, "pinged")
	check(t, os.WriteFile(filepath.Join(bin, "ping"), []byte("#!/bin/bash\n>>"+pinged+" echo \"$@\"; sleep 0.1\n"), 0o700))
	d.env = append(d.env, "PATH="+bin+":"+os.Getenv("PATH"), "ADOTEST_UPDATE_PATIENCE=3")
	d.wantExit(d.configure(ado))(0, "Successfully added")
	cmd, out := d.script("run-docker.sh", "--once")
	check(t, cmd.Start())
	eventually(t, "the agent listens", func() bool { return ado.Agents("linux")[0].Session })
	check(t, ado.UpdateAgent("linux", "pod-1", "4.256.0"))
	must1(ado.Queue("linux", Job{}))(t)
	if err := cmd.Wait(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if _, err := os.Stat(pinged); err != nil {
		t.Error(err)
	}
	eventually(t, "the update is over", func() bool { return len(d.processes("_update.sh")) == 0 })
}
