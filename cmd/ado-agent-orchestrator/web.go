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
)

// webServer serves /metrics, /healthz and /readyz.
type webServer struct {
	registry *prometheus.Registry
	http     *http.Server
	ready    atomic.Bool
}

func newWebServer(registry *prometheus.Registry) *webServer {
	s := &webServer{registry: registry}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("GET /readyz", s.readiness)
	s.http = &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	return s
}

// setReady makes readiness probes succeed until the program is to stop.
func (s *webServer) setReady() { s.ready.Store(true) }

// readiness does not depend on Azure DevOps: KEDA shall hear from us what is wrong
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
	err := s.http.Serve(listener)
	if release() {
		return err
	}
	<-stopped
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}
