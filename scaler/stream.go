package scaler

import (
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/proto/externalscaler"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/engine"
)

// StreamIsActive reports at once and then at every change whether the trigger is
// active. KEDA opens it for external-push triggers and makes use of it for
// ScaledObjects only. It goes on while Azure DevOps fails for a time, since
// the polls that run beside it report that.
func (s *Service) StreamIsActive(ref *externalscaler.ScaledObjectRef, stream grpc.ServerStreamingServer[externalscaler.IsActiveResponse]) error {
	ticker := time.NewTicker(s.options.Interval)
	defer ticker.Stop()
	sent, active := false, false
	for {
		a, err := s.answer(stream.Context(), ref, engine.Whole)
		switch {
		case err != nil:
			if code := status.Code(err); code != codes.Unavailable && code != codes.DeadlineExceeded {
				return err
			}
		case !sent || a.Active != active:
			sent, active = true, a.Active
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

// StreamMetricSpec sends the metric once: its target never changes while the
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
