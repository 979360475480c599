package agent

import (
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"
)

// The agent's programs.
const (
	configProgram   = "config.cmd"
	listenerProgram = `bin\Agent.Listener.exe`
)

// process is a program of the agent. It is the first of its process group.
type process = *os.Process

// generateConsoleCtrlEvent is how one process interrupts another on Windows.
var generateConsoleCtrlEvent = syscall.NewLazyDLL("kernel32.dll").NewProc("GenerateConsoleCtrlEvent")

func ownGroup() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{CreationFlags: syscall.CREATE_NEW_PROCESS_GROUP}
}

// interrupt sends Ctrl-Break to the group: Ctrl-C reaches only the whole console.
func interrupt(p process) error {
	if sent, _, err := generateConsoleCtrlEvent.Call(syscall.CTRL_BREAK_EVENT, uintptr(p.Pid)); sent == 0 {
		return fmt.Errorf("interrupt the agent: %w", err)
	}
	return nil
}

func interruptGroup(p process) error { return interrupt(p) }

func kill(p process) error {
	if err := p.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	return nil
}

// leastUpdate is how long an update takes at least before it is taken to be over.
const leastUpdate = 5 * time.Second

// updated reports whether the update that a listener has left behind is over: on
// Windows, by the new program being in place.
func updated(_ process, program string, since time.Duration) bool {
	_, err := os.Stat(program)
	return err == nil && since >= leastUpdate
}
