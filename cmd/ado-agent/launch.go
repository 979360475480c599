package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"time"

	"go.uber.org/zap"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue/adoauth"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/cmd/ado-agent/agent"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/cmd/ado-agent/install"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/cmd/ado-agent/lifecycle"
)

var (
	errTold    = errors.New("a signal told it to end")
	errTooLong = errors.New("it took longer than AZP_START_TIMEOUT")
)

// launcher brings one agent into its pool and out again.
type launcher struct {
	settings
	http       *http.Client
	credential adoqueue.Credential
	ado        *adoqueue.Client
	agent      agent.Agent
	log        *zap.Logger
}

func newLauncher(s settings, out, errs io.Writer) (*launcher, error) {
	client, err := adoqueue.NewHTTPClient(s.caFile)
	if err != nil {
		return nil, failure{exitSettings, err}
	}
	credential, err := adoauth.New(s.auth, client)
	if err != nil {
		return nil, failure{exitCredential, err}
	}
	ado, err := adoqueue.NewClient(s.url, credential, adoqueue.Options{HTTPClient: client, AllowHTTP: s.allowHTTP})
	if err != nil {
		return nil, failure{exitSettings, err}
	}
	installed := agent.Agent{
		Folder: s.folder, Environment: s.visibility().Environment(os.Environ()),
		Out: out, Err: errs, Secrets: secretsOf(os.Environ()),
	}
	if os.Geteuid() == 0 {
		installed.Environment = append(installed.Environment, "AGENT_ALLOW_RUNASROOT=1")
	}
	return &launcher{settings: s, http: client, credential: credential, ado: ado, log: s.logger(errs), agent: installed}, nil
}

// visibility says what jobs and the pool see of the launcher's environment.
func (s settings) visibility() agent.Visibility {
	return agent.Visibility{Hidden: hidden(s.auth.Kind), Private: private, ShowSecrets: s.showSecrets}
}

// run lasts until the agent has left its pool. The context's end tells it to
// leave, hurry to leave even with a job.
func (l *launcher) run(ctx context.Context, hurry <-chan struct{}) (failed error) {
	if err := os.Remove(l.jobFile); err != nil && !errors.Is(err, os.ErrNotExist) {
		return failure{exitSettings, fmt.Errorf("AZP_JOB_FILE (--job-file): %w", err)}
	}
	starting, cancel := context.WithTimeoutCause(ctx, l.start, errTooLong)
	defer cancel()
	life, err := l.begin(starting)
	defer func() { l.explain(failed) }()
	if ctx.Err() != nil && err != nil {
		l.log.Info("The agent was told to end before it listened for a job.")
		return nil
	}
	if err != nil {
		return err
	}
	life.Hurry = hurry
	defer os.Remove(l.jobFile)
	return l.conclude(life.Run(ctx))
}

// begin brings the agent into its pool and makes it listen. If it fails the agent
// is not in the pool, or as good as that.
func (l *launcher) begin(ctx context.Context) (*lifecycle.Life, error) {
	token, err := adoqueue.Secret(ctx, l.credential)
	if err != nil {
		return nil, failure{exitCredential, err}
	}
	pool, err := l.ado.Pool(ctx, adoqueue.PoolRef{Name: l.pool})
	if err != nil {
		return nil, at(codeOfPool(err), err)
	}
	if err := l.nameIsFree(ctx, pool); err != nil {
		return nil, err
	}
	if err := l.install(ctx); err != nil {
		return nil, at(exitPackage, err)
	}
	life, err := l.join(ctx, pool, token)
	if err != nil {
		l.withdraw(ctx, pool)
		return nil, at(exitConfiguration, err)
	}
	return life, nil
}

// nameIsFree refuses a name that a living agent has: with --replace, config
// would cut that one off in the middle of its job.
func (l *launcher) nameIsFree(ctx context.Context, pool adoqueue.Pool) error {
	other, err := l.ado.AgentByName(ctx, pool, l.name)
	switch {
	case errors.Is(err, adoqueue.ErrAgentNotFound):
		return nil
	case err != nil:
		return at(exitUnavailable, err)
	case other.Online:
		return failure{exitName, fmt.Errorf("an agent named %q is online in %s; give each its own by AZP_AGENT_NAME, such as the name of its pod", l.name, pool)}
	default:
		return nil
	}
}

