package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"

	"go.uber.org/zap"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/cmd/ado-agent/agent"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/cmd/ado-agent/install"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/cmd/ado-agent/lifecycle"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/cmd/ado-agent/pair"
)

// runner runs the agent that a keeper in another container has registered. It
// holds no credential but the agent's own, which lets it listen for jobs.
type runner struct {
	*flags
	http  *http.Client
	agent agent.Agent
	log   *zap.Logger
	side  *pair.Runner
}

// runJob runs one agent for its keeper.
func (f *flags) runJob(out, errs io.Writer) error {
	client, err := adoqueue.NewHTTPClient(f.CAFile)
	if err != nil {
		return failure{exitSettings, err}
	}
	r := &runner{
		flags: f, http: client, agent: f.agent(out, errs), log: f.logger(errs),
		side: pair.NewRunner(agent.Installed(f.Folder)),
	}
	if err := r.removeJobFile(); err != nil {
		return err
	}
	defer os.Remove(r.JobFile)
	stopping, hurry, release := signals(context.Background())
	defer release()
	staying, leave := context.WithCancel(context.Background())
	defer leave()
	go r.side.Stay(staying, func(ctx context.Context) (net.Conn, error) { return pair.Dial(ctx, f.SharedDir) })
	go func() {
		select {
		case <-hurry:
			r.side.Report(func(f *pair.Facts) { f.Stopping, f.Hurry = true, true })
		case <-staying.Done():
		}
	}()
	err = r.run(stopping)
	switch codeOf(err) {
	case exitAgent, exitCrash:
		r.agent.PrintDiagnostics()
	}
	return err
}

// run lasts until the keeper ends it, or the agent without a keeper.
func (r *runner) run(stopping context.Context) error {
	starting, cancel := context.WithTimeoutCause(stopping, r.StartTimeout, errTooLong)
	defer cancel()
	process, end, err := r.begin(starting)
	switch {
	case stopping.Err() != nil && process == nil:
		return r.leaveEarly()
	case err != nil:
		return at(exitConfiguration, err)
	case end != nil:
		return ended(end)
	}
	go func() {
		select {
		case <-process.Working():
			r.markJob(r.log)
		case <-process.Exited():
		}
	}()
	limits := lifecycle.Limits{Grace: r.GracePeriod, Leave: r.LeaveTimeout}
	end = r.side.Attend(process, stopping.Done(), pair.Patience{Stopping: limits.Wait(), Leave: r.LeaveTimeout})
	if end != nil {
		return ended(end)
	}
	r.log.Error("The sidecar that keeps the agent is gone; the agent may still be registered.")
	return withoutKeeper(process)
}

// begin waits for the keeper to hand over the agent, fetches it if the image holds
// none, and starts it.
func (r *runner) begin(ctx context.Context) (*agent.Process, *pair.End, error) {
	orders, err := r.side.Await(ctx, func(o pair.Orders) bool { return o.Files != nil || o.Package != nil })
	if err != nil || orders.End != nil {
		return nil, orders.End, err
	}
	if !agent.Installed(r.Folder) {
		if orders.Package == nil {
			return nil, nil, failure{exitPackage, errors.New("the image holds no agent, and the sidecar offers none")}
		}
		if err := install.Fetch(ctx, r.http, *orders.Package, r.Folder); err != nil {
			return nil, nil, at(exitPackage, err)
		}
	}
	orders, err = r.side.Await(ctx, func(o pair.Orders) bool { return o.Files != nil })
	if err != nil || orders.End != nil {
		return nil, orders.End, err
	}
	if err := r.agent.TakeConfiguration(orders.Files); err != nil {
		return nil, nil, err
	}
	if _, err := r.trust(&r.agent); err != nil {
		return nil, nil, err
	}
	r.side.Report(func(f *pair.Facts) { f.Configured = true })
	process, err := r.agent.Start(r.restarts(ctx))
	if err != nil {
		return nil, nil, failure{exitAgent, err}
	}
	return process, nil, nil
}

// leaveEarly ends before there is an agent. The keeper, which may just have
// registered one, has its time to take it out.
func (r *runner) leaveEarly() error {
	r.side.Report(func(f *pair.Facts) { f.Stopping = true })
	ctx, cancel := context.WithTimeout(context.Background(), min(r.LeaveTimeout, r.GracePeriod/2))
	defer cancel()
	orders, err := r.side.Await(ctx, func(pair.Orders) bool { return false })
	if err != nil {
		r.log.Info("The agent was asked to end before it listened for a job.")
		return nil
	}
	return ended(orders.End)
}

// ended is the result that the keeper decided on.
func ended(end *pair.End) error {
	if end.Code == exitOK {
		return nil
	}
	return failure{end.Code, errors.New(end.Message)}
}

// withoutKeeper is the result of an agent whose keeper is gone.
func withoutKeeper(p *agent.Process) error {
	code := p.ExitCode()
	working := false
	select {
	case <-p.Working():
		working = true
	default:
	}
	switch {
	case code == 0:
		return nil
	case working:
		return failure{exitCrash, fmt.Errorf("the agent ended in the middle of its job (exit code %d)", code)}
	default:
		return failure{exitAgent, fmt.Errorf("the agent ended before it had a job (exit code %d)", code)}
	}
}
