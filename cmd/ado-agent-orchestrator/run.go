package main

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"os"
	"strconv"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/jobtemplate"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/jobtemplate/apply"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/engine"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/fleet"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/plan"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/standalone"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/trigger"
)

const (
	// startAgain is the pause before what could not be started is tried again.
	startAgain = 5 * time.Second
	// prepareAgain is how often the namespace and the Secret are looked after.
	prepareAgain = 5 * time.Minute
)

// runFlags are the settings of run alone, as given.
type runFlags struct {
	Once     yesNo  `name:"run-once" env:"RUN_ONCE" help:"Make one pass and exit, for a CronJob."`
	HostType string `name:"host-type" env:"HOST_TYPE" hidden:""`
}

type runCommand struct {
	commonFlags
	agentFlags
	runFlags
}

// standaloneSettings are the checked settings of run.
type standaloneSettings struct {
	commonSettings
	agents agents
	pools  []standalone.Pool
	// scaledJobs stand for ScaledJobs of the pools, in the same order.
	scaledJobs []*fleet.ScaledJob
	once       bool
}

func (c runCommand) check() (standaloneSettings, error) {
	m := &mistakes{}
	s := standaloneSettings{commonSettings: m.common(c.commonFlags), once: m.yesNo("RUN_ONCE (--run-once)", c.Once)}
	if c.HostType != "" && c.HostType != "kubernetes" && c.HostType != "k8s" {
		m.add("HOST_TYPE", "%q is not supported; agents run on kubernetes", c.HostType)
	}
	s.agents = m.agents(c.agentFlags, scaledJobFlags{}, s.organizations)
	s.serves = s.agents.names()
	if len(*m) > 0 { // else the same mistakes would come twice
		return s, m.err()
	}
	jobs, err := each(s.agents.pools, jobtemplate.Job)
	if err != nil {
		m.add("the agents' Job", "%w", err)
	}
	for i, job := range jobs {
		pool := s.agents.pools[i]
		key := plan.Key{Namespace: pool.Namespace, Name: job.Labels[jobtemplate.PoolLabel]}
		s.pools = append(s.pools, standalone.Pool{Key: key, Name: pool.Pool, Job: job})
		s.scaledJobs = append(s.scaledJobs, scaledJobOf(pool, key))
	}
	return s, m.err()
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
	s := fleet.NewScaledJob(key, metadata)
	s.MinReplicas, s.MaxReplicas = p.Scaling.MinReplicas, p.Scaling.MaxReplicas
	return s
}

// Run keeps the pools' agents until ctx ends, or makes one pass.
func (c runCommand) Run(ctx context.Context, o outputs) error {
	s, err := c.check()
	if err != nil {
		return err
	}
	logger := s.log.logger(o.log)
	bindKubernetesLog(logger)
	registry := newRegistry()
	organizations, closeCaches, err := s.open(adoqueue.NewMetrics(registry))
	if err != nil {
		return err
	}
	defer closeCaches()
	config, err := kubernetesConfig().ClientConfig()
	if err != nil {
		return fmt.Errorf("agents need Kubernetes: %w", err)
	}
	p, err := s.passer(config, organizations[0], logger)
	if err != nil {
		return err
	}
	if s.once {
		return p.once(ctx)
	}

	var listening net.ListenConfig
	listener, err := listening.Listen(ctx, "tcp", s.httpAddr)
	if err != nil {
		return fmt.Errorf("HTTP_ADDR (--http-addr): %w", err)
	}
	web := newWebServer(registry)
	logger.Info("running", zap.String("version", currentVersion()), zap.Stringer("http", listener.Addr()),
		zap.Strings("organizations", s.organizationNames()), zap.Strings("pools", s.agents.poolNames()),
		zap.Duration("pollingDelay", s.pollingDelay))
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return web.serve(ctx, listener) })
	group.Go(func() error { return s.lead(ctx, logger, p.run) })
	err = group.Wait()
	logger.Info("stopped")
	return err
}

// passer makes passes over the pools.
type passer struct {
	config     *rest.Config
	applier    *apply.Applier
	scaledJobs []*fleet.ScaledJob
	namespace  string
	remember   time.Duration
	engine     engine.Options
	standalone standalone.Options
}

