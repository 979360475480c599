package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/cmd/internal/setting"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/cmd/internal/version"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/jobtemplate/apply"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/engine"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/explain"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/fleet"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/housekeeping"
)

// serveCommand is the scaler.
type serveCommand struct {
	Flags serveFlags `embed:""`
}

// Check reports what is wrong with the settings of serve.
func (c *serveCommand) Check(p *setting.Problems) { c.Flags.Check(p) }

// Run serves until ctx ends.
func (c *serveCommand) Run(ctx context.Context, o outputs) error {
	s, err := c.Flags.settings()
	if err != nil {
		return err
	}
	logger := o.warned(s.logger(o.log))
	limitMemory(logger)
	l, err := s.listen(ctx)
	if err != nil {
		return err
	}
	return s.serve(ctx, logger, l)
}

// listeners are where the program is reached.
type listeners struct{ grpc, http net.Listener }

func (s settings) listen(ctx context.Context) (l listeners, err error) {
	var config net.ListenConfig
	if l.grpc, err = config.Listen(ctx, "tcp", string(s.keda.GRPCAddr)); err != nil {
		return listeners{}, fmt.Errorf("GRPC_ADDR (--grpc-addr): %w", err)
	}
	if l.http, err = config.Listen(ctx, "tcp", string(s.HTTPAddr)); err != nil {
		return listeners{}, errors.Join(fmt.Errorf("HTTP_ADDR (--http-addr): %w", err), l.grpc.Close())
	}
	return l, nil
}

// serve runs until ctx ends or a part fails. The program is alive from the start,
// and ready once it answers KEDA.
func (s settings) serve(ctx context.Context, logger *zap.Logger, l listeners) error {
	registry := newRegistry()
	web := newWebServer(registry, registry, logger)
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return web.serve(ctx, l.http) })
	group.Go(func() error { return s.checkOrganizations(ctx, logger) })
	group.Go(func() error { return s.answer(ctx, logger, web, l) })
	err := group.Wait()
	logger.Info("stopped")
	return err
}

// answer answers KEDA until ctx ends or a part fails. Without a view of Kubernetes
// it begins again once there is one: the counts, and much else, depend on it.
func (s settings) answer(ctx context.Context, logger *zap.Logger, web *webServer, l listeners) error {
	view, err := s.cluster(ctx, logger)
	if ctx.Err() != nil {
		return nil // it was to end while it waited for Kubernetes
	}
	if err != nil {
		return err
	}
	if view != nil {
		defer view.Stop()
	}
	later, err := s.answerUntilView(ctx, parts{view: view, logger: logger, web: web}, l)
	if later != nil {
		defer later.Stop()
	}
	if later == nil || err != nil {
		return err
	}
	if l.grpc, err = reopen(l.grpc); err != nil {
		return err
	}
	_, err = s.answerUntilView(ctx, parts{view: later, logger: logger, web: web}, l)
	return err
}

// answerUntilView answers KEDA until ctx ends or a part fails or, if there is no view
// of Kubernetes, until there is one, which it returns.
func (s settings) answerUntilView(ctx context.Context, p parts, l listeners) (later *fleet.Fleet, err error) {
	ctx, end := context.WithCancel(ctx)
	defer end()
	var retrying sync.WaitGroup
	if p.view == nil && s.view.Kube != off {
		retrying.Go(func() {
			if later = s.retryView(ctx, p.logger); later != nil {
				end()
			}
		})
	}
	err = s.answerWith(ctx, p, l)
	end()
	retrying.Wait()
	return later, err
}

// reopen listens again on the address of a listener that was closed.
func reopen(stopped net.Listener) (net.Listener, error) {
	var config net.ListenConfig
	return config.Listen(context.Background(), stopped.Addr().Network(), stopped.Addr().String())
}

// parts are what the duties of serve work with.
type parts struct {
	view      *fleet.Fleet // nil if there is none
	decisions *engine.Engine
	queue     *adoqueue.Metrics
	registry  prometheus.Registerer
	web       *webServer
	logger    *zap.Logger
}

