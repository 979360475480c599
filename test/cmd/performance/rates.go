package main

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"time"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/proto/externalscaler"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"
)

// rateSettings say how rates are measured.
type rateSettings struct {
	connections, concurrency, rounds int
	length                           time.Duration
}

// rates compare GetMetrics with the health check, which does nothing.
type rates struct {
	metrics, health rate
}

// rate is that of one call over all of its rounds.
type rate struct {
	calls     int64
	took      time.Duration
	processor time.Duration // of the scaler
}

func (r rate) perSecond() float64 { return float64(r.calls) / r.took.Seconds() }

func (r rate) perCall() time.Duration { return r.processor / time.Duration(max(r.calls, 1)) }

// ratio compares the rates.
func (r rates) ratio() float64 { return r.metrics.perSecond() / r.health.perSecond() }

// processorRatio compares the scaler's processor time per call, which does not
// depend on what else the machine does.
func (r rates) processorRatio() float64 {
	return float64(r.health.perCall()) / float64(r.metrics.perCall())
}

// call is a method with requests for it, encoded.
type call struct {
	method   string
	requests [][]byte
	rate     *rate
}

// rates makes each of the two calls as often as possible in rounds that alternate,
// so that both meet the same machine. GetMetrics asks for the ScaledJobs of one
// pool in turn.
func (m measurement) rates(ctx context.Context) (r rates, err error) {
	metrics := call{method: externalscaler.ExternalScaler_GetMetrics_FullMethodName, rate: &r.metrics}
	for _, ref := range m.refs {
		if ref.pool == m.refs[0].pool {
			request, err := proto.Marshal(&externalscaler.GetMetricsRequest{ScaledObjectRef: ref.message(), MetricName: "azure-pipelines-" + ref.pool})
			if err != nil {
				return r, err
			}
			metrics.requests = append(metrics.requests, request)
		}
	}
	health := call{method: grpc_health_v1.Health_Check_FullMethodName, requests: [][]byte{{}}, rate: &r.health}

	var connections []*grpc.ClientConn
	defer func() {
		for _, conn := range connections {
			err = errors.Join(err, conn.Close())
		}
	}()
	for range m.rate.connections {
		conn, err := connect(m.scaler.Addr)
		if err != nil {
			return r, err
		}
		connections = append(connections, conn)
	}
	pair := []call{metrics, health}
	for range m.rate.rounds {
		for _, c := range pair {
			if err := m.round(ctx, connections, c); err != nil {
				return r, err
			}
		}
		slices.Reverse(pair) // neither call is always the first
	}
	return r, nil
}

// round makes a call as often as possible and adds to its rate.
func (m measurement) round(ctx context.Context, connections []*grpc.ClientConn, c call) error {
	before, err := processorTime(m.scaler.PID())
	if err != nil {
		return err
	}
	var calls atomic.Int64
	group, calling := errgroup.WithContext(ctx)
	begin := time.Now()
	for _, conn := range connections {
		for range m.rate.concurrency {
			group.Go(func() error {
				for time.Since(begin) < m.rate.length {
					n := calls.Add(1)
					request := c.requests[n%int64(len(c.requests))]
					if err := conn.Invoke(calling, c.method, request, &discarded{}, grpc.ForceCodecV2(encoded{})); err != nil {
						return err
					}
				}
				return nil
			})
		}
	}
	if err := group.Wait(); err != nil {
		return err
	}
	c.rate.took += time.Since(begin)
	c.rate.calls += calls.Load()
	after, err := processorTime(m.scaler.PID())
	c.rate.processor += after - before
	return err
}

// encoded is a codec for requests that are encoded already and for answers that
// nobody reads, so that the client does the same work for all calls.
type encoded struct{}

type discarded struct{}

func (encoded) Name() string { return "proto" }

func (encoded) Marshal(v any) (mem.BufferSlice, error) {
	request, ok := v.([]byte)
	if !ok {
		return nil, errors.New("the request is not encoded")
	}
	return mem.BufferSlice{mem.SliceBuffer(request)}, nil
}

func (encoded) Unmarshal(mem.BufferSlice, any) error { return nil }
