//go:build linux

package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue/adotest"
)

// firstProcess is what main is as a container's first process. As that one does,
// a subreaper gets the processes whose parents are gone.
func firstProcess() {
	const setChildSubreaper = 36
	if _, _, err := syscall.RawSyscall(syscall.SYS_PRCTL, setChildSubreaper, 1, 0); err != 0 {
		fmt.Fprintln(os.Stderr, "subreaper:", err)
		os.Exit(exitOther)
	}
	check := os.Setenv(asProgram, "1") // of the child
	if check != nil {
		os.Exit(exitOther)
	}
	os.Exit(supervise(os.Args))
}

func processFile(pid int, name string) string {
	content, _ := os.ReadFile(fmt.Sprintf("/proc/%d/%s", pid, name))
	return string(content)
}

// children are the processes whose parent is this one, with their states.
func children(parent int) map[int]string {
	found := map[int]string{}
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, stat := range stats {
		pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(stat)))
		_, rest, _ := strings.Cut(processFile(pid, "stat"), ") ")
		if fields := strings.Fields(rest); len(fields) > 1 && fields[1] == strconv.Itoa(parent) {
			found[pid] = fields[0]
		}
	}
	return found
}

// TestFirstProcess has an agent that leaves orphans behind: they are reaped, the
// signal arrives, and the exit code is the launcher's.
func TestFirstProcess(t *testing.T) {
	ado := azureDevOps(t, adotest.Options{})
	p := prepare(t, t.TempDir())
	folder := filepath.Join(p.dir, "agent")
	check(t, os.MkdirAll(filepath.Join(folder, "bin"), 0o700))
	// Each shell in the background ends at once, its child a little later.
	writeProgram(t, filepath.Join(folder, "bin", "Agent.Listener"), `for i in {1..20}; do (sleep 0.2 &) ; done; touch started; sleep 3600 & wait $!`)
	writeProgram(t, filepath.Join(folder, "config.sh"), `exit 0`)
	_, err := ado.AddAgent("linux", adotest.Agent{Name: podName, Offline: true})
	check(t, err)
	p.command.Env = environment(p.dir, ado.URL(), asProgram+"=init")
	p.start()
	eventually(t, "the agent runs", func() bool {
		_, err := os.Stat(filepath.Join(folder, "started"))
		return err == nil
	})
	pid := p.command.Process.Pid
	eventually(t, "only the launcher is left", func() bool { return len(children(pid)) == 1 })
	p.signal(syscall.SIGTERM)
	p.exits(0, "asked to end and had no job")

	p = prepare(t, t.TempDir())
	p.command.Env = []string{asProgram + "=init"}
	p.start()
	p.exits(exitSettings, "AZP_URL (--url): is missing")
}

func writeProgram(t *testing.T, path, script string) {
	t.Helper()
	check(t, os.WriteFile(path, []byte("#!/usr/bin/env bash\n"+script+"\n"), 0o700)) // run by this user
}

// TestHiddenEnvironment looks at the launcher as a job does, which runs as the
// same user.
func TestHiddenEnvironment(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root, to become somebody else")
	}
	ado := azureDevOps(t, adotest.Options{})
	dir := t.TempDir()
	check(t, os.Chmod(filepath.Dir(dir), 0o755)) // let others in
	check(t, os.Chown(dir, 65534, 65534))
	p := prepare(t, dir)
	program := filepath.Join(dir, "launcher")
	check(t, exec.Command("cp", p.command.Path, program).Run())
	nobody := &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	p.command.Path, p.command.Dir, p.command.SysProcAttr = program, dir, nobody
	p.command.Env = environment(dir, ado.URL())
	p.start()
	eventually(t, "the agent listens", listens(ado))

	look := func(pid int) string {
		cat := exec.Command("cat", fmt.Sprintf("/proc/%d/environ", pid))
		cat.SysProcAttr = nobody
		output, _ := cat.CombinedOutput()
		return string(output)
	}
	if got := look(p.command.Process.Pid); !strings.Contains(got, "Permission denied") {
		t.Errorf("the launcher's environment: %q", got)
	}
	if got := look(agentProcesses(dir)[0]); !strings.Contains(got, "JAVA_HOME") { // else the look shows nothing
		t.Errorf("the agent's environment: %q", got)
	}
	p.signal(syscall.SIGTERM)
	p.exits(0)
}
