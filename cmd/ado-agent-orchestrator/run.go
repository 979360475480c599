package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"strconv"
	"sync"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/cmd/internal/setting"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/cmd/internal/version"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/jobtemplate"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/jobtemplate/apply"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/engine"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/explain"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/fleet"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/housekeeping"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/plan"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/standalone"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/trigger"
)

const (
	// startRetryInterval is the pause before a failed start is retried.
	startRetryInterval = 5 * time.Second
	// prepareInterval is how often the namespace and the Secret are reconciled.
	prepareInterval = 5 * time.Minute
)

// runFlags are the settings of run alone.
type runFlags struct {
	Once     bool   `name:"run-once" env:"RUN_ONCE" default:"false" group:"agents" help:"Make one pass and exit, for a CronJob. It applies to run."`
	HostType string `name:"host-type" env:"HOST_TYPE" hidden:"" help:"Where agents run: kubernetes."`
}

// runCommand is the mode without KEDA.
type runCommand struct {
	Common commonFlags `embed:""`
	Agents agentFlags  `embed:"" group:"agents"`
	Once   runFlags    `embed:""`

	Process processFlags `embed:"" group:"process"`
}

// Check reports what is wrong with the settings of run.
func (c *runCommand) Check(p *setting.Problems) { checkRun(p, &c.Common, &c.Agents, &c.Once) }

func checkRun(p *setting.Problems, common *commonFlags, agents *agentFlags, once *runFlags) {
	common.check(p)
	if t := once.HostType; t != "" && t != "kubernetes" && t != "k8s" {
		p.Add(&once.HostType, "%q is not supported; agents run on kubernetes", t)
	}
	if agents.WarmMaxAge > 0 {
		p.Add(&agents.WarmMaxAge, "has no effect in run: agents end by JOB_IDLE_TIMEOUT, shortly before which run replaces them")
	}
	agents.checkJobs(p, &common.Org)
}

// standaloneSettings are what run works with.
type standaloneSettings struct {
	commonSettings
	agents agents
	pools  []standalone.Pool
	// scaledJobs stand for ScaledJobs of the pools, in the same order.
	scaledJobs []*fleet.ScaledJob
	once       bool
}

// settings returns what run works with, once the flags are checked.
func (c *runCommand) settings() (standaloneSettings, error) {
	s := standaloneSettings{
		commonSettings: commonSettings{
			commonFlags: c.Common, processFlags: c.Process, organizations: c.Common.Org.organizations(),
		},
		agents: c.Agents.agents(&c.Common.Org, &scaledJobFlags{}), once: c.Once.Once,
	}
	s.serves = s.agents.names()
	jobs, err := each(s.agents.pools, jobtemplate.Job)
	if err != nil {
		return s, err
	}
	for i, job := range jobs {
		pool := s.agents.pools[i]
		key := plan.Key{Namespace: pool.Namespace, Name: job.Labels[jobtemplate.PoolLabel]}
		s.pools = append(s.pools, standalone.Pool{Key: key, Name: pool.Pool, Job: job})
		s.scaledJobs = append(s.scaledJobs, scaledJobOf(pool, key))
	}
	return s, nil
}

// address is how the triggers name the engine in which no KEDA takes part.
const address = "run"

// scaledJobOf returns what stands for a pool's ScaledJob where there is no KEDA.
func scaledJobOf(p jobtemplate.Settings, key plan.Key) *fleet.ScaledJob {
	metadata := map[string]string{
		trigger.ScalerAddress: address, "poolName": p.Pool, "minIdle": strconv.Itoa(p.Scaling.MinIdle),
	}
	if p.Capabilities != nil {
		metadata["capabilities"] = adoqueue.Capabilities(p.Capabilities).String()
	}
	if p.Scaling.Shard != "" {
		metadata["shard"] = p.Scaling.Shard
	}
	if p.Scaling.Warm != "" {
		metadata["warm"], metadata["warmTimeZone"] = p.Scaling.Warm, p.Scaling.WarmTimeZone
	}
	s := fleet.NewScaledJob(key, metadata)
	s.MinReplicas, s.MaxReplicas = p.Scaling.MinReplicas, p.Scaling.MaxReplicas
	return s
}

