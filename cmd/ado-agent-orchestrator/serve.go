package main

import (
	"context"
	"errors"
	"fmt"
	"net"

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
	web := newWebServer(newRegistry(), logger)
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return web.serve(ctx, l.http) })
	group.Go(func() error { return s.answer(ctx, logger, web, l) })
	err := group.Wait()
	logger.Info("stopped")
	return err
}

// answer puts the parts together and answers KEDA until ctx ends or one fails.
func (s settings) answer(ctx context.Context, logger *zap.Logger, web *webServer, l listeners) error {
	organizations, closeCaches, err := s.open(adoqueue.NewMetrics(web.registry))
	if err != nil {
		return err
	}
	defer closeCaches()
	tlsConfig, err := s.keda.tls()
	if err != nil {
		return err
	}
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
	if err := s.housekeeper.findOwner(ctx); err != nil {
		return err
	}
	decisions := engine.New(s.engineOptions(organizations, view, logger))
	defer decisions.Close()
	service := scaler.New(scaler.Options{
		Engine: decisions, Interval: s.PollingDelay, Metrics: scaler.NewMetrics(web.registry, decisions),
	})
	duties, err := s.duties(view, decisions, web.registry, logger)
	if err != nil {
		return err
	}
	server := scaler.NewServer(service, scaler.ServerOptions{
		// Twice what an answer may take; see engineOptions.
		TLS: tlsConfig, Timeout: 4 * s.Timeout, Registerer: web.registry, Logger: logger,
	})
	logger.Info("serving",
		zap.String("version", version.String()),
		zap.Stringer("grpc", l.grpc.Addr()),
		zap.Stringer("http", l.http.Addr()),
		zap.Strings("organizations", s.organizationNames()),
		zap.Duration("pollingDelay", s.PollingDelay),
		zap.Bool("kubernetes", view != nil))
	web.setReady()
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return server.Serve(ctx, l.grpc) })
	group.Go(func() error { return s.lead(ctx, logger, duties...) })
	return group.Wait()
}

func newRegistry() *prometheus.Registry {
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewBuildInfoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return registry
}

// open makes a cache for each organization.
func (s commonSettings) open(metrics *adoqueue.Metrics) (organizations []engine.Organization, closeAll func(), err error) {
	var caches []*adoqueue.Cache
	closeAll = func() {
		for _, cache := range caches {
			cache.Close()
		}
	}
	for _, o := range s.organizations {
		client, err := o.client(metrics)
		if err != nil {
			closeAll()
			return nil, nil, err
		}
		cache := adoqueue.NewCache(client, adoqueue.CacheOptions{StaleFor: s.StaleFor, Timeout: s.Timeout, Metrics: metrics})
		caches = append(caches, cache)
		organizations = append(organizations, engine.Organization{URL: o.url, Queue: cache})
	}
	return organizations, closeAll, nil
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
func (s settings) duties(view *fleet.Fleet, decisions *engine.Engine, registry *prometheus.Registry, logger *zap.Logger) (duties []func(context.Context), err error) {
	keeper, err := s.keeper(view, decisions, registry, logger)
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
	options := s.agents.options(logger)
	options.ScaledJobs, options.ScalerAddress = s.scaledJobs, s.scalerAddress
	applier, err := apply.New(config, options)
	if err != nil {
		return nil, err
	}
	return append(duties, applier.Run), nil
}
