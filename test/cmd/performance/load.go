package main

import (
	"context"
	"errors"
	"time"

	"google.golang.org/grpc/health/grpc_health_v1"
)

// load is what it costs to answer KEDA.
type load struct {
	polls, failures int
	firstFailure    error
	p50, p99        time.Duration
	processor       float64 // of one core
	memory          memory
	requests        float64 // to Azure DevOps, per pool and minute
}

// load polls for all ScaledJobs and measures after the warm-up.
func (m measurement) load(ctx context.Context) (l load, err error) {
	p := newPoller(m.keda, m.refs)
	stop := inBackground(ctx, func(ctx context.Context) { p.spread(ctx, m.interval) })
	defer stop()
	progress("polling for %v, then measuring for %v", m.warmUp, m.duration)
	if err := sleep(ctx, m.warmUp); err != nil {
		return l, err
	}
	p.reset()
	requests, begin := m.azure.Count("", 0), time.Now()
	l.processor, err = processorShare(m.scaler.PID(), func() error {
		l.memory, err = sampleMemory(ctx, m.scaler.PID(), m.duration)
		return err
	})
	if err != nil {
		return l, err
	}
	l.requests = float64(m.azure.Count("", 0)-requests) / time.Since(begin).Minutes() / float64(m.pools)
	latencies := p.latencies()
	l.polls, l.p50, l.p99 = len(latencies), percentile(latencies, 50), percentile(latencies, 99)
	l.failures, l.firstFailure = p.failures()
	return l, nil
}

// floor returns the processor time, of one core, of a scaler that does nothing but
// answer as many health checks as the other answers calls. It is what gRPC costs
// on this machine, as busy as it is.
func (m measurement) floor(ctx context.Context) (share float64, err error) {
	scaler, err := m.startScaler("KUBE=off")
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, scaler.Stop()) }()
	conn, err := connect(scaler.Addr)
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	health := grpc_health_v1.NewHealthClient(conn)
	progress("calling the health check of an idle scaler for %v", m.warmUp)
	stop := inBackground(ctx, func(ctx context.Context) {
		every(ctx, m.interval/time.Duration(len(m.refs)), func(int) {
			for range callsPerPoll {
				_, _ = health.Check(ctx, &grpc_health_v1.HealthCheckRequest{}) // its errors are those of polls
			}
		})
	})
	defer stop()
	return processorShare(scaler.PID(), func() error { return sleep(ctx, m.warmUp) })
}

// inBackground runs do until stop is called, which waits for its end.
func inBackground(ctx context.Context, do func(context.Context)) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		do(ctx)
	}()
	return func() {
		cancel()
		<-done
	}
}
