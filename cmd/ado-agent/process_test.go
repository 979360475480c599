//go:build linux

package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue/adotest"
)

// asProgram makes the test binary behave as the program itself, so that tests
// can start it as a process.
const asProgram = "ADO_AGENT_AS_PROGRAM"

const (
	pat     = "very-s3cr3t"
	podName = "pod-1"
)

func TestMain(m *testing.M) {
	switch os.Getenv(asProgram) {
	case "":
		os.Exit(m.Run())
	case "init":
		firstProcess()
	default:
		main()
	}
}

// process is a launcher that runs.
type process struct {
	t       *testing.T
	command *exec.Cmd
	dir     string // has the agent's folder and the job file
	done    chan struct{}

	mu  sync.Mutex
	out bytes.Buffer
}

// Write keeps what the launcher and its agent print.
func (p *process) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.out.Write(b)
}

func (p *process) output() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.out.String()
}

// azureDevOps is a stand-in with the pool linux that assigns jobs to agents.
func azureDevOps(t *testing.T, options adotest.Options) *adotest.Server {
	t.Helper()
	if testing.Short() {
		t.Skip("runs bash and curl")
	}
	for _, program := range []string{"bash", "curl"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skipf("the stand-in's agent needs %s", program) // CI has it
		}
	}
	t.Parallel() // they wait for processes most of the time
	options.AutoAssign, options.AllowUnmatched, options.PAT = true, true, pat
	ado := adotest.Serve(t, options)
	ado.AddPool(adotest.Pool{Name: "linux"})
	return ado
}

// environment is what a pod has, with shorter times.
func environment(dir, url string, more ...string) []string {
	return append([]string{
		asProgram + "=1", "PATH=" + os.Getenv("PATH"), "HOME=" + dir, "LANG=C.UTF-8", "JAVA_HOME=/opt/java",
		"AZP_URL=" + url, "AZP_TOKEN=" + pat, "AZP_POOL=linux", "AZP_AGENT_NAME=" + podName,
		"AZP_AGENT_DIR=" + filepath.Join(dir, "agent"), "AZP_JOB_FILE=" + filepath.Join(dir, "job"),
		"AZP_LEAVE_TIMEOUT=5s", "AZP_GRACE_PERIOD=20s",
	}, more...)
}

// launch starts the launcher.
func launch(t *testing.T, ado *adotest.Server, more ...string) *process {
	t.Helper()
	p := prepare(t, t.TempDir())
	p.command.Env = environment(p.dir, ado.URL(), more...)
	p.start()
	return p
}

func prepare(t *testing.T, dir string) *process {
	t.Helper()
	self, err := os.Executable()
	check(t, err)
	p := &process{t: t, dir: dir, done: make(chan struct{}), command: exec.Command(self)}
	p.command.Stdout, p.command.Stderr = p, p
	p.command.WaitDelay = time.Second
	return p
}

func (p *process) start() {
	p.t.Helper()
	check(p.t, p.command.Start())
	go func() {
		_ = p.command.Wait()
		close(p.done)
	}()
	p.t.Cleanup(func() {
		_ = p.command.Process.Kill()
		<-p.done
		for _, pid := range agentProcesses(p.dir) {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
		if p.t.Failed() {
			p.t.Logf("output:\n%s", p.output())
		}
	})
}

// agentProcesses are those whose working folder is below a test's.
func agentProcesses(dir string) []int {
	var pids []int
	entries, _ := filepath.Glob("/proc/[0-9]*")
	for _, entry := range entries {
		if folder, err := os.Readlink(filepath.Join(entry, "cwd")); err == nil && strings.HasPrefix(folder, dir+"/") {
			pid, _ := strconv.Atoi(filepath.Base(entry))
			pids = append(pids, pid)
		}
	}
	return pids
}

func (p *process) signal(s syscall.Signal) {
	p.t.Helper()
	check(p.t, p.command.Process.Signal(s))
}

// exits waits for the launcher's end and checks its exit code and output.
func (p *process) exits(code int, texts ...string) {
	p.t.Helper()
	select {
	case <-p.done:
	case <-time.After(3 * time.Minute):
		p.t.Fatal("it does not end")
	}
	if got := p.command.ProcessState.ExitCode(); got != code {
		p.t.Errorf("exit code %d, want %d", got, code)
	}
	for _, text := range texts {
		if !strings.Contains(p.output(), text) {
			p.t.Errorf("the output lacks %q", text)
		}
	}
	if strings.Contains(p.output(), "s3cr3t") {
		p.t.Error("a secret is in the output")
	}
	eventually(p.t, "no process is left", func() bool { return len(agentProcesses(p.dir)) == 0 })
	if p.hasJob() {
		p.t.Error("the job file is left")
	}
}

func (p *process) hasJob() bool {
	_, err := os.Stat(filepath.Join(p.dir, "job"))
	return err == nil
}

// eventually waits for what other processes do.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(2 * time.Minute); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("never: %s", what)
		}
	}
}

func listens(ado *adotest.Server) func() bool {
	return func() bool {
		agents := ado.Agents("linux")
		return len(agents) == 1 && agents[0].Session
	}
}

func queue(t *testing.T, ado *adotest.Server, job adotest.Job) int64 {
	t.Helper()
	id, err := ado.Queue("linux", job)
	check(t, err)
	return id
}

func wantResult(t *testing.T, ado *adotest.Server, id int64, result string) {
	t.Helper()
	if r, _ := ado.Request(id); r.State != adotest.Finished || r.Result != result || r.Agent != podName {
		t.Errorf("the job is %s, %q, by %q; want %q", r.State, r.Result, r.Agent, result)
	}
}

func wantNoAgents(t *testing.T, ado *adotest.Server) {
	t.Helper()
	if agents := ado.Agents("linux"); len(agents) > 0 {
		t.Errorf("left in the pool: %+v", agents)
	}
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
