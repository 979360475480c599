//go:build unix

package agent

import (
	"errors"
	"os"
	"syscall"
	"time"
)

// The agent's programs.
const (
	configProgram   = "config.sh"
	listenerProgram = "bin/Agent.Listener"
)

// process is a program of the agent. It is the first of its process group.
type process = *os.Process

func ownGroup() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }

// interrupt asks a program to end, and nothing that it started.
func interrupt(p process) error {
	if err := p.Signal(syscall.SIGINT); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	return nil
}

// interruptGroup does what Ctrl-C does at a terminal: scripts around a program
// do not pass signals on.
func interruptGroup(p process) error { return signalGroup(p, syscall.SIGINT) }

// kill ends a program and all that it started.
func kill(p process) error { return signalGroup(p, syscall.SIGKILL) }

func signalGroup(p process, s syscall.Signal) error {
	if err := syscall.Kill(-p.Pid, s); err != nil && !errors.Is(err, syscall.ESRCH) {
		return err
	}
	return nil
}

// updated reports whether the update that a listener has left behind is over.
// Its script is of the listener's process group, and the last of it.
func updated(listener process, _ string, _ time.Duration) bool {
	return errors.Is(syscall.Kill(-listener.Pid, 0), syscall.ESRCH)
}
