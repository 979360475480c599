// Package lifecycle takes an agent that runs through its time in a pool: until
// it had its one job, was idle for too long or was asked to end, and out again.
//
// An agent without a job must not leave while Azure DevOps assigns it one. So it is
// disabled first, after which it gets none; then read, which shows whether
// it got one before; and only one that has none is removed. Removal is refused
// for an agent with a job, so even a request that came too early does no harm.
package lifecycle

import (
	"context"
	"errors"
	"time"

	"go.uber.org/zap"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue"
)

// Registry is what Azure DevOps knows about the agent; *adoqueue.Client is one.
type Registry interface {
	Agent(ctx context.Context, pool adoqueue.Pool, id int) (adoqueue.Agent, error)
	SetAgentEnabled(ctx context.Context, pool adoqueue.Pool, id int, enabled bool) error
	RemoveAgent(ctx context.Context, pool adoqueue.Pool, id int) error
}

// Process is the agent that listens for a job and ends after it.
type Process interface {
	Working() <-chan struct{} // closed when it runs a job
	Exited() <-chan struct{}  // closed when it has ended
	ExitCode() int            // of one that has ended
	Interrupt() error         // asks it to end; its job is cancelled
	Kill() error
}

// Life is an agent's time in its pool.
type Life struct {
	Registry Registry
	Pool     adoqueue.Pool
	AgentID  int
	Process  Process
	Limits   Limits
	// Hurry cuts short the time that a job has to finish once the agent was asked
	// to end.
	Hurry <-chan struct{}
	// OnJob is called once, when the agent has a job.
	OnJob func()
	Log   *zap.Logger

	working <-chan struct{} // nil once it was closed
	hadJob  bool
}

// Ending is how an agent's life ended.
type Ending int

// The endings. An agent that had a job ends well whatever the job's result.
const (
	AfterJob   Ending = iota // it had its job, even if that was cut short at the end of the grace period
	Idle                     // no job came in time
	Terminated               // it was asked to end and had no job
	Alone                    // it ended by itself, well, without a job: somebody removed it, say
	Failed                   // it ended by itself, and badly, before it had a job
	Crashed                  // it failed in the middle of its job
)

// Result says how it ended.
type Result struct {
	Ending   Ending
	ExitCode int // of the agent's process
	// Stays is why the agent is still registered, nil if it is not.
	Stays error
}

// Run lasts until the agent has ended. The context's end asks it to leave: at
// once without a job, else when that is done or the grace period is over.
func (l *Life) Run(ctx context.Context) Result {
	l.working = l.Process.Working()
	idle := time.NewTimer(l.Limits.Idle)
	defer idle.Stop()
	if l.Limits.Idle <= 0 {
		idle.Stop()
	}
	for {
		select {
		case <-l.Process.Exited():
			return l.ended(context.WithoutCancel(ctx), l.Limits.Leave)
		case <-l.working:
			l.job()
			idle.Stop()
		case <-ctx.Done():
			return l.terminate(context.WithoutCancel(ctx))
		case <-idle.C:
			if l.leaveIdle(ctx) {
				l.stop(cancelTime)
				return l.result(Idle, nil)
			}
			idle.Reset(l.Limits.Idle)
		}
	}
}

// job notes that the agent runs its job.
func (l *Life) job() {
	l.working, l.hadJob = nil, true
	l.OnJob()
}

// leaveIdle takes the agent out of the pool unless it has a job. If the signal to
// end comes meanwhile it stops: terminate does the same again.
func (l *Life) leaveIdle(ctx context.Context) bool {
	bounded, cancel := context.WithTimeout(ctx, l.Limits.Leave)
	defer cancel()
	left, err := l.leave(bounded)
	if left || ctx.Err() != nil {
		return left
	}
	if err != nil {
		l.Log.Warn("The idle agent could not leave its pool; retrying.", zap.Error(err))
	}
	enabling, cancel := context.WithTimeout(ctx, l.Limits.Leave)
	defer cancel()
	if err := l.Registry.SetAgentEnabled(enabling, l.Pool, l.AgentID, true); err != nil && ctx.Err() == nil {
		l.Log.Warn("The agent could not be enabled again; retrying.", zap.Error(err))
	}
	return false
}