// Run keeps the pools' agents until ctx ends, or makes one pass.
func (c *runCommand) Run(ctx context.Context, o outputs) error {
	s, err := c.settings()
	if err != nil {
		return err
	}
	logger := o.warned(s.logger(o.log))
	limitMemory(logger)
	bindKubernetesLog(ctx, logger)
	for _, warning := range s.agents.pools[0].Warnings() { // the definition is the same for all
		logger.Warn("JOB_DEFINITION_FILE warning", zap.String("warning", warning))
	}
	registry := newRegistry()
	opened, err := s.open(adoqueue.NewMetrics(registry))
	if err != nil {
		return err
	}
	defer opened.close()
	config, err := kubernetesClientConfig()
	if err != nil {
		return fmt.Errorf("agents require Kubernetes: %w", err)
	}
	p, err := s.passer(config, opened, logger)
	if err != nil {
		return err
	}
	p.explainer.Register(registry, s.AcceptableWait)
	p.housekeeping = housekeeping.NewActionMetrics(registry)
	if s.once {
		return p.once(ctx)
	}

	var listening net.ListenConfig
	listener, err := listening.Listen(ctx, "tcp", string(s.HTTPAddr))
	if err != nil {
		return fmt.Errorf("HTTP_ADDR (--http-addr): %w", err)
	}
	web := newWebServer(registry, registry, logger)
	s.showStatus(web, p.explainer)
	web.setReady()
	logger.Info("running", zap.String("version", version.String()), zap.Stringer("http", listener.Addr()),
		zap.Strings("organizations", s.organizationNames()), zap.Strings("pools", s.agents.poolNames()),
		zap.Duration("pollingDelay", s.PollingDelay))
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		opened.check(ctx, logger)
		return nil
	})
	group.Go(func() error { return web.serve(ctx, listener) })
	group.Go(func() error { return s.lead(ctx, logger, p.run) })
	err = group.Wait()
	logger.Info("stopped")
	return err
}

// passer makes passes over the pools.
type passer struct {
	config     *rest.Config
	explainer  *explain.Explainer
	applier    *apply.Applier
	scaledJobs []*fleet.ScaledJob
	namespace  string
	remember   time.Duration
	engine     engine.Options
	standalone standalone.Options

	annotateJobs bool
	jobs         housekeeping.Jobs
	housekeeping *housekeeping.Metrics
}

func (s standaloneSettings) passer(config *rest.Config, all opened, logger *zap.Logger) (*passer, error) {
	applier, err := apply.New(config, s.agents.options(logger))
	if err != nil {
		return nil, err
	}
	kube, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	explained := all.explained(nil)
	explained.Standalone = true
	explainer := explain.New(explained)
	return &passer{
		config: config, explainer: explainer, applier: applier, scaledJobs: s.scaledJobs, namespace: s.agents.namespace, remember: s.rememberFor(),
		engine: engine.Options{
			Organizations: all.organizations(), MaxAge: s.PollingDelay, Timeout: s.Timeout,
			Address: address, CapByParallelJobs: s.ParallelJobs, Logger: logger, Observer: explainer,
		},
		standalone: standalone.Options{
			Pools: s.pools, Creator: kube.BatchV1().Jobs(s.agents.namespace), Delay: s.PollingDelay,
			// The first pass finds the pool, then its jobs, and creates Jobs.
			Timeout: 3 * s.Timeout, Logger: logger,
		},
		annotateJobs: s.AnnotateJobs, jobs: housekeeping.KubernetesJobs{Client: kube},
	}, nil
}

// working is what keeps agents once Kubernetes can be reached.
type working struct {
	runner *standalone.Runner
	keeper *housekeeping.Keeper
	stop   func()
}

