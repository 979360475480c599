package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/jobtemplate/apply"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler"
)

type serveCommand struct{ serveFlags }

// Run serves until ctx ends.
func (c *serveCommand) Run(ctx context.Context, o outputs) error {
	s, err := c.check()
	if err != nil {
		return err
	}
	logger := s.log.logger(o.log)
	grpcListener, httpListener, err := s.listen(ctx)
	if err != nil {
		return err
	}
	return s.serve(ctx, logger, grpcListener, httpListener)
}

func (s settings) listen(ctx context.Context) (grpc, http net.Listener, err error) {
	var config net.ListenConfig
	if grpc, err = config.Listen(ctx, "tcp", s.grpcAddr); err != nil {
		return nil, nil, fmt.Errorf("GRPC_ADDR (--grpc-addr): %w", err)
	}
	if http, err = config.Listen(ctx, "tcp", s.httpAddr); err != nil {
		return nil, nil, errors.Join(fmt.Errorf("HTTP_ADDR (--http-addr): %w", err), grpc.Close())
	}
	return grpc, http, nil
}

// serve puts the parts together and runs them until ctx ends or one fails.
func (s settings) serve(ctx context.Context, logger *zap.Logger, grpcListener, httpListener net.Listener) error {
	registry := newRegistry()
	organizations, closeCaches, err := s.open(adoqueue.NewMetrics(registry))
	if err != nil {
		return err
	}
	defer closeCaches()
	tlsConfig, err := s.tls.config()
	if err != nil {
		return err
	}

	cluster, stopCluster, err := s.cluster(ctx, logger)
	if err != nil {
		return err
	}
	defer stopCluster()

	service := scaler.New(scaler.Options{
		Organizations: organizations, Cluster: cluster, MaxAge: s.pollingDelay,
		// A first answer takes two requests: the pool, then its jobs.
		Timeout: 2 * s.timeout, Metrics: scaler.NewMetrics(registry), Logger: logger,
		CapByParallelJobs: s.capByParallelJobs, Address: s.scalerAddress,
	})
	defer service.Close()
	server := scaler.NewServer(service, scaler.ServerOptions{TLS: tlsConfig, Registerer: registry, Logger: logger})
	web := newWebServer(registry)
	logger.Info("serving",
		zap.String("version", currentVersion()),
		zap.Stringer("grpc", grpcListener.Addr()),
		zap.Stringer("http", httpListener.Addr()),
		zap.Strings("organizations", s.organizationNames()),
		zap.Duration("pollingDelay", s.pollingDelay),
		zap.Bool("kubernetes", cluster != nil))

	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return server.Serve(ctx, grpcListener) })
	group.Go(func() error { return web.serve(ctx, httpListener) })
	group.Go(func() error { return s.keepScaledJobs(ctx, logger) })
	err = group.Wait()
	logger.Info("stopped")
	return err
}

func newRegistry() *prometheus.Registry {
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewBuildInfoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return registry
}

// open makes a cache for each organization.
func (s commonSettings) open(metrics *adoqueue.Metrics) (organizations []scaler.Organization, closeAll func(), err error) {
	var caches []*adoqueue.Cache
	closeAll = func() {
		for _, cache := range caches {
			cache.Close()
		}
	}
	for _, o := range s.organizations {
		cache, err := o.cache(adoqueue.CacheOptions{StaleFor: s.staleFor, Timeout: s.timeout, Metrics: metrics})
		if err != nil {
			closeAll()
			return nil, nil, err
		}
		caches = append(caches, cache)
		organizations = append(organizations, scaler.Organization{URL: o.url, Queue: cache})
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

// keepScaledJobs keeps the ScaledJobs of AGENT_POOLS applied until ctx ends.
func (s settings) keepScaledJobs(ctx context.Context, logger *zap.Logger) error {
	if s.scaledJobs == nil {
		return nil
	}
	kube := kubernetesConfig()
	config, err := kube.ClientConfig()
	if err != nil {
		return fmt.Errorf("AGENT_POOLS (--agent-pools): %w", err)
	}
	options := s.agents.options(logger)
	options.ScaledJobs, options.ScalerAddress = s.scaledJobs, s.scalerAddress
	applier, err := apply.New(config, options)
	if err != nil {
		return err
	}
	return s.lead(ctx, logger, applier.Run)
}

func (f tlsFiles) config() (*tls.Config, error) {
	if f.cert == "" {
		return nil, nil //nolint:nilnil // crypto/tls: no configuration is no TLS
	}
	return scaler.TLSFiles{Cert: f.cert, Key: f.key, ClientCA: f.clientCA}.Config()
}
