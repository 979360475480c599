package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"time"

	"go.uber.org/zap"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/cmd/ado-agent/agent"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/cmd/ado-agent/lifecycle"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/cmd/ado-agent/pair"
)

// keep holds the credential for an agent that runs in another container: a sidecar
// of it, which Kubernetes starts again if it ends before the runner does. So it
// lasts until it is asked to end, and leaves its exit code to the runner, also if
// its settings are invalid.
func (f *flags) keep(invalid error, out, errs io.Writer) error {
	stopping, hurry, release := signals(context.Background())
	defer release()
	k := pair.NewKeeper()
	listener, err := pair.Listen(f.SharedDir)
	if err != nil {
		return failure{exitSettings, err}
	}
	defer listener.Close()
	go func() { _ = k.Accept(listener) }() // the runner's end is what it says

	end := pair.End{}
	err = invalid
	if err == nil {
		err = f.keepRunner(stopping, hurry, k, out, errs)
	}
	if err != nil {
		end = pair.End{Code: codeOf(err), Message: string(secretsOf(os.Environ()).Redact([]byte(err.Error())))}
		fmt.Fprintln(errs, "ado-agent:", end.Message)
	}
	k.End(end)
	<-stopping.Done()
	return nil
}

// keepRunner takes the runner's agent through its time in the pool.
func (f *flags) keepRunner(stopping context.Context, hurry <-chan struct{}, k *pair.Keeper, out, errs io.Writer) error {
	l, err := newLauncher(f, out, errs)
	if err != nil {
		return err
	}
	l.runner = k
	ctx, cancel := context.WithCancelCause(stopping)
	defer cancel(nil)
	go func() {
		select {
		case <-k.Stopping():
			cancel(errStopping)
		case <-ctx.Done():
		}
	}()
	if err := k.Join(ctx); err != nil {
		l.log.Info("The agent was asked to end before its runner was there.")
		return nil
	}
	if k.Configured() {
		return l.resume(ctx, either(hurry, k.Hurry()))
	}
	return l.live(ctx, either(hurry, k.Hurry()))
}

// either returns a channel that is closed with the first of two.
func either(one, other <-chan struct{}) <-chan struct{} {
	both := make(chan struct{})
	go func() {
		select {
		case <-one:
		case <-other:
		}
		close(both)
	}()
	return both
}

// handOver sends the configuration of the agent to the runner, which starts it.
func (l *launcher) handOver(pool adoqueue.Pool, registered adoqueue.Agent) (*lifecycle.Life, error) {
	select {
	case <-l.runner.Exited():
		return nil, failure{exitAgent, pair.ErrEnded}
	default:
	}
	files, err := l.agent.Configuration(l.Work)
	if err != nil {
		return nil, err
	}
	l.runner.Configure(files)
	return l.life(pool, registered, l.runner), nil
}

// resumePause is between two attempts to go on with an agent.
const resumePause = time.Second

// resume goes on with an agent that an earlier keeper, which was killed, has
// handed over. It does not give up while the agent runs: no job is cut short
// because Azure DevOps does not answer just now.
func (l *launcher) resume(ctx context.Context, hurry <-chan struct{}) error {
	l.log.Warn("The sidecar was restarted; it goes on with its agent.", zap.String("agent", l.Name))
	var exited time.Time
	for {
		life, err := l.rejoin(context.WithoutCancel(ctx))
		if err == nil {
			life.Hurry = hurry
			return l.conclude(life.Run(ctx))
		}
		l.log.Warn("Watching the agent failed; retrying.", zap.Error(err))
		select {
		case <-l.runner.Exited():
			if exited.IsZero() {
				exited = time.Now()
			}
			if time.Since(exited) > l.LeaveTimeout {
				return err
			}
		default:
		}
		time.Sleep(resumePause)
	}
}

// rejoin finds the agent that the runner runs.
func (l *launcher) rejoin(ctx context.Context) (*lifecycle.Life, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, l.StartTimeout, errTooLong)
	defer cancel()
	pool, err := l.ado.Pool(ctx, adoqueue.PoolRef{Name: l.Pool})
	if err != nil {
		return nil, at(codeOfPool(err), err)
	}
	registered, err := l.ado.AgentByName(ctx, pool, l.Name)
	if err != nil {
		return nil, at(exitUnavailable, err)
	}
	return l.life(pool, registered, l.runner), nil
}

var _ lifecycle.Process = (*pair.Keeper)(nil)

var _ pair.Process = (*agent.Process)(nil)
