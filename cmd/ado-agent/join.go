package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"time"

	"go.uber.org/zap"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/cmd/ado-agent/agent"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/cmd/ado-agent/install"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/cmd/ado-agent/lifecycle"
)

// install makes the agent's folder hold an agent, and the runner's too.
func (l *launcher) install(ctx context.Context) error {
	here := agent.Installed(l.Folder)
	if here && (l.runner == nil || l.runner.Installed()) {
		return nil
	}
	platform, err := install.Platform()
	if err != nil {
		return err
	}
	p, err := l.ado.LatestPackage(ctx, l.Package, platform)
	if err != nil {
		return err
	}
	l.log.Info("The agent is fetched, since the image holds none.", zap.String("version", p.Version))
	if l.runner != nil {
		l.runner.Offer(p)
	}
	if here {
		return nil
	}
	return install.Fetch(ctx, l.http, p, l.Folder)
}

// join registers the agent and starts it.
func (l *launcher) join(ctx context.Context, pool adoqueue.Pool, token string) (*lifecycle.Life, error) {
	l.agent.Secrets = append(l.agent.Secrets, token)
	r, err := l.registration(pool, token)
	if err != nil {
		return nil, err
	}
	if err := l.configure(ctx, r); err != nil {
		return nil, err
	}
	registered, err := l.ado.AgentByName(ctx, pool, l.Name)
	if err != nil {
		return nil, err
	}
	if err := l.equip(ctx, pool, registered); err != nil {
		return nil, err
	}
	if l.runner != nil {
		return l.handOver(pool, registered)
	}
	process, err := l.agent.Start(l.restarts(ctx))
	if err != nil {
		return nil, failure{exitAgent, err}
	}
	return l.life(pool, registered, process), nil
}

// restarts says what the agent is started again for.
func (f *flags) restarts(starting context.Context) agent.Limits {
	until, _ := starting.Deadline()
	return agent.Limits{RetryUntil: until, RetryPause: retryPause, Update: f.StartTimeout}
}

// life is that of a registered agent.
func (l *launcher) life(pool adoqueue.Pool, registered adoqueue.Agent, process lifecycle.Process) *lifecycle.Life {
	onJob := l.markJob
	if l.runner != nil {
		onJob = func() {} // the runner does it
	}
	return &lifecycle.Life{
		Registry: l.ado, Pool: pool, AgentID: registered.ID, Process: process, OnJob: onJob, Log: l.log,
		Limits: lifecycle.Limits{Idle: l.IdleTimeout, Grace: l.GracePeriod, Leave: l.LeaveTimeout},
	}
}

// registration describes the agent for its config.
func (l *launcher) registration(pool adoqueue.Pool, token string) (agent.Registration, error) {
	through, err := proxyFor(l.URL.String())
	if err != nil {
		return agent.Registration{}, err
	}
	r := agent.Registration{
		URL: l.URL.String(), Pool: pool.Name, Name: l.Name, Work: l.Work, Token: token,
		Proxy: through, Inputs: agent.Inputs(os.Environ()),
	}
	r.CAFile, err = l.trust(&l.agent)
	return r, err
}

// trust makes an agent trust AZP_CA_FILE, if there is one, and returns the bundle
// of all authorities.
func (f *flags) trust(a *agent.Agent) (bundle string, err error) {
	if f.CAFile == "" {
		return "", nil
	}
	bundle, variables, err := a.Trust(f.CAFile, os.Environ())
	a.Environment = append(a.Environment, variables...)
	return bundle, err
}

// retryPause is between two attempts at what failed for lack of the network.
const retryPause = 5 * time.Second

// configure runs the agent's config, again and again while the network fails.
func (l *launcher) configure(ctx context.Context, r agent.Registration) error {
	var last error // of the network, which is why an attempt that is cut short was one
	for {
		err := l.agent.Configure(ctx, r)
		if ctx.Err() != nil && last != nil {
			return fmt.Errorf("%w; retries ended: %w", last, context.Cause(ctx))
		}
		if !errors.Is(err, agent.ErrNetwork) {
			return err
		}
		last = err
		l.log.Warn("Configuration failed and is retried.", zap.Error(err), zap.Duration("after", retryPause))
		select {
		case <-time.After(retryPause):
		case <-ctx.Done():
			return fmt.Errorf("%w; retries ended: %w", err, context.Cause(ctx))
		}
	}
}

// equip sets the capabilities of a registered agent, in place of those that an
// earlier agent of its name was given, and enables it: config leaves both alone.
func (l *launcher) equip(ctx context.Context, pool adoqueue.Pool, registered adoqueue.Agent) error {
	if capabilities := valued(l.Capabilities); !maps.Equal(capabilities, registered.User) {
		if err := l.ado.SetAgentCapabilities(ctx, pool, registered.ID, capabilities); err != nil {
			return err
		}
	}
	if registered.Enabled {
		return nil
	}
	return l.ado.SetAgentEnabled(ctx, pool, registered.ID, true)
}

// valued sets a value of capabilities without one: what Azure DevOps makes of an
// empty one is reported nowhere.
func valued(capabilities adoqueue.Capabilities) map[string]string {
	all := make(map[string]string, len(capabilities))
	for name, value := range capabilities {
		all[name] = cmp.Or(value, "true")
	}
	return all
}

// withdraw takes out of the pool what a configuration that did not come to its
// end may have left there. An agent that is online is somebody else's.
func (l *launcher) withdraw(ctx context.Context, pool adoqueue.Pool) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), min(l.LeaveTimeout, l.GracePeriod/2))
	defer cancel()
	err := lifecycle.Persist(ctx, func() error {
		found, err := l.ado.AgentByName(ctx, pool, l.Name)
		if errors.Is(err, adoqueue.ErrAgentNotFound) || err == nil && found.Online {
			return nil
		}
		if err != nil {
			return err
		}
		return l.ado.RemoveAgent(ctx, pool, found.ID)
	})
	if err != nil {
		l.log.Warn("The agent may still be registered.", zap.String("agent", l.Name), zap.Error(err))
	}
}
