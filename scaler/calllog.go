package scaler

import (
	"context"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/proto/externalscaler"
)

// callLog logs calls once they have ended: failed ones, and at level debug all.
// A call that is not logged costs nothing, which matters because nearly all calls
// of KEDA succeed.
type callLog struct{ logger *zap.Logger }

func (l callLog) unary(ctx context.Context, request any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
	begin := time.Now()
	response, err := handler(ctx, request)
	if entry := l.entry(err); entry != nil {
		entry.Write(append(fields(ctx, info.FullMethod, begin, err), caller(request)...)...)
	}
	return response, err
}

func (l callLog) stream(service any, stream grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
	begin := time.Now()
	err := handler(service, stream)
	if entry := l.entry(err); entry != nil {
		entry.Write(fields(stream.Context(), info.FullMethod, begin, err)...)
	}
	return err
}

// entry returns nil if a call with this end is not logged.
func (l callLog) entry(err error) *zapcore.CheckedEntry {
	return l.logger.Check(levelOf(status.Code(err)), "finished call")
}

// levelOf keeps the log quiet when all is well.
func levelOf(code codes.Code) zapcore.Level {
	switch code {
	case codes.OK, codes.Canceled:
		return zap.DebugLevel
	case codes.Internal, codes.Unknown, codes.DataLoss:
		return zap.ErrorLevel
	default:
		return zap.WarnLevel
	}
}

func fields(ctx context.Context, method string, begin time.Time, err error) []zap.Field {
	fields := []zap.Field{
		zap.String("grpc.method", method),
		zap.String("grpc.code", status.Code(err).String()),
		zap.Duration("grpc.duration", time.Since(begin)),
	}
	if p, ok := peer.FromContext(ctx); ok {
		fields = append(fields, zap.Stringer("peer.address", p.Addr))
	}
	if err != nil {
		fields = append(fields, zap.String("grpc.error", status.Convert(err).Message()))
	}
	return fields
}

// caller returns whose call it is.
func caller(request any) []zap.Field {
	ref, ok := request.(*externalscaler.ScaledObjectRef)
	if metrics, is := request.(*externalscaler.GetMetricsRequest); is {
		ref, ok = metrics.GetScaledObjectRef(), true
	}
	if !ok {
		return nil
	}
	return []zap.Field{zap.String("namespace", ref.GetNamespace()), zap.String("name", ref.GetName())}
}
