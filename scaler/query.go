package scaler

import (
	"context"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/proto/externalscaler"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/engine"
)

// Headers of calls. KEDA knows none of them.
const (
	// QueryHeader, with any value, marks a call as one of a person who wants to know
	// what KEDA would get. Such a call has no effect: it does not count as a poll, no
	// metric counts it, and only its caller learns of its failure.
	QueryHeader = "ado-agent-orchestrator-query"
	// CountHeader comes with the answer: the count by which it was made.
	CountHeader = "ado-agent-orchestrator-count"
	// NoteHeader comes with the answer if it differs from what may be expected: why.
	NoteHeader = "ado-agent-orchestrator-note-bin"
)

func isQuery(ctx context.Context) bool {
	return len(metadata.ValueFromIncomingContext(ctx, QueryHeader)) > 0
}

// query answers a call that is not KEDA's.
func (s *Service) query(ctx context.Context, ref *externalscaler.ScaledObjectRef) (engine.Answer, error) {
	answer, note, err := s.options.Engine.Peek(ctx, engine.Request{Key: keyOf(ref), Metadata: ref.GetScalerMetadata()})
	if err != nil {
		return engine.Answer{}, statusOf(err)
	}
	header := metadata.Pairs(CountHeader, answer.Used)
	if note != "" {
		header.Set(NoteHeader, note)
	}
	return answer, grpc.SetHeader(ctx, header)
}

// unlessQuery returns an interceptor that leaves queries out.
func unlessQuery(interceptor grpc.UnaryServerInterceptor) grpc.UnaryServerInterceptor {
	return func(ctx context.Context, request any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
		if isQuery(ctx) {
			return handler(ctx, request)
		}
		return interceptor(ctx, request, info, handler)
	}
}