// install sees to it that the agent's folder holds an agent.
func (l *launcher) install(ctx context.Context) error {
	if agent.Installed(l.folder) {
		return nil
	}
	platform, err := install.Platform()
	if err != nil {
		return err
	}
	p, err := l.ado.LatestPackage(ctx, l.packageType, platform)
	if err != nil {
		return err
	}
	l.log.Info("The agent is fetched, since the image holds none.", zap.String("version", p.Version))
	return install.Fetch(ctx, l.http, p, l.folder)
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
	registered, err := l.ado.AgentByName(ctx, pool, l.name)
	if err != nil {
		return nil, err
	}
	if err := l.equip(ctx, pool, registered); err != nil {
		return nil, err
	}
	until, _ := ctx.Deadline()
	process, err := l.agent.Start(agent.Limits{RetryUntil: until, RetryPause: retryPause, Update: l.start})
	if err != nil {
		return nil, failure{exitAgent, err}
	}
	return &lifecycle.Life{
		Registry: l.ado, Pool: pool, AgentID: registered.ID, Process: process, OnJob: l.markJob, Log: l.log,
		Limits: lifecycle.Limits{Idle: l.idle, Grace: l.grace, Leave: l.leave},
	}, nil
}

// registration describes the agent for its config.
func (l *launcher) registration(pool adoqueue.Pool, token string) (agent.Registration, error) {
	through, err := proxyFor(l.url.String())
	if err != nil {
		return agent.Registration{}, err
	}
	r := agent.Registration{
		URL: l.url.String(), Pool: pool.Name, Name: l.name, Work: l.work, Token: token,
		Proxy: through, Inputs: agent.Inputs(os.Environ()),
	}
	if l.caFile == "" {
		return r, nil
	}
	bundle, variables, err := l.agent.Trust(l.caFile, os.Environ())
	if err != nil {
		return agent.Registration{}, err
	}
	r.CAFile = bundle
	l.agent.Environment = append(l.agent.Environment, variables...)
	return r, nil
}

// retryPause is between two attempts at what failed for want of the network.
const retryPause = 5 * time.Second

// configure runs the agent's config, again and again while the network fails.
func (l *launcher) configure(ctx context.Context, r agent.Registration) error {
	for {
		err := l.agent.Configure(ctx, r)
		if !errors.Is(err, agent.ErrNetwork) {
			return err
		}
		l.log.Warn("Configuration failed and is retried.", zap.Error(err), zap.Duration("after", retryPause))
		select {
		case <-time.After(retryPause):
		case <-ctx.Done():
			return fmt.Errorf("%w; retries ended: %w", err, context.Cause(ctx))
		}
	}
}

// equip gives a registered agent its capabilities, in place of those that an
// earlier agent of its name was given, and enables it: config leaves both alone.
func (l *launcher) equip(ctx context.Context, pool adoqueue.Pool, registered adoqueue.Agent) error {
	if capabilities := valued(l.capabilities); !maps.Equal(capabilities, registered.User) {
		if err := l.ado.SetAgentCapabilities(ctx, pool, registered.ID, capabilities); err != nil {
			return err
		}
	}
	if registered.Enabled {
		return nil
	}
	return l.ado.SetAgentEnabled(ctx, pool, registered.ID, true)
}

// explain prints the agent's own log if the agent failed.
func (l *launcher) explain(err error) {
	switch codeOf(err) {
	case exitConfiguration, exitAgent, exitCrash:
		l.agent.PrintDiagnostics()
	}
}

// valued gives capabilities without a value one: what Azure DevOps makes of an
// empty one is told nowhere.
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
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), min(l.leave, l.grace/2))
	defer cancel()
	err := lifecycle.Persist(ctx, func() error {
		found, err := l.ado.AgentByName(ctx, pool, l.name)
		if errors.Is(err, adoqueue.ErrAgentNotFound) || err == nil && found.Online {
			return nil
		}
		if err != nil {
			return err
		}
		return l.ado.RemoveAgent(ctx, pool, found.ID)
	})
	if err != nil {
		l.log.Warn("The agent may still be registered.", zap.String("agent", l.name), zap.Error(err))
	}
}

// markJob makes the file that says that the agent has a job.
func (l *launcher) markJob() {
	if err := os.WriteFile(l.jobFile, []byte(time.Now().UTC().Format(time.RFC3339)+"\n"), 0o644); err != nil { //nolint:gosec // a probe may run as another user
		l.log.Warn("The file that tells of the job cannot be written; see AZP_JOB_FILE.", zap.Error(err))
	}
}

// conclude tells how the agent's life ended.
func (l *launcher) conclude(r lifecycle.Result) error {
	if r.Stays != nil {
		l.log.Error("The agent is still registered; remove it from the pool.", zap.String("agent", l.name), zap.Error(r.Stays))
	}
	switch r.Ending {
	case lifecycle.AfterJob:
	case lifecycle.Idle:
		l.log.Info("No job came within the idle time-out.", zap.Duration("timeout", l.idle))
	case lifecycle.Terminated:
		l.log.Info("The agent was told to end and had no job.")
	case lifecycle.Alone:
		l.log.Warn("The agent ended by itself and without a job.")
	case lifecycle.Failed:
		return failure{exitAgent, fmt.Errorf("the agent ended before it had a job (exit code %d); what it printed tells why", r.ExitCode)}
	case lifecycle.Crashed:
		return failure{exitCrash, fmt.Errorf("the agent ended in the middle of its job (exit code %d)", r.ExitCode)}
	}
	return nil
}
