package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.uber.org/zap"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/explain"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/limit"
)

// The bounds of what readers of the metrics and the probes may use.
const (
	maxWebConnections = 64
	maxScrapes        = 6
	// A browser asks for the page's files all at once.
	maxPageRequests = 24
	// openingRate is of connections that a peer opens, per second.
	openingRate  = 10
	openingBurst = 64
	maxWebHeader = 8 << 10
	readTimeout  = 5 * time.Second
	writeTimeout = 10 * time.Second
	idleTimeout  = time.Minute
)

// webServer serves /metrics, /healthz and /readyz, and the status.
type webServer struct {
	process     prometheus.Gatherer
	round       atomic.Pointer[prometheus.Registry] // of the parts that may start again
	status      atomic.Pointer[http.Handler]        // nil while there is none
	http        *http.Server
	connections *limit.Shares
	opening     *limit.Rates
	refused     prometheus.Counter
	ready       atomic.Bool
}

func newWebServer(registerer prometheus.Registerer, gatherer prometheus.Gatherer, logger *zap.Logger) *webServer {
	s := &webServer{
		process:     gatherer,
		connections: limit.NewShares(maxWebConnections), opening: limit.NewRates(openingRate, openingBurst),
		refused: prometheus.NewCounter(prometheus.CounterOpts{
			Name:        "ado_agent_orchestrator_refused_connections_total",
			Help:        "Connections that were closed at once, since their peer had too many.",
			ConstLabels: prometheus.Labels{"port": "http"},
		}),
	}
	registerer.MustRegister(s.refused)
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", shared(limit.NewShares(maxScrapes), http.HandlerFunc(s.metrics)))
	mux.Handle("GET "+explain.Path, shared(limit.NewShares(maxScrapes), http.HandlerFunc(s.serveStatus)))
	mux.Handle("GET /", shared(limit.NewShares(maxPageRequests), http.HandlerFunc(s.serveStatus)))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("GET /readyz", s.readiness)
	callersMistakes, _ := zap.NewStdLogAt(logger, zap.DebugLevel) // fails only for levels that do not exist
	s.http = &http.Server{
		Handler: mux, MaxHeaderBytes: maxWebHeader, ErrorLog: callersMistakes,
		ReadHeaderTimeout: readTimeout, ReadTimeout: readTimeout, WriteTimeout: writeTimeout, IdleTimeout: idleTimeout,
	}
	return s
}

// shared bounds the requests under way, including the time in which their answers
// are read: promhttp's own bounds end when the answer is in memory.
func shared(shares *limit.Shares, handler http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		peer, _, _ := net.SplitHostPort(r.RemoteAddr) // net/http sets it
		if !shares.Take(peer) {
			http.Error(w, "too many requests at once", http.StatusServiceUnavailable)
			return
		}
		defer shares.Return(peer)
		handler.ServeHTTP(w, r)
	})
}

// newRound returns an empty registry, whose metrics replace those of the last one.
func (s *webServer) newRound() prometheus.Registerer {
	registry := prometheus.NewRegistry()
	s.round.Store(registry)
	return registry
}

func (s *webServer) metrics(w http.ResponseWriter, r *http.Request) {
	all := prometheus.Gatherers{s.process}
	if round := s.round.Load(); round != nil {
		all = append(all, round)
	}
	promhttp.HandlerFor(all, promhttp.HandlerOpts{}).ServeHTTP(w, r)
}

// setStatus sets what answers requests for the status.
func (s *webServer) setStatus(handler http.Handler) { s.status.Store(&handler) }

func (s *webServer) serveStatus(w http.ResponseWriter, r *http.Request) {
	if handler := s.status.Load(); handler != nil {
		(*handler).ServeHTTP(w, r)
		return
	}
	http.Error(w, "the status is switched off (STATUS), or the scaler is starting", http.StatusNotFound)
}

// setReady makes readiness probes succeed until the program is to stop.
func (s *webServer) setReady() { s.ready.Store(true) }

// readiness does not depend on Azure DevOps: KEDA must get the error from us
// with it, not find nobody to ask.
func (s *webServer) readiness(w http.ResponseWriter, _ *http.Request) {
	if !s.ready.Load() {
		http.Error(w, "starting or stopping", http.StatusServiceUnavailable)
		return
	}
	fmt.Fprintln(w, "ready")
}

// serve answers until ctx ends.
func (s *webServer) serve(ctx context.Context, listener net.Listener) error {
	stopped := make(chan struct{})
	release := context.AfterFunc(ctx, func() {
		defer close(stopped)
		s.ready.Store(false)
		// The context for stopping must outlive the one that ended.
		bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		_ = s.http.Shutdown(bounded) // a scrape that hangs is cut off
	})
	err := s.http.Serve(limit.NewListener(listener, limit.ListenerOptions{
		Connections: s.connections, Opening: s.opening, Refused: s.refused.Inc,
	}))
	if release() {
		return err
	}
	<-stopped
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}
