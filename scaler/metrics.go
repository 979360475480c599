package scaler

import (
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

var metricValue = prometheus.NewDesc("ado_agent_orchestrator_metric_value",
	"The value that KEDA last got for a ScaledJob and a pool.", []string{"namespace", "name", "pool"}, nil)

// collector shows what the engine has in view at the time of a scrape, so that
// there is no series of a ScaledJob that is gone.
type collector struct{ engine *engine.Engine }

func (c collector) Describe(descs chan<- *prometheus.Desc) { descs <- metricValue }

func (c collector) Collect(metrics chan<- prometheus.Metric) {
	for _, s := range c.engine.Statuses() {
		metrics <- prometheus.MustNewConstMetric(metricValue, prometheus.GaugeValue, float64(s.Answer.Value), s.Key.Namespace, s.Key.Name, s.Answer.Pool)
	}
}
