package scaler

import (
	"context"
	"crypto/tls"
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
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/reflection"
	"google.golang.org/grpc/status"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/proto/externalscaler"
)

// stopWithin bounds how long calls under way may take when the server stops.
const stopWithin = 10 * time.Second

// streamWorkers is the number of calls at a time that are served by goroutines
// which are there already; more start new ones. KEDA asks for some ScaledJobs at a
// time, and while Azure DevOps answers, calls wait.
const streamWorkers = 32

// minWindow is the smallest flow-control window that gRPC accepts.
const minWindow = 64 << 10

// ServerOptions are how a Server is reached and watched.
type ServerOptions struct {
	// TLS makes the server speak TLS; nil means plain text.
	TLS        *tls.Config
	Registerer prometheus.Registerer
	Logger     *zap.Logger
}

// Server is a Service on the network, with grpc.health.v1 and reflection.
type Server struct {
	grpc       *grpc.Server
	health     *health.Server
	streams    context.Context // of all streams
	endStreams context.CancelFunc
}

// NewServer puts a service on a server. Calls pass through metrics, logging and
// recovery, in this order.
func NewServer(service *Service, options ServerOptions) *Server {
	s := &Server{health: health.NewServer()}
	s.streams, s.endStreams = context.WithCancel(context.Background())
	metrics := grpcprom.NewServerMetrics(grpcprom.WithServerHandlingTimeHistogram())
	options.Registerer.MustRegister(metrics)
	calls := callLog{options.Logger}
	recovered := recovery.WithRecoveryHandlerContext(func(_ context.Context, p any) error {
		options.Logger.Error("panic in a call", zap.Any("panic", p), zap.ByteString("stack", debug.Stack()))
		return status.Error(codes.Internal, "internal error, see the scaler's log")
	})
	serverOptions := []grpc.ServerOption{
		grpc.ChainUnaryInterceptor(
			metrics.UnaryServerInterceptor(),
			calls.unary,
			recovery.UnaryServerInterceptor(recovered),
		),
		grpc.ChainStreamInterceptor(
			metrics.StreamServerInterceptor(),
			s.boundStream,
			calls.stream,
			recovery.StreamServerInterceptor(recovered),
		),
		// A new goroutine for each call would have to grow its stack each time.
		grpc.NumStreamWorkers(streamWorkers),
		// Messages are small. Windows that grow need a ping with each call.
		grpc.StaticStreamWindowSize(minWindow),
		// KEDA keeps one connection for good; ending it now and then lets it
		// see new replicas. Calls under way are not disturbed.
		grpc.KeepaliveParams(keepalive.ServerParameters{MaxConnectionAge: 30 * time.Minute, MaxConnectionAgeGrace: time.Minute}),
	}
	if options.TLS != nil {
		serverOptions = append(serverOptions, grpc.Creds(credentials.NewTLS(options.TLS)))
	}
	s.grpc = grpc.NewServer(serverOptions...)
	externalscaler.RegisterExternalScalerServer(s.grpc, service)
	grpc_health_v1.RegisterHealthServer(s.grpc, s.health)
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
		cut := time.AfterFunc(stopWithin, s.grpc.Stop)
		defer cut.Stop()
		s.grpc.GracefulStop()
	})
	err := s.grpc.Serve(listener)
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
