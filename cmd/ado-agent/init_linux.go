package main

import (
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

// hideEnvironment keeps other processes of this user, which jobs are, from
// reading this one's memory and the environment that it was started with: both
// hold the token. It does nothing against root.
func hideEnvironment() {
	// It can only fail on a kernel that does not know it.
	_, _, _ = syscall.RawSyscall(syscall.SYS_PRCTL, syscall.PR_SET_DUMPABLE, 0, 0)
}

// supervise is what the container's first process does: it runs the program
// again as a child, passes signals on, and takes note of the end of every process
// whose parent is gone, since nobody else does. It returns the child's exit code.
func supervise(args []string) int {
	caught := make(chan os.Signal, 8)
	signal.Notify(caught, syscall.SIGINT, syscall.SIGTERM)
	self, err := os.Executable()
	if err != nil {
		fmt.Fprintln(os.Stderr, "ado-agent:", err)
		return exitOther
	}
	// In a separate group the child gets Ctrl-C from here only, not twice.
	child, err := syscall.ForkExec(self, args, &syscall.ProcAttr{ //nolint:gosec // this very program
		Env: os.Environ(), Files: []uintptr{0, 1, 2}, Sys: &syscall.SysProcAttr{Setpgid: true},
	})
	if err != nil {
		fmt.Fprintln(os.Stderr, "ado-agent: start:", err)
		return exitOther
	}
	go func() {
		for s := range caught {
			if s, ok := s.(syscall.Signal); ok {
				_ = syscall.Kill(child, s) // unless it has just ended
			}
		}
	}()
	return reap(child)
}

// reap waits for all children until a certain one has ended.
func reap(child int) int {
	for {
		var status syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &status, 0, nil)
		switch {
		case errors.Is(err, syscall.EINTR):
		case err != nil:
			fmt.Fprintln(os.Stderr, "ado-agent: wait:", err)
			return exitOther
		case pid == child && status.Signaled():
			return 128 + int(status.Signal())
		case pid == child && status.Exited():
			return status.ExitStatus()
		}
	}
}
