package agent

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"sync"
)

// workingMark is what the agent prints, after the time, when it begins a job. It
// says so in English unless LANG asks for one of the languages it knows.
const workingMark = "Z: Running job: "

// Process is an agent that listens for one job.
type Process struct {
	command *exec.Cmd
	working chan struct{}
	exited  chan struct{}
}

// Start makes the agent listen for a job.
func (a Agent) Start() (*Process, error) {
	p := &Process{working: make(chan struct{}), exited: make(chan struct{})}
	var once sync.Once
	out := watch(a.Out, func(line []byte) {
		if bytes.Contains(line, []byte(workingMark)) {
			once.Do(func() { close(p.working) })
		}
	})
	// It ends by Interrupt or Kill, not by a context.
	p.command = a.command(context.Background(), a.program(runProgram), "--once")
	p.command.Env = a.Environment
	p.command.Stdout, p.command.Stderr = out, a.Err
	p.command.WaitDelay = quietTime
	if err := p.command.Start(); err != nil {
		return nil, fmt.Errorf("start the agent: %w", err)
	}
	go func() {
		_ = p.command.Wait()        // ExitCode tells
		_ = kill(p.command.Process) // what it left behind, if anything
		out.flush()
		close(p.exited)
	}()
	return p, nil
}

// Working is closed when the agent says that it runs a job.
func (p *Process) Working() <-chan struct{} { return p.working }

// Exited is closed when the agent has ended.
func (p *Process) Exited() <-chan struct{} { return p.exited }

// ExitCode is that of an agent that has exited, -1 if a signal ended it.
func (p *Process) ExitCode() int { return p.command.ProcessState.ExitCode() }

// Interrupt asks the agent to end. A job that it runs is cancelled.
func (p *Process) Interrupt() error { return interrupt(p.command.Process) }

// Kill ends the agent and all that it started, if it is still there.
func (p *Process) Kill() error { return kill(p.command.Process) }
