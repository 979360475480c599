package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// inBackground is how up starts this program again. It writes its messages to
// file descriptor 3, which it closes when all is running.
const inBackground = "run-in-background"

// lab has its files in one directory, so that there is one lab at a time.
type lab struct{ dir string }

func (l lab) pidFile() string { return filepath.Join(l.dir, "pid") }
func (l lab) logFile() string { return filepath.Join(l.dir, "log") }

// up leaves a lab running.
func (l lab) up(ctx context.Context) error {
	if pid, ok := l.running(); ok {
		return fmt.Errorf("it is up already, as process %d; end it with: lab down", pid)
	}
	if err := os.MkdirAll(l.dir, 0o750); err != nil {
		return err
	}
	log, err := os.Create(l.logFile())
	if err != nil {
		return err
	}
	defer log.Close()
	reader, writer, err := os.Pipe()
	if err != nil {
		return err
	}
	defer reader.Close()
	self, err := os.Executable()
	if err != nil {
		return err
	}
	// A copy: `go run` removes the program when this process has ended.
	program := filepath.Join(l.dir, "lab")
	if err := copyProgram(self, program); err != nil {
		return err
	}
	command := exec.Command(program, inBackground) //nolint:gosec,noctx // the program is this one, and it outlives this process
	command.Stdout, command.Stderr, command.ExtraFiles = log, log, []*os.File{writer}
	command.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := command.Start(); err != nil {
		return err
	}
	stopOnSignal := context.AfterFunc(ctx, func() { _ = command.Process.Signal(syscall.SIGTERM) })
	defer stopOnSignal()
	_ = writer.Close() // the child has it
	if _, err := io.Copy(os.Stdout, reader); err != nil {
		return err
	}
	if _, ok := l.running(); !ok {
		return fmt.Errorf("it did not start; see %s", l.logFile())
	}
	return command.Process.Release()
}

// down ends the lab and all that belongs to it.
func (l lab) down(ctx context.Context) error {
	pid, ok := l.running()
	if !ok {
		return errors.New("it is not up")
	}
	if err := syscall.Kill(pid, syscall.SIGTERM); err != nil {
		return err
	}
	ticker := time.NewTicker(50 * time.Millisecond)
	defer ticker.Stop()
	for {
		if _, ok := l.running(); !ok {
			return os.RemoveAll(l.dir)
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// running returns the process of a lab that is up.
func (l lab) running() (pid int, ok bool) {
	text, err := os.ReadFile(l.pidFile())
	if err != nil {
		return 0, false
	}
	pid, err = strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		return 0, false
	}
	// The number may be another program's by now.
	target, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", pid))
	return pid, err == nil && strings.TrimSuffix(target, " (deleted)") == filepath.Join(l.dir, "lab")
}

func copyProgram(from, to string) error {
	content, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return os.WriteFile(to, content, 0o755) //nolint:gosec // it is a program
}
