package scaler

import (
	"context"
	"net"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/tap"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/limit"
)

// The bounds of what callers may use at once. KEDA asks for all ScaledJobs on one
// connection: calls beyond maxStreams wait in KEDA. They are as many as one peer's
// share of the calls, so that KEDA is never refused for the number of its
// ScaledJobs.
const (
	maxConnections = 128
	maxCalls       = 600
	maxStreams     = maxCalls / 2 // of one connection
	// maxOpenStreams is for StreamIsActive and other calls that stay open.
	maxOpenStreams = 200
	maxChecks      = 64 // of health
	maxMessage     = 64 << 10
	maxHeaders     = 16 << 10
	// window is how much of a call is read before it is asked for. Without a fixed
	// one, gRPC lets it grow to 16 MiB.
	window = 64 << 10
)

// The bounds of what one peer may do per second. They slow it down: 5,000
// ScaledJobs that KEDA polls every five seconds make 3,000 calls of about six
// frames and 500 bytes.
const (
	openingRate, openingBurst = 10, 64
	frameRate, frameBurst     = 20_000, 5000
	byteRate, byteBurst       = 4 << 20, 1 << 20
)

// bounds are what callers share.
type bounds struct {
	connections, calls, streams, checks *limit.Shares

	opening *limit.Rates
	http2   limit.HTTP2
	// within is how long a unary call may take, including the time its message
	// takes to arrive.
	within  time.Duration
	unary   map[string]bool // by full name, read only once the server serves
	refused prometheus.Counter
}

func newBounds(within time.Duration, registerer prometheus.Registerer) *bounds {
	b := &bounds{
		connections: limit.NewShares(maxConnections), calls: limit.NewShares(maxCalls),
		streams: limit.NewShares(maxOpenStreams), checks: limit.NewShares(maxChecks),
		opening: limit.NewRates(openingRate, openingBurst),
		http2:   limit.HTTP2{Frames: limit.NewRates(frameRate, frameBurst), Bytes: limit.NewRates(byteRate, byteBurst)},
		within:  within, unary: map[string]bool{},
		refused: prometheus.NewCounter(prometheus.CounterOpts{
			Name:        "ado_agent_orchestrator_refused_connections_total",
			Help:        "Connections that were closed at once, since their peer had too many.",
			ConstLabels: prometheus.Labels{"port": "grpc"},
		}),
	}
	registerer.MustRegister(b.refused)
	return b
}

func (b *bounds) options() []grpc.ServerOption {
	return []grpc.ServerOption{
		grpc.MaxRecvMsgSize(maxMessage),
		grpc.MaxHeaderListSize(maxHeaders),
		grpc.MaxConcurrentStreams(maxStreams),
		grpc.InitialWindowSize(window),
		grpc.InitialConnWindowSize(window),
		grpc.ConnectionTimeout(10 * time.Second),
		grpc.InTapHandle(b.limitTime),
		grpc.KeepaliveParams(keepalive.ServerParameters{
			MaxConnectionIdle: 5 * time.Minute,
			// KEDA keeps one connection for good; ending it now and then lets it
			// see new replicas. Calls under way are not disturbed.
			MaxConnectionAge: 30 * time.Minute, MaxConnectionAgeGrace: time.Minute,
			// Callers that are gone, or do not read, lose their connection.
			Time: time.Minute, Timeout: 20 * time.Second,
		}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 10 * time.Second, PermitWithoutStream: true}),
	}
}

func (b *bounds) listener(listener net.Listener) net.Listener {
	return limit.NewListener(listener, limit.ListenerOptions{
		Connections: b.connections, Opening: b.opening, Refused: b.refused.Inc,
	})
}

// limitTime sets the deadline of a unary call before its message has arrived. It
// refuses nothing: gRPC would keep the timers of calls that are refused here.
func (b *bounds) limitTime(ctx context.Context, info *tap.Info) (context.Context, error) {
	if !b.unary[info.FullMethodName] {
		return ctx, nil
	}
	ctx, cancel := context.WithTimeout(ctx, b.within) //nolint:gosec // it ends with the stream's context
	_ = cancel
	return ctx, nil
}

// admitting returns a service whose unary calls need a share before their message
// is read. An interceptor would come too late: gRPC decodes the message first.
func (b *bounds) admitting(desc grpc.ServiceDesc, shares *limit.Shares) *grpc.ServiceDesc {
	desc.Methods = slices.Clone(desc.Methods)
	for i := range desc.Methods {
		method := &desc.Methods[i]
		info := grpc.UnaryServerInfo{FullMethod: "/" + desc.ServiceName + "/" + method.MethodName}
		b.unary[info.FullMethod] = true
		admitted := method.Handler
		method.Handler = func(service any, ctx context.Context, decode func(any) error, interceptor grpc.UnaryServerInterceptor) (any, error) {
			giveBack, err := take(ctx, shares)
			if err != nil { // it is counted and logged as other calls are
				return interceptor(ctx, nil, &info, func(context.Context, any) (any, error) { return nil, err })
			}
			defer giveBack()
			return admitted(service, ctx, decode, interceptor)
		}
	}
	return &desc
}

// stream lets a call that stays open have a share.
func (b *bounds) stream(service any, stream grpc.ServerStream, _ *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
	giveBack, err := take(stream.Context(), b.streams)
	if err != nil {
		return err
	}
	defer giveBack()
	return handler(service, stream)
}

// take returns the function that releases the caller's share, or an error if the
// caller gets none.
func take(ctx context.Context, shares *limit.Shares) (giveBack func(), err error) {
	name := peerOf(ctx)
	if !shares.Take(name) {
		return nil, status.Error(codes.ResourceExhausted, "too many calls at once; try again later")
	}
	return func() { shares.Return(name) }, nil
}

func peerOf(ctx context.Context) string {
	if p, ok := peer.FromContext(ctx); ok {
		return limit.Peer(p.Addr)
	}
	return ""
}

// pacing bounds what is read of a connection once it is no longer encrypted.
type pacing struct {
	credentials.TransportCredentials

	http2 limit.HTTP2
}

func (p pacing) ServerHandshake(raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
	conn, info, err := p.TransportCredentials.ServerHandshake(raw)
	if err != nil {
		return nil, nil, err
	}
	return p.http2.Conn(conn), info, nil
}

func (p pacing) Clone() credentials.TransportCredentials {
	return pacing{p.TransportCredentials.Clone(), p.http2}
}
