// Package scaler is KEDA's external scaler for Azure DevOps agent pools: from
// the metadata of a trigger and the snapshot of its pool it says how many
// agents KEDA should run Jobs for.
package scaler

import (
	"context"
	"fmt"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/proto/externalscaler"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/plan"
)

// Queue gives snapshots of an organization's pools, and its parallel jobs.
type Queue interface {
	Snapshot(ctx context.Context, pool adoqueue.PoolRef, maxAge time.Duration) (*adoqueue.Snapshot, error)
	ParallelJobs(ctx context.Context, maxAge time.Duration) (adoqueue.ParallelJobs, error)
}

// Organization is one that triggers may name.
type Organization struct {
	URL   adoqueue.OrganizationURL
	Queue Queue
}

// Options say what a Service serves and how.
type Options struct {
	// Organizations are all that triggers may name; at least one.
	Organizations []Organization
	// MaxAge is the age up to which a snapshot is good for an answer.
	MaxAge time.Duration
	// Timeout bounds one call; KEDA itself sets no deadline.
	Timeout time.Duration
	// Cluster is the view of Kubernetes; nil means that there is none, and
	// that count exact is taken for owned.
	Cluster Cluster
	// Address is how triggers name this scaler, if it is known before KEDA asks.
	Address string
	// PlaceholderOwner is whose placeholders Azure DevOps may name as agents
	// that match a request, "" if there are none.
	PlaceholderOwner string
	// CapByParallelJobs bounds the agents, with count exact, to those that the
	// organization's parallel jobs let run at once.
	CapByParallelJobs bool
	// Metrics shows the answers; nil shows nothing.
	Metrics *Metrics
	Logger  *zap.Logger
}

// Service implements KEDA's external scaler.
type Service struct {
	externalscaler.UnimplementedExternalScalerServer

	options Options
	planner *planner // nil without a view of Kubernetes
	answers *answers
}

// New makes a service. Close ends it.
func New(options Options) *Service {
	s := &Service{options: options, answers: newAnswers(options.Metrics)}
	if options.Cluster != nil {
		s.planner = newPlanner(options)
	}
	return s
}

// Close ends what goes on between KEDA's polls.
func (s *Service) Close() {
	if s.planner != nil {
		s.planner.watcher.close()
	}
}

// GetMetricSpec names the metric. KEDA hides an error of this call: it would
// make the ScaledJob stop scaling without a word. So it always answers, and
// mistakes in the metadata come to light in GetMetrics, which is asked next.
func (s *Service) GetMetricSpec(_ context.Context, ref *externalscaler.ScaledObjectRef) (*externalscaler.GetMetricSpecResponse, error) {
	target := int64(1)
	if t, err := s.parse(ref); err == nil {
		target = t.target
	}
	return &externalscaler.GetMetricSpecResponse{MetricSpecs: []*externalscaler.MetricSpec{{
		MetricName:      metricName(ref),
		TargetSize:      target,
		TargetSizeFloat: float64(target),
	}}}, nil
}

// GetMetrics gives the metric's value.
func (s *Service) GetMetrics(ctx context.Context, request *externalscaler.GetMetricsRequest) (*externalscaler.GetMetricsResponse, error) {
	ref := request.GetScaledObjectRef()
	answer, err := s.answer(ctx, ref, askedForMetrics)
	if err != nil {
		return nil, statusOf(err)
	}
	return &externalscaler.GetMetricsResponse{MetricValues: []*externalscaler.MetricValue{{
		MetricName:       metricName(ref),
		MetricValue:      answer.value,
		MetricValueFloat: float64(answer.value),
	}}}, nil
}

// IsActive tells whether the value is above the activation threshold.
func (s *Service) IsActive(ctx context.Context, ref *externalscaler.ScaledObjectRef) (*externalscaler.IsActiveResponse, error) {
	answer, err := s.answer(ctx, ref, askedForActive)
	if err != nil {
		return nil, statusOf(err)
	}
	return &externalscaler.IsActiveResponse{Result: answer.active}, nil
}

// answer gives the other half of an answer already begun, or a new one: KEDA
// asks two questions in each poll, and they must not disagree.
func (s *Service) answer(ctx context.Context, ref *externalscaler.ScaledObjectRef, asked question) (answer, error) {
	key := keyOf(ref)
	if a, ok := s.answers.otherHalf(key, asked); ok {
		return a, nil
	}
	a, err := s.evaluate(ctx, ref)
	if err != nil {
		return answer{}, err
	}
	s.answers.begin(key, asked, a)
	return a, nil
}

func (s *Service) evaluate(ctx context.Context, ref *externalscaler.ScaledObjectRef) (answer, error) {
	t, err := s.parse(ref)
	if err != nil {
		return answer{}, metadataError{err}
	}
	ctx, cancel := context.WithTimeout(ctx, s.options.Timeout)
	defer cancel()
	snapshot, err := t.organization.Queue.Snapshot(ctx, t.pool, s.options.MaxAge)
	if err != nil {
		return answer{}, err
	}
	value, err := s.value(ctx, t, ref, snapshot)
	if err != nil {
		return answer{}, err
	}
	return answer{
		value: value, active: value > t.activation,
		namespace: ref.GetNamespace(), name: ref.GetName(), pool: snapshot.Pool.Name,
	}, nil
}

func (s *Service) parse(ref *externalscaler.ScaledObjectRef) (*trigger, error) {
	count := countOwned
	if s.planner != nil {
		count = countExact
	}
	return parseTrigger(ref.GetScalerMetadata(), s.options.Organizations, count)
}

func (s *Service) value(ctx context.Context, t *trigger, ref *externalscaler.ScaledObjectRef, snapshot *adoqueue.Snapshot) (int64, error) {
	if s.planner == nil {
		return t.value(snapshot, ref.GetName()), nil
	}
	return s.planner.value(ctx, t, plan.Key{Namespace: ref.GetNamespace(), Name: ref.GetName()}, snapshot)
}

// value counts the requests that make up the metric, without a view of the
// Jobs.
func (t *trigger) value(snapshot *adoqueue.Snapshot, scaledJob string) int64 {
	value := t.minIdle
	for i := range snapshot.Requests {
		if t.counts(&snapshot.Requests[i], scaledJob) {
			value++
		}
	}
	return value
}

func (t *trigger) counts(r *adoqueue.JobRequest, scaledJob string) bool {
	switch t.count {
	case countQueued:
		return r.State < adoqueue.Running && t.requests.serves(r)
	case countUnfinished:
		return t.requests.serves(r)
	default:
		// A request that has an agent belongs to the owner of that agent,
		// whoever else could have served it.
		if r.State == adoqueue.Queued {
			return t.requests.serves(r)
		}
		return ownsAgent(scaledJob, r.Agent)
	}
}

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
	return strings.TrimRight(fmt.Sprintf("azure-pipelines-%.40s", name), "-")
}
