package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"

	"go.uber.org/zap"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue/adoauth"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/cmd/ado-agent/agent"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/cmd/ado-agent/lifecycle"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/cmd/ado-agent/pair"
)

var (
	errStopping = errors.New("a signal asked it to end")
	errTooLong  = errors.New("it took longer than AZP_START_TIMEOUT")
)

// launcher brings one agent into its pool and out again.
type launcher struct {
	*flags
	http       *http.Client
	credential adoqueue.Credential
	ado        *adoqueue.Client
	agent      agent.Agent
	log        *zap.Logger
	// runner is the other container's, if the agent runs there; nil otherwise.
	runner *pair.Keeper
}

func newLauncher(f *flags, out, errs io.Writer) (*launcher, error) {
	client, err := adoqueue.NewHTTPClient(f.CAFile)
	if err != nil {
		return nil, failure{exitSettings, err}
	}
	credential, err := adoauth.New(f.credential(), client)
	if err != nil {
		return nil, failure{exitCredential, err}
	}
	ado, err := adoqueue.NewClient(f.URL, credential, adoqueue.Options{HTTPClient: client, AllowHTTP: f.AllowHTTP})
	if err != nil {
		return nil, failure{exitSettings, err}
	}
	return &launcher{flags: f, http: client, credential: credential, ado: ado, log: f.logger(errs), agent: f.agent(out, errs)}, nil
}

// agent is the one in the folder.
func (f *flags) agent(out, errs io.Writer) agent.Agent {
	a := agent.Agent{
		Folder: f.Folder, Environment: f.visibility().Environment(os.Environ()),
		Out: out, Err: errs, Secrets: secretsOf(os.Environ()),
	}
	if os.Geteuid() == 0 {
		a.Environment = append(a.Environment, "AGENT_ALLOW_RUNASROOT=1")
	}
	return a
}

// visibility says what jobs and the pool see of the launcher's environment.
func (f *flags) visibility() agent.Visibility {
	return agent.Visibility{Hidden: hidden(f.credential().Kind), Private: private, ShowSecrets: f.ShowSecrets}
}

// run lasts until the agent has left its pool. The context's end asks it to
// leave, hurry to leave even with a job.
func (l *launcher) run(ctx context.Context, hurry <-chan struct{}) (failed error) {
	if err := l.removeJobFile(); err != nil {
		return err
	}
	defer os.Remove(l.JobFile)
	return l.live(ctx, hurry)
}

// removeJobFile removes what an earlier run has left.
func (f *flags) removeJobFile() error {
	if err := os.Remove(f.JobFile); err != nil && !errors.Is(err, os.ErrNotExist) {
		return failure{exitSettings, fmt.Errorf("AZP_JOB_FILE (--job-file): %w", err)}
	}
	return nil
}

// live takes the agent into its pool, through its job and out again.
func (l *launcher) live(ctx context.Context, hurry <-chan struct{}) (failed error) {
	starting, cancel := context.WithTimeoutCause(ctx, l.StartTimeout, errTooLong)
	defer cancel()
	if l.runner != nil {
		starting, cancel = l.runner.During(starting)
		defer cancel()
	}
	life, err := l.begin(starting)
	defer func() { l.explain(failed) }()
	if ctx.Err() != nil && err != nil {
		l.log.Info("The agent was asked to end before it listened for a job.")
		return nil
	}
	if err != nil {
		return err
	}
	life.Hurry = hurry
	return l.conclude(life.Run(ctx))
}

// begin brings the agent into its pool and makes it listen. If it fails the agent
// is not in the pool, or as good as that.
func (l *launcher) begin(ctx context.Context) (*lifecycle.Life, error) {
	token, err := adoqueue.Secret(ctx, l.credential)
	if err != nil {
		return nil, failure{exitCredential, err}
	}
	pool, err := l.ado.Pool(ctx, adoqueue.PoolRef{Name: l.Pool})
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
	other, err := l.ado.AgentByName(ctx, pool, l.Name)
	switch {
	case errors.Is(err, adoqueue.ErrAgentNotFound):
		return nil
	case err != nil:
		return at(exitUnavailable, err)
	case other.Online:
		return failure{exitName, fmt.Errorf("an agent named %q is online in %s; set a unique AZP_AGENT_NAME, such as the pod's name", l.Name, pool)}
	default:
		return nil
	}
}

// explain prints the agent's own log if the agent failed here.
func (l *launcher) explain(err error) {
	switch codeOf(err) {
	case exitConfiguration:
		l.agent.PrintDiagnostics()
	case exitAgent, exitCrash:
		if l.runner == nil {
			l.agent.PrintDiagnostics()
		}
	}
}

// markJob makes the file that says that the agent has a job.
func (l *launcher) markJob() { l.flags.markJob(l.log) }

func (f *flags) markJob(log *zap.Logger) {
	if err := os.WriteFile(f.JobFile, []byte(time.Now().UTC().Format(time.RFC3339)+"\n"), 0o644); err != nil { //nolint:gosec // a probe may run as another user
		log.Warn("The job file cannot be written; see AZP_JOB_FILE.", zap.Error(err))
	}
}

// conclude reports how the agent's life ended.
func (l *launcher) conclude(r lifecycle.Result) error {
	if r.Stays != nil {
		l.log.Error("The agent is still registered; remove it from the pool.", zap.String("agent", l.Name), zap.Error(r.Stays))
	}
	switch r.Ending {
	case lifecycle.AfterJob:
	case lifecycle.Idle:
		l.log.Info("No job came within the idle time-out.", zap.Duration("timeout", l.IdleTimeout))
	case lifecycle.Terminated:
		l.log.Info("The agent was asked to end and had no job.")
	case lifecycle.Alone:
		l.log.Warn("The agent ended without a job and without being asked to.")
	case lifecycle.Failed:
		return failure{exitAgent, fmt.Errorf("the agent ended before it had a job (exit code %d); see its output above", r.ExitCode)}
	case lifecycle.Crashed:
		return failure{exitCrash, fmt.Errorf("the agent ended in the middle of its job (exit code %d)", r.ExitCode)}
	}
	return nil
}