// answerWith puts the parts together and answers KEDA until ctx ends or one fails.
func (s settings) answerWith(ctx context.Context, p parts, l listeners) error {
	p.registry = p.web.newRound()
	p.queue = adoqueue.NewMetrics(p.registry)
	opened, err := s.open(p.queue)
	if err != nil {
		return err
	}
	defer opened.close()
	tlsConfig, err := s.keda.tls()
	if err != nil {
		return err
	}
	if err := s.housekeeper.findOwner(ctx); err != nil {
		return err
	}
	options := s.engineOptions(opened.organizations(), p.view, p.logger)
	explainer := explain.New(opened.explained(options.PlaceholderName))
	explainer.Register(p.registry, s.AcceptableWait)
	options.Observer = explainer
	p.decisions = engine.New(options)
	defer p.decisions.Close()
	explainer.Explain(p.decisions, viewed(p.view))
	s.showStatus(p.web, explainer)
	service := scaler.New(scaler.Options{
		Engine: p.decisions, Interval: s.PollingDelay, Metrics: scaler.NewMetrics(p.registry, p.decisions),
	})
	duties, err := s.duties(p)
	if err != nil {
		return err
	}
	server := scaler.NewServer(service, scaler.ServerOptions{
		// Twice what an answer may take; see engineOptions.
		TLS: tlsConfig, Timeout: 4 * s.Timeout, Registerer: p.registry, Logger: p.logger,
	})
	s.logServing(p.view, p.logger, l)
	p.web.setReady()
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return server.Serve(ctx, l.grpc) })
	group.Go(func() error { return s.lead(ctx, p.logger, duties...) })
	return group.Wait()
}

func (s settings) logServing(view *fleet.Fleet, logger *zap.Logger, l listeners) {
	logger.Info("serving",
		zap.String("version", version.String()),
		zap.Stringer("grpc", l.grpc.Addr()),
		zap.Stringer("http", l.http.Addr()),
		zap.Strings("organizations", s.organizationNames()),
		zap.Duration("pollingDelay", s.PollingDelay),
		zap.Bool("kubernetes", view != nil))
}

func newRegistry() *prometheus.Registry {
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewBuildInfoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return registry
}

func (s commonSettings) organizationNames() []string {
	names := make([]string, len(s.organizations))
	for i, o := range s.organizations {
		names[i] = o.url.String()
	}
	return names
}

func (s settings) engineOptions(organizations []engine.Organization, view *fleet.Fleet, logger *zap.Logger) engine.Options {
	options := engine.Options{
		// A first answer takes two requests: the pool, then its jobs.
		Organizations: organizations, MaxAge: s.PollingDelay, Timeout: 2 * s.Timeout, Logger: logger,
		CapByParallelJobs: s.ParallelJobs, Address: s.scalerAddress,
		EndsIdle: s.housekeeper.EndIdle && !s.housekeeper.DryRun,
	}
	if view != nil {
		options.Cluster = view
	}
	if owner := s.housekeeper.owner; s.housekeeper.Placeholders {
		options.PlaceholderName = func(capabilities adoqueue.Capabilities) string {
			return housekeeping.PlaceholderName(owner, capabilities)
		}
	}
	return options
}

// duties are what one replica at a time does besides answering KEDA.
func (s settings) duties(p parts) (duties []func(context.Context), err error) {
	keeper, err := s.keeper(p)
	if err != nil {
		return nil, err
	}
	if keeper != nil {
		duties = append(duties, keeper.Run)
	}
	if s.scaledJobs == nil {
		return duties, nil
	}
	config, err := kubernetesClientConfig()
	if err != nil {
		return nil, fmt.Errorf("AGENT_POOLS (--agent-pools): %w", err)
	}
	options := s.agents.options(p.logger)
	options.ScaledJobs, options.ScalerAddress = s.scaledJobs, s.scalerAddress
	applier, err := apply.New(config, options)
	if err != nil {
		return nil, err
	}
	return append(duties, applier.Run), nil
}
