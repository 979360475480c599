//go:build unix

package agent

import (
	"errors"
	"os"
	"syscall"
)

// The names of the programs, the best one first. run-docker.sh is run.sh, but
// for an agent that updates itself: it waits for the new one.
var (
	configProgram = []string{"config.sh"}
	runProgram    = []string{"run-docker.sh", "run.sh"}
)

func ownGroup() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }

// interrupt does to the group what Ctrl-C does at a terminal: the scripts around
// the agent do not pass signals on.
func interrupt(p *os.Process) error { return signal(p, syscall.SIGINT) }

func kill(p *os.Process) error { return signal(p, syscall.SIGKILL) }

func signal(p *os.Process, s syscall.Signal) error {
	if err := syscall.Kill(-p.Pid, s); err != nil && !errors.Is(err, syscall.ESRCH) {
		return err
	}
	return nil
}
