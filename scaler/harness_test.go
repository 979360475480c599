package scaler_test

import (
	"context"
	"net"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/proto/externalscaler"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/engine"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/housekeeping"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m)
}

// pace is the least time between two requests about a pool in these tests.
const pace = 100 * time.Millisecond

// bench is a scaler on real gRPC, in front of an Azure DevOps on real HTTP.
type bench struct {
	engine *engine.Engine
	client externalscaler.ExternalScalerClient
	conn   *grpc.ClientConn
	logs   *observer.ObservedLogs
	addr   string
	stop   func() // ends the server and waits for it
}

type benchOptions struct {
	maxAge   time.Duration
	timeout  time.Duration // of a call
	cluster  engine.Cluster
	cap      bool
	owner    string // of placeholders
	tls      *scaler.TLS
	registry *prometheus.Registry // of the server
	dial     []grpc.DialOption
}

func (o *benchOptions) placeholderName() func(adoqueue.Capabilities) string {
	if o.owner == "" {
		return nil
	}
	return func(c adoqueue.Capabilities) string { return housekeeping.PlaceholderName(o.owner, c) }
}

// start serves the organizations at these URLs until the test ends.
func start(t testing.TB, options benchOptions, urls ...string) *bench {
	t.Helper()
	return startWith(t, options, open(t, urls))
}

func startWith(t testing.TB, options benchOptions, organizations []engine.Organization) *bench {
	t.Helper()
	if options.maxAge == 0 {
		options.maxAge = pace
	}
	if options.timeout == 0 {
		options.timeout = 10 * time.Second
	}
	if options.registry == nil {
		options.registry = prometheus.NewRegistry()
	}
	if options.dial == nil {
		options.dial = []grpc.DialOption{grpc.WithTransportCredentials(insecure.NewCredentials())}
	}
	core, logs := observer.New(zap.InfoLevel)
	decisions := engine.New(engine.Options{
		Organizations: organizations, Cluster: options.cluster, MaxAge: options.maxAge, Timeout: 5 * time.Second,
		Logger: zap.New(core), CapByParallelJobs: options.cap,
		PlaceholderName: options.placeholderName(),
	})
	t.Cleanup(decisions.Close)
	service := scaler.New(scaler.Options{
		Engine: decisions, Interval: options.maxAge, Metrics: scaler.NewMetrics(prometheus.NewRegistry(), decisions),
	})
	server := scaler.NewServer(service, scaler.ServerOptions{
		TLS: options.tls, Timeout: options.timeout, Registerer: options.registry, Logger: zap.New(core),
	})
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	stopped := make(chan error, 1)
	go func() { stopped <- server.Serve(ctx, listener) }()
	conn, err := grpc.NewClient(listener.Addr().String(), options.dial...)
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{engine: decisions, client: externalscaler.NewExternalScalerClient(conn), conn: conn, logs: logs, addr: listener.Addr().String()}
	ended := false
	b.stop = func() {
		cancel()
		if !ended {
			ended = true
			if err := <-stopped; err != nil {
				t.Errorf("server: %v", err)
			}
		}
	}
	t.Cleanup(func() {
		b.stop()
		_ = conn.Close()
	})
	return b
}

func parseURL(t testing.TB, text string) adoqueue.OrganizationURL {
	t.Helper()
	url, err := adoqueue.ParseOrganizationURL(text)
	if err != nil {
		t.Fatal(err)
	}
	return url
}

func open(t testing.TB, urls []string) []engine.Organization {
	t.Helper()
	var organizations []engine.Organization
	for _, text := range urls {
		url := parseURL(t, text)
		httpClient, err := adoqueue.NewHTTPClient("")
		if err != nil {
			t.Fatal(err)
		}
		client, err := adoqueue.NewClient(url, adoqueue.PAT("adotest-pat"), adoqueue.Options{HTTPClient: httpClient})
		if err != nil {
			t.Fatal(err)
		}
		cache := adoqueue.NewCache(client, adoqueue.CacheOptions{})
		t.Cleanup(func() {
			cache.Close()
			httpClient.CloseIdleConnections()
		})
		organizations = append(organizations, engine.Organization{URL: url, Queue: cache})
	}
	return organizations
}

// ref names a ScaledJob "build" with this metadata, given as key and value in turn.
func ref(metadata ...string) *externalscaler.ScaledObjectRef {
	r := &externalscaler.ScaledObjectRef{Name: "build", Namespace: "ado", ScalerMetadata: map[string]string{}}
	for i := 0; i < len(metadata); i += 2 {
		r.ScalerMetadata[metadata[i]] = metadata[i+1]
	}
	return r
}

// metric asks as KEDA does and returns the value.
func (b *bench) metric(ctx context.Context, r *externalscaler.ScaledObjectRef) (float64, error) {
	spec, err := b.client.GetMetricSpec(ctx, r)
	if err != nil {
		return 0, err
	}
	answer, err := b.client.GetMetrics(ctx, &externalscaler.GetMetricsRequest{ScaledObjectRef: r, MetricName: spec.GetMetricSpecs()[0].GetMetricName()})
	if err != nil {
		return 0, err
	}
	return answer.GetMetricValues()[0].GetMetricValueFloat(), nil
}

// settle waits until the metric has a value: the snapshot's age passes in real
// time.
func (b *bench) settle(t *testing.T, r *externalscaler.ScaledObjectRef, want float64) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var last any
	for {
		got, err := b.metric(ctx, r)
		if err == nil && got == want {
			return
		}
		if ctx.Err() != nil {
			t.Fatalf("metric is %v, want %v", last, want)
		}
		if last = any(got); err != nil {
			last = err
		}
	}
}
