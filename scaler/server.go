package scaler

import (
	"context"
	"net"
	"runtime/debug"
	"time"

	grpcprom "github.com/grpc-ecosystem/go-grpc-middleware/providers/prometheus"
	middleware "github.com/grpc-ecosystem/go-grpc-middleware/v2"
	"github.com/grpc-ecosystem/go-grpc-middleware/v2/interceptors/recovery"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/reflection"
	"google.golang.org/grpc/status"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/proto/externalscaler"
)

// stopTimeout bounds how long calls under way may take when the server stops.
const stopTimeout = 10 * time.Second

// streamWorkers is the number of calls at a time that are served by goroutines
// which are there already; more start new ones. KEDA asks for some ScaledJobs at a
// time, and while Azure DevOps answers, calls wait.
const streamWorkers = 32

// ServerOptions are how a Server is reached and watched.
type ServerOptions struct {
	// TLS makes the server speak TLS; nil means plain text. It belongs to this server.
	TLS *TLS
	// Timeout bounds a unary call, including the time its message takes to arrive.
	Timeout    time.Duration
	Registerer prometheus.Registerer
	Logger     *zap.Logger
}

// Server is a Service on the network, with grpc.health.v1 and reflection.
type Server struct {
	grpc       *grpc.Server
	health     *health.Server
	bounds     *bounds
	streams    context.Context // of all streams
	endStreams context.CancelFunc
}

// NewServer puts a service on a server. Calls pass through metrics, logging and
// recovery, in this order; queries through the last alone.
func NewServer(service *Service, options ServerOptions) *Server {
	s := &Server{health: health.NewServer(), bounds: newBounds(options.Timeout, options.Registerer)}
	s.streams, s.endStreams = context.WithCancel(context.Background())
	metrics := grpcprom.NewServerMetrics(grpcprom.WithServerHandlingTimeHistogram())
	options.Registerer.MustRegister(metrics)
	calls := newCallLog(options.Logger, service.options.Engine.InView)
	recovered := recovery.WithRecoveryHandlerContext(func(_ context.Context, p any) error {
		options.Logger.Error("panic in a call", zap.Any("panic", p), zap.ByteString("stack", debug.Stack()))
		return status.Error(codes.Internal, "internal error, see the scaler's log")
	})
	serverOptions := append(s.bounds.options(),
		grpc.ChainUnaryInterceptor(unlessQuery(metrics.UnaryServerInterceptor()), unlessQuery(calls.unary), recovery.UnaryServerInterceptor(recovered)),
		grpc.ChainStreamInterceptor(metrics.StreamServerInterceptor(), calls.stream, s.bounds.stream, s.boundStream,
			recovery.StreamServerInterceptor(recovered)),
		// A new goroutine for each call would have to grow its stack each time.
		grpc.NumStreamWorkers(streamWorkers))
	transport := insecure.NewCredentials()
	if options.TLS != nil {
		options.TLS.logger = options.Logger
		options.Registerer.MustRegister(tlsCollector{options.TLS})
		transport = credentials.NewTLS(options.TLS.config())
	}
	s.grpc = grpc.NewServer(append(serverOptions, grpc.Creds(pacing{transport, s.bounds.http2}))...)
	s.grpc.RegisterService(s.bounds.admitting(externalscaler.ExternalScaler_ServiceDesc, s.bounds.calls), service)
	s.grpc.RegisterService(s.bounds.admitting(grpc_health_v1.Health_ServiceDesc, s.bounds.checks), s.health)
	s.health.SetServingStatus(externalscaler.ExternalScaler_ServiceDesc.ServiceName, grpc_health_v1.HealthCheckResponse_SERVING)
	reflection.Register(s.grpc)
	metrics.InitializeMetrics(s.grpc)
	return s
}

// Serve answers calls until ctx ends. Then it says so by its health, ends open
// streams, which would otherwise keep it from stopping, and waits a bounded
// time for the calls under way.
func (s *Server) Serve(ctx context.Context, listener net.Listener) error {
	stopped := make(chan struct{})
	release := context.AfterFunc(ctx, func() {
		defer close(stopped)
		s.health.Shutdown()
		s.endStreams()
		cut := time.AfterFunc(stopTimeout, s.grpc.Stop)
		defer cut.Stop()
		s.grpc.GracefulStop()
	})
	err := s.grpc.Serve(s.bounds.listener(listener))
	if release() { // it ended by itself
		return err
	}
	<-stopped
	return nil
}

// boundStream ends a stream when the server stops: it would otherwise keep the
// server from stopping for as long as the client likes.
func (s *Server) boundStream(service any, stream grpc.ServerStream, _ *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
	ctx, cancel := context.WithCancel(stream.Context())
	defer cancel()
	defer context.AfterFunc(s.streams, cancel)()
	wrapped := middleware.WrapServerStream(stream)
	wrapped.WrappedContext = ctx
	return handler(service, wrapped)
}
