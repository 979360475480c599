package scaler

import (
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/engine"
)

// Metrics counts answers. A nil *Metrics does nothing.
type Metrics struct{ fallbacks *prometheus.CounterVec }

// NewMetrics registers the metrics of the answers, and those of the ScaledJobs
// that an engine has in view.
func NewMetrics(registerer prometheus.Registerer, of *engine.Engine) *Metrics {
	m := &Metrics{fallbacks: prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "ado_agent_orchestrator_count_fallbacks_total",
		Help: "Answers with another count than the trigger asked for.",
	}, []string{"asked", "used"})}
	registerer.MustRegister(m.fallbacks, collector{of})
	return m
}

func (m *Metrics) answered(a engine.Answer) {
	if m != nil && a.Used != a.Asked {
		m.fallbacks.WithLabelValues(a.Asked, a.Used).Inc()
	}
}

var (
	scaledJobLabels = []string{"namespace", "name"}

	metricValue = prometheus.NewDesc("ado_agent_orchestrator_metric_value",
		"The value that KEDA last got for a ScaledJob and a pool.", append(slices.Clone(scaledJobLabels), "pool"), nil)
	backoffUntil = prometheus.NewDesc("ado_agent_orchestrator_backoff_until_timestamp_seconds",
		"Until when a ScaledJob gets no new Jobs, since its last ones failed before accepting work; 0 if it is not held back.",
		scaledJobLabels, nil)
	startFailures = prometheus.NewDesc("ado_agent_orchestrator_consecutive_start_failures",
		"How often Jobs of a ScaledJob failed before accepting work since one of them took a job; 0 an hour after the last time. "+
			"Jobs that fail together count once.",
		scaledJobLabels, nil)
)

// failuresFor is how long failures are shown. A ScaledJob with work tries again
// every few minutes; one without would show them forever.
const failuresFor = time.Hour

// collector shows what the engine has in view at the time of a scrape, so that
// there is no series of a ScaledJob that is gone.
type collector struct{ engine *engine.Engine }

func (c collector) Describe(descs chan<- *prometheus.Desc) {
	descs <- metricValue
	descs <- backoffUntil
	descs <- startFailures
}

func (c collector) Collect(metrics chan<- prometheus.Metric) {
	now := time.Now()
	for _, s := range c.engine.Statuses() {
		gauge := func(desc *prometheus.Desc, value float64, labels ...string) {
			metrics <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, value, append([]string{s.Key.Namespace, s.Key.Name}, labels...)...)
		}
		failures, until := s.Backoff.Failures, 0.0
		if now.Before(s.Backoff.Until) {
			until = float64(s.Backoff.Until.Unix())
		}
		if now.Sub(s.Backoff.Until) > failuresFor {
			failures = 0
		}
		gauge(metricValue, float64(s.Answer.Value), s.Answer.Pool)
		gauge(backoffUntil, until)
		gauge(startFailures, float64(failures))
	}
}
