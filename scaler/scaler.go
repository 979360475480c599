// Package scaler is KEDA's external scaler for Azure DevOps agent pools: KEDA's
// calls in, the engine's decisions out.
package scaler

import (
	"context"
	"strings"
	"time"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/proto/externalscaler"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/engine"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/plan"
)

// Options say how a Service answers.
type Options struct {
	Engine *engine.Engine
	// Interval is how often an open StreamIsActive looks for a change.
	Interval time.Duration
	// Metrics counts answers; nil counts nothing.
	Metrics *Metrics
}

// Service implements KEDA's external scaler.
type Service struct {
	externalscaler.UnimplementedExternalScalerServer

	options Options
}

// New returns a service.
func New(options Options) *Service { return &Service{options: options} }

// GetMetricSpec names the metric. KEDA hides an error of this call: the ScaledJob
// would stop scaling in silence. So it always answers, and mistakes in the
// metadata are reported by GetMetrics, which KEDA calls next.
func (s *Service) GetMetricSpec(_ context.Context, ref *externalscaler.ScaledObjectRef) (*externalscaler.GetMetricSpecResponse, error) {
	target := s.options.Engine.Target(keyOf(ref), ref.GetScalerMetadata())
	return &externalscaler.GetMetricSpecResponse{MetricSpecs: []*externalscaler.MetricSpec{{
		MetricName:      metricName(ref),
		TargetSize:      target,
		TargetSizeFloat: float64(target),
	}}}, nil
}

// GetMetrics returns the metric's value.
func (s *Service) GetMetrics(ctx context.Context, request *externalscaler.GetMetricsRequest) (*externalscaler.GetMetricsResponse, error) {
	ref := request.GetScaledObjectRef()
	answer, err := s.answer(ctx, ref, engine.Metric)
	if err != nil {
		return nil, err
	}
	return &externalscaler.GetMetricsResponse{MetricValues: []*externalscaler.MetricValue{{
		MetricName:       metricName(ref),
		MetricValue:      answer.Value,
		MetricValueFloat: float64(answer.Value),
	}}}, nil
}

// IsActive reports whether the value is above the activation threshold.
func (s *Service) IsActive(ctx context.Context, ref *externalscaler.ScaledObjectRef) (*externalscaler.IsActiveResponse, error) {
	answer, err := s.answer(ctx, ref, engine.Activity)
	if err != nil {
		return nil, err
	}
	return &externalscaler.IsActiveResponse{Result: answer.Active}, nil
}

func (s *Service) answer(ctx context.Context, ref *externalscaler.ScaledObjectRef, half engine.Half) (engine.Answer, error) {
	if err := ctx.Err(); err != nil { // the caller has gone
		return engine.Answer{}, statusOf(err)
	}
	if isQuery(ctx) {
		return s.query(ctx, ref)
	}
	answer, err := s.options.Engine.Answer(ctx, engine.Request{Key: keyOf(ref), Metadata: ref.GetScalerMetadata(), Half: half})
	if err != nil {
		return engine.Answer{}, statusOf(err)
	}
	s.options.Metrics.answered(answer)
	return answer, nil
}

func keyOf(ref *externalscaler.ScaledObjectRef) plan.Key {
	return plan.Key{Namespace: ref.GetNamespace(), Name: ref.GetName()}
}

// maxPoolName bounds what of a pool's name is in the metric's.
const maxPoolName = 40

// metricName is made of the metadata alone, in the letters that Kubernetes
// accepts. KEDA puts the trigger's index before it.
func metricName(ref *externalscaler.ScaledObjectRef) string {
	metadata := ref.GetScalerMetadata()
	pool := metadata["poolName"]
	if pool == "" {
		pool = metadata["poolID"]
	}
	name := strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9':
			return r
		case r >= 'A' && r <= 'Z':
			return r - 'A' + 'a'
		default:
			return '-'
		}
	}, pool)
	return strings.TrimRight("azure-pipelines-"+name[:min(len(name), maxPoolName)], "-")
}