func (s standaloneSettings) passer(config *rest.Config, organization engine.Organization, logger *zap.Logger) (*passer, error) {
	applier, err := apply.New(config, s.agents.options(logger))
	if err != nil {
		return nil, err
	}
	kube, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	return &passer{
		config: config, applier: applier, scaledJobs: s.scaledJobs, namespace: s.agents.namespace, remember: s.rememberFor(),
		engine: engine.Options{
			Organizations: []engine.Organization{organization}, MaxAge: s.pollingDelay, Timeout: s.timeout,
			Address: address, CapByParallelJobs: s.capByParallelJobs, Logger: logger,
		},
		standalone: standalone.Options{
			Pools: s.pools, Creator: kube.BatchV1().Jobs(s.agents.namespace), Delay: s.pollingDelay,
			// The first pass finds the pool, then its jobs, and creates Jobs.
			Timeout: 3 * s.timeout, Logger: logger,
		},
	}, nil
}

// start prepares the namespace and the Secret, follows Jobs and returns what makes
// passes, and a function that stops it all.
func (p *passer) start(ctx context.Context) (runner *standalone.Runner, stop func(), err error) {
	ctx, cancel := context.WithTimeout(ctx, viewWithin)
	defer cancel()
	if err := p.applier.Prepare(ctx); err != nil {
		return nil, nil, err
	}
	view, err := fleet.Start(ctx, p.config, fleet.Options{
		Namespaces: []string{p.namespace}, JobLabel: jobtemplate.PoolLabel, ScaledJobs: p.scaledJobs, RememberFor: p.remember,
	})
	if err != nil {
		return nil, nil, err
	}
	deciding, running := p.engine, p.standalone
	deciding.Cluster, running.Cluster = view, view
	running.Engine = engine.New(deciding)
	return standalone.New(running), func() {
		running.Engine.Close()
		view.Stop()
	}, nil
}

func (p *passer) once(ctx context.Context) error {
	runner, stop, err := p.start(ctx)
	if err != nil {
		return err
	}
	defer stop()
	return runner.Pass(ctx)
}

// run makes passes until ctx ends; a start that fails is retried.
func (p *passer) run(ctx context.Context) {
	var runner *standalone.Runner
	var stop func()
	err := wait.PollUntilContextCancel(ctx, startAgain, true, func(ctx context.Context) (bool, error) {
		var err error
		if runner, stop, err = p.start(ctx); err != nil && ctx.Err() == nil {
			p.standalone.Logger.Error("agents cannot be started, trying again", zap.Error(err))
		}
		return err == nil, nil
	})
	if err != nil {
		return // ctx has ended
	}
	defer stop()
	preparing := make(chan struct{})
	go func() {
		defer close(preparing)
		wait.UntilWithContext(ctx, p.prepare, prepareAgain)
	}()
	runner.Run(ctx)
	<-preparing
}

func (p *passer) prepare(ctx context.Context) {
	if err := p.applier.Prepare(ctx); err != nil && ctx.Err() == nil {
		p.standalone.Logger.Error("the agents' namespace or Secret could not be seen to, trying again", zap.Error(err))
	}
}

// options say what is to be in Kubernetes besides Jobs.
func (a agents) options(logger *zap.Logger) apply.Options {
	return apply.Options{
		Namespace: a.namespace, CreateNamespace: a.createNamespace,
		Secret: defaultTokenSecret, Token: a.token, Logger: logger,
	}
}

// noCommand is what happens without a command.
type noCommand struct {
	serveFlags
	runFlags
}

// Run is run if pools are named and no scaler is, as with the older
// orchestrator, and serve otherwise.
func (c *noCommand) Run(ctx context.Context, o outputs) error {
	_, given := os.LookupEnv("AGENT_POOLS") // it may be empty, which is a mistake
	if (given || c.Pools != "") && c.Address == "" {
		// The agents' images of those days run as root.
		c.Unrestricted = cmp.Or(c.Unrestricted, "true")
		return runCommand{c.commonFlags, c.agentFlags, c.runFlags}.Run(ctx, o)
	}
	return (&serveCommand{c.serveFlags}).Run(ctx, o)
}
