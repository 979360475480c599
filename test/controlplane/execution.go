package controlplane

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"syscall"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/klog/v2"
)

// signalled is added to the number of a signal to make an exit code of it.
const signalled = 128

// killedCode is the exit code of a container that got SIGKILL.
const killedCode = signalled + int(syscall.SIGKILL)

// execution is one run of a container, by its process or by a stand-in.
type execution struct {
	done chan struct{} // closed when it has ended, code being set
	code int
	// terminate asks it to end, kill ends it. Either may be called at any time.
	terminate, kill func()
}

// unreadyError means that a container cannot be started yet.
type unreadyError struct {
	reason string // in the words of a kubelet
	err    error
}

func (e *unreadyError) Error() string { return e.err.Error() }
func (e *unreadyError) Unwrap() error { return e.err }

// startContainer starts a container by what its plan says.
func (p *pod) startContainer(spec corev1.Container) (*execution, error) {
	container, err := p.container(spec)
	if err != nil {
		return nil, err
	}
	logPath := p.kubelet.LogPath(p.spec, spec.Name)
	if err := os.MkdirAll(filepath.Dir(logPath), 0o750); err != nil {
		return nil, err
	}
	log, err := os.OpenFile(logPath, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	container.Log = log
	if p.plan.Run != nil {
		return startStandIn(p.plan.Run, container, log), nil
	}
	// A process has the log by itself once it was started.
	defer log.Close()
	return startProcess(container, log, containerMark(string(p.spec.UID), spec.Name))
}

// startStandIn runs a function in the place of a process.
func startStandIn(run RunFunc, container Container, log *os.File) *execution {
	ctx, cancel := context.WithCancel(context.Background())
	killed := make(chan struct{})
	e := &execution{done: make(chan struct{}), terminate: cancel}
	e.kill = sync.OnceFunc(func() {
		close(killed)
		cancel()
	})
	result := make(chan int, 1)
	go func() {
		defer log.Close()
		result <- run(ctx, container)
	}()
	go func() {
		defer close(e.done)
		defer cancel()
		select {
		case code := <-result:
			e.code = code
		case <-killed:
			e.code = killedCode
		}
	}()
	return e
}

// startProcess runs the container's command. When that ends, all that it has
// started is killed, as the end of a container's first process does.
func startProcess(container Container, log *os.File, m mark) (*execution, error) {
	cmd := exec.Command(container.Command[0], container.Command[1:]...) //nolint:gosec,noctx // it runs what the pod says, for as long as the pod does
	cmd.Dir = container.Dir
	cmd.Env = slices.Concat(container.Env, []string{string(m)})
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	e := &execution{
		done: make(chan struct{}),
		// The only error is that it has ended already.
		terminate: func() { _ = cmd.Process.Signal(syscall.SIGTERM) },
		kill:      func() { _ = cmd.Process.Kill() },
	}
	go func() {
		defer close(e.done)
		e.code = exitCode(cmd.Wait())
		ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
		defer cancel()
		if err := m.sweep(ctx); err != nil {
			klog.Background().Error(err, "A container's processes cannot be ended", "container", container.Name)
		}
	}()
	return e, nil
}

// exitCode is that of a shell: a signal counts from 128.
func exitCode(err error) int {
	if err == nil {
		return 0
	}
	exit, ok := errors.AsType[*exec.ExitError](err)
	if !ok {
		panic(fmt.Sprintf("controlplane: wait for a container's process: %v", err))
	}
	if status, ok := exit.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return signalled + int(status.Signal())
	}
	return exit.ExitCode()
}
