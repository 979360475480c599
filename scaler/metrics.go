package scaler

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/plan"
)

// Metrics shows what KEDA is told. A nil *Metrics does nothing.
type Metrics struct{ values, pauses *prometheus.GaugeVec }

// NewMetrics registers the metrics.
func NewMetrics(registerer prometheus.Registerer) *Metrics {
	m := &Metrics{values: prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "ado_agent_orchestrator_metric_value",
		Help: "The value that KEDA was last told for a ScaledJob or ScaledObject and a pool.",
	}, []string{"namespace", "name", "pool"}), pauses: prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "ado_agent_orchestrator_held_back_until_timestamp_seconds",
		Help: "Until when a ScaledJob gets no new Jobs, since its last ones failed before they took a job; 0 if they do not.",
	}, []string{"namespace", "name"})}
	registerer.MustRegister(m.values, m.pauses)
	return m
}

func (m *Metrics) show(a answer) {
	if m != nil {
		m.values.WithLabelValues(a.namespace, a.name, a.pool).Set(float64(a.value))
	}
}

func (m *Metrics) heldBack(key plan.Key, until time.Time) {
	if m == nil {
		return
	}
	seconds := 0.0
	if !until.IsZero() {
		seconds = float64(until.Unix())
	}
	m.pauses.WithLabelValues(key.Namespace, key.Name).Set(seconds)
}

func (m *Metrics) forget(a answer) {
	if m != nil {
		m.values.DeleteLabelValues(a.namespace, a.name, a.pool)
	}
}
