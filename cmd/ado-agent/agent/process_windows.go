package agent

import (
	"errors"
	"fmt"
	"os"
	"syscall"
)

var (
	configProgram = []string{"config.cmd"}
	runProgram    = []string{"run.cmd"}
)

// generateConsoleCtrlEvent is how one process interrupts another on Windows.
var generateConsoleCtrlEvent = syscall.NewLazyDLL("kernel32.dll").NewProc("GenerateConsoleCtrlEvent")

func ownGroup() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{CreationFlags: syscall.CREATE_NEW_PROCESS_GROUP}
}

// interrupt sends Ctrl-Break to the group: Ctrl-C reaches only the whole console.
func interrupt(p *os.Process) error {
	if sent, _, err := generateConsoleCtrlEvent.Call(syscall.CTRL_BREAK_EVENT, uintptr(p.Pid)); sent == 0 {
		return fmt.Errorf("interrupt the agent: %w", err)
	}
	return nil
}

func kill(p *os.Process) error {
	if err := p.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	return nil
}