// leave disables the agent and removes it if it has no job.
func (l *Life) leave(ctx context.Context) (left bool, err error) {
	err = l.Registry.SetAgentEnabled(ctx, l.Pool, l.AgentID, false)
	if err == nil {
		var agent adoqueue.Agent
		agent, err = l.Registry.Agent(ctx, l.Pool, l.AgentID)
		if err == nil && agent.Request != 0 {
			return false, nil
		}
	}
	if err == nil {
		err = l.Registry.RemoveAgent(ctx, l.Pool, l.AgentID)
	}
	switch {
	case err == nil, errors.Is(err, adoqueue.ErrAgentNotFound): // nor is there a job then
		return true, nil
	case errors.Is(err, adoqueue.ErrAgentBusy):
		return false, nil
	default:
		return false, err
	}
}

// terminate leaves as soon as there is no job, and at the end of the grace
// period anyway. Meanwhile the agent stays disabled: a job that was cancelled
// before the agent received it is not followed by another.
func (l *Life) terminate(ctx context.Context) Result {
	limits := l.Limits.split()
	wait, cancel := context.WithTimeout(ctx, limits.wait)
	defer cancel()
	go func() {
		select {
		case <-l.Hurry:
			cancel()
		case <-wait.Done():
		}
	}()
	retry := time.NewTimer(0)
	defer retry.Stop()
	if l.working == nil {
		retry.Stop()
	}
	for {
		select {
		case <-l.Process.Exited():
			return l.ended(ctx, limits.leave)
		case <-l.working:
			l.job()
			retry.Stop()
		case <-wait.Done():
			l.stop(limits.stop)
			return l.result(Terminated, l.remove(ctx, limits.leave))
		case <-retry.C:
			left, err := l.leave(wait)
			if left {
				l.stop(limits.stop)
				return l.result(Terminated, nil)
			}
			if err != nil && wait.Err() == nil {
				l.Log.Warn("The agent could not leave its pool; retrying.", zap.Error(err))
			}
			retry.Reset(leaveRetryInterval)
		}
	}
}

// ended takes an agent out of the pool whose process ended by itself.
func (l *Life) ended(ctx context.Context, within time.Duration) Result {
	ending := Alone
	if l.Process.ExitCode() != 0 {
		ending = Failed
	}
	r := l.result(ending, l.remove(ctx, within))
	if r.Ending == AfterJob && ending == Failed {
		r.Ending = Crashed
	}
	return r
}

// result returns an ending, which is another one if there was a job.
func (l *Life) result(ending Ending, stays error) Result {
	select {
	case <-l.working:
		l.job()
	default:
	}
	if l.hadJob {
		ending = AfterJob
	}
	return Result{Ending: ending, ExitCode: l.Process.ExitCode(), Stays: stays}
}

// remove takes the agent out of the pool, though Azure DevOps may need a moment
// to notice that its job is over.
func (l *Life) remove(ctx context.Context, within time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	return Persist(ctx, func() error { return l.Registry.RemoveAgent(ctx, l.Pool, l.AgentID) })
}

// stop ends the agent's process, by force if it takes longer than it may.
func (l *Life) stop(within time.Duration) {
	if err := l.Process.Interrupt(); err == nil && l.exits(within) {
		return
	}
	if err := l.Process.Kill(); err != nil {
		l.Log.Error("The agent's process cannot be ended.", zap.Error(err))
		return
	}
	l.exits(killTimeout)
}

func (l *Life) exits(within time.Duration) bool {
	timer := time.NewTimer(within)
	defer timer.Stop()
	select {
	case <-l.Process.Exited():
		return true
	case <-timer.C:
		return false
	}
}
