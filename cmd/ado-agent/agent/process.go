package agent

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"sync"
	"time"
)

// workingMark is what the agent prints, after the time, when it begins a job. It
// says so in English unless LANG asks for one of the languages it knows.
const workingMark = "Z: Running job: "

// The listener's exit codes that ask for another start of it.
const (
	codeRetryable    = 2 // the network failed when it made its session
	codeUpdating     = 3
	codeUpdatingOnce = 4 // the same with --once: it has not had its job
)

// Limits bound what an agent may be started again for.
type Limits struct {
	// RetryUntil is the time until which a listener that could not reach Azure
	// DevOps is started again, RetryPause after each end.
	RetryUntil time.Time
	RetryPause time.Duration
	// Update is how long an update of the agent by itself may take.
	Update time.Duration
}

// Process is an agent that listens for one job. It is the listener itself, not
// one of the scripts around it: those pass no signals on, and give an update 20
// seconds, where copying the agent on an overlay file system takes as long.
type Process struct {
	agent   Agent
	limits  Limits
	output  *output
	working chan struct{}
	exited  chan struct{}
	code    int // set before exited is closed

	mu       sync.Mutex
	listener *exec.Cmd // the latest one
	running  bool      // it has not ended
	updates  int
	stopping chan struct{}
}

// Start makes the agent listen for a job.
func (a Agent) Start(limits Limits) (*Process, error) {
	p := &Process{
		agent: a, limits: limits,
		working: make(chan struct{}), exited: make(chan struct{}), stopping: make(chan struct{}),
	}
	var once sync.Once
	seen := func(line []byte) {
		if bytes.Contains(line, []byte(workingMark)) {
			once.Do(func() { close(p.working) })
		}
	}
	var err error
	if p.output, err = newOutput(a.redacted(a.Out, seen), a.redacted(a.Err, nil)); err != nil {
		return nil, fmt.Errorf("start the agent: %w", err)
	}
	if err := p.start(); err != nil {
		p.output.close()
		return nil, fmt.Errorf("start the agent: %w", err)
	}
	go p.supervise()
	return p, nil
}

// errStopping means that the agent was asked to end between two listeners.
var errStopping = errors.New("the agent was asked to end")

func (p *Process) start() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case <-p.stopping:
		return errStopping
	default:
	}
	// It ends by Interrupt or Kill, not by a context.
	listener := p.agent.command(context.Background(), p.agent.path(listenerProgram), "run", "--once")
	listener.Env = p.agent.Environment
	listener.Stdout, listener.Stderr = p.output.out, p.output.err
	if err := listener.Start(); err != nil {
		return err
	}
	p.listener, p.running = listener, true
	return nil
}

// supervise waits for the listener, and starts it again if its exit code asks
// for it.
func (p *Process) supervise() {
	defer close(p.exited)
	defer p.output.close()
	for {
		p.code = p.wait()
		if !p.again(p.code) {
			break
		}
		if err := p.start(); err != nil {
			if !errors.Is(err, errStopping) {
				fmt.Fprintln(p.output.err, "start the agent again:", err)
			}
			break
		}
	}
	_ = kill(p.listener.Process) // what it left behind, if anything
}

// wait returns the exit code of the listener, -1 if a signal ended it.
func (p *Process) wait() int {
	_ = p.listener.Wait() // the exit code says it all
	p.mu.Lock()
	defer p.mu.Unlock()
	p.running = false
	return p.listener.ProcessState.ExitCode()
}

// again reports whether the listener is to be started again, once it may be.
func (p *Process) again(code int) bool {
	switch code {
	case codeRetryable:
		select {
		case <-p.working:
			return false
		default:
		}
		if time.Now().Add(p.limits.RetryPause).After(p.limits.RetryUntil) {
			return false
		}
		fmt.Fprintln(p.output.err, "The agent could not reach Azure DevOps; it is started again in", p.limits.RetryPause)
		return p.pause(p.limits.RetryPause)
	case codeUpdating, codeUpdatingOnce:
		p.updates++
		return p.updates <= maxUpdates && p.awaitUpdate()
	default:
		return false
	}
}

// awaitUpdate returns once the program that the listener has left behind has put
// the new version in place.
func (p *Process) awaitUpdate() bool {
	begin := time.Now()
	for !updated(p.listener.Process, p.agent.path(listenerProgram), time.Since(begin)) {
		if time.Since(begin) > p.limits.Update {
			fmt.Fprintln(p.output.err, "The agent's update takes longer than", p.limits.Update)
			return false
		}
		if !p.pause(updatePoll) {
			return false
		}
	}
	return true
}

// maxUpdates bounds an agent that does not get to the version that is wanted.
const maxUpdates = 3

// updatePoll is the pause between two observations of an update.
const updatePoll = 100 * time.Millisecond

// pause reports whether it has passed without the agent being asked to end.
func (p *Process) pause(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-p.stopping:
		return false
	}
}

// Working is closed when the agent says that it runs a job.
func (p *Process) Working() <-chan struct{} { return p.working }

// Exited is closed when the agent has ended.
func (p *Process) Exited() <-chan struct{} { return p.exited }

// ExitCode returns that of an agent that has exited, -1 if a signal ended it.
func (p *Process) ExitCode() int { return p.code }

// Interrupt asks the agent to end. A job that it runs is cancelled: the signal
// goes to the listener alone, since a step that got it too would count as failed.
func (p *Process) Interrupt() error { return p.end(interrupt) }

// Kill ends the agent and all that it started, if it is still there.
func (p *Process) Kill() error { return p.end(kill) }

// end keeps the listener from being started again and signals the one that runs.
func (p *Process) end(by func(process) error) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case <-p.stopping:
	default:
		close(p.stopping)
	}
	if !p.running {
		return nil
	}
	return by(p.listener.Process)
}
