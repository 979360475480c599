package scaler

import (
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/proto/externalscaler"
)

// StreamIsActive tells at once and then at every change whether the trigger is
// active. KEDA opens it for external-push triggers and makes use of it for
// ScaledObjects only. It goes on while Azure DevOps fails for a time, since
// the polls that run beside it report that.
func (s *Service) StreamIsActive(ref *externalscaler.ScaledObjectRef, stream grpc.ServerStreamingServer[externalscaler.IsActiveResponse]) error {
	ticker := time.NewTicker(s.options.MaxAge)
	defer ticker.Stop()
	var told, active bool
	for {
		a, err := s.evaluate(stream.Context(), ref)
		switch {
		case err != nil:
			if err := statusOf(err); status.Code(err) != codes.Unavailable {
				return err
			}
		case !told || a.active != active:
			told, active = true, a.active
			if err := stream.Send(&externalscaler.IsActiveResponse{Result: active}); err != nil {
				return err
			}
		}
		select {
		case <-ticker.C:
		case <-stream.Context().Done():
			return nil
		}
	}
}

// StreamMetricSpec tells the metric once: its target never changes while the
// metadata stays the same.
func (s *Service) StreamMetricSpec(ref *externalscaler.ScaledObjectRef, stream grpc.ServerStreamingServer[externalscaler.GetMetricSpecResponse]) error {
	spec, err := s.GetMetricSpec(stream.Context(), ref)
	if err != nil {
		return err
	}
	if err := stream.Send(spec); err != nil {
		return err
	}
	<-stream.Context().Done()
	return nil
}