// start prepares the namespace and the Secret, follows Jobs and returns what makes
// passes.
func (p *passer) start(ctx context.Context) (working, error) {
	ctx, cancel := context.WithTimeout(ctx, viewTimeout)
	defer cancel()
	if err := p.applier.Prepare(ctx); err != nil {
		return working{}, err
	}
	view, err := fleet.Start(ctx, p.config, fleet.Options{
		Namespaces: []string{p.namespace}, JobLabel: jobtemplate.PoolLabel, ScaledJobs: p.scaledJobs, RememberFor: p.remember,
	})
	if err != nil {
		return working{}, err
	}
	deciding, running := p.engine, p.standalone
	deciding.Cluster, running.Cluster = view, view
	running.Engine = engine.New(deciding)
	p.explainer.Explain(running.Engine, view)
	keeper := housekeeping.New(housekeeping.Options{
		Settings: housekeeping.Settings{AnnotateJobs: p.annotateJobs}, Cluster: view,
		Held: running.Engine, Jobs: p.jobs, Metrics: p.housekeeping, Logger: running.Logger,
	})
	return working{standalone.New(running), keeper, func() {
		running.Engine.Close()
		view.Stop()
	}}, nil
}

func (p *passer) once(ctx context.Context) error {
	s, err := p.start(ctx)
	if err != nil {
		return err
	}
	defer s.stop()
	return s.runner.Pass(ctx)
}

// run makes passes until ctx ends; a start that fails is retried.
func (p *passer) run(ctx context.Context) {
	var s working
	err := wait.PollUntilContextCancel(ctx, startRetryInterval, true, func(ctx context.Context) (bool, error) {
		var err error
		if s, err = p.start(ctx); err != nil && ctx.Err() == nil {
			p.standalone.Logger.Error("starting agents failed; retried automatically", zap.Error(err))
		}
		return err == nil, nil
	})
	if err != nil {
		return // ctx has ended
	}
	defer s.stop()
	var besides sync.WaitGroup
	besides.Go(func() { wait.UntilWithContext(ctx, p.prepare, prepareInterval) })
	besides.Go(func() { s.keeper.Run(ctx) })
	s.runner.Run(ctx)
	besides.Wait()
}

func (p *passer) prepare(ctx context.Context) {
	if err := p.applier.Prepare(ctx); err != nil && ctx.Err() == nil {
		p.standalone.Logger.Error("reconciling the agents' namespace and Secret failed; retried automatically", zap.Error(err))
	}
}

// options say what is to be in Kubernetes besides Jobs.
func (a agents) options(logger *zap.Logger) apply.Options {
	return apply.Options{
		Namespace: a.namespace, CreateNamespace: a.createNamespace,
		Secret: defaultTokenSecret, Token: a.token, Logger: logger,
	}
}

// noCommand is what happens without a command: run if pools are named and no
// scaler is, as with the older orchestrator, and serve otherwise.
type noCommand struct {
	Serve serveFlags `embed:""`
	Once  runFlags   `embed:""`
}

// standalone reports whether it is run.
func (c *noCommand) standalone() bool {
	_, given := os.LookupEnv("AGENT_POOLS") // it may be empty, which is a mistake
	return (given || len(c.Serve.Agents.Pools) > 0) && c.Serve.ScaledJobs.Address == ""
}

// Check reports what is wrong with the settings of run or serve.
func (c *noCommand) Check(p *setting.Problems) {
	if c.standalone() && p.Sound(&c.Serve.ScaledJobs.Address) {
		checkRun(p, &c.Serve.Common, &c.Serve.Agents, &c.Once)
		for _, idle := range []*bool{&c.Serve.Housekeeping.EndIdle, &c.Serve.ScaledJobs.EvictableIdle} {
			if *idle {
				p.Add(idle, "has no effect in run, which has no right to do that; it requires KEDA and SCALER_ADDRESS")
			}
		}
		// The agents' images of those days run as root.
		c.Serve.Agents.Unrestricted = c.Serve.Agents.Unrestricted || !p.Given(&c.Serve.Agents.Unrestricted)
		return
	}
	c.Serve.Check(p)
}

// Run is run or serve.
func (c *noCommand) Run(ctx context.Context, o outputs) error {
	if c.standalone() {
		run := &runCommand{Common: c.Serve.Common, Agents: c.Serve.Agents, Once: c.Once, Process: c.Serve.Process}
		return run.Run(ctx, o)
	}
	return (&serveCommand{c.Serve}).Run(ctx, o)
}
