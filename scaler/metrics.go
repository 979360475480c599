package scaler

import "github.com/prometheus/client_golang/prometheus"

// Metrics shows what KEDA is told. A nil *Metrics does nothing.
type Metrics struct{ values *prometheus.GaugeVec }

// NewMetrics registers the metrics.
func NewMetrics(registerer prometheus.Registerer) *Metrics {
	m := &Metrics{values: prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "ado_agent_orchestrator_metric_value",
		Help: "The value that KEDA was last told for a ScaledJob or ScaledObject and a pool.",
	}, []string{"namespace", "name", "pool"})}
	registerer.MustRegister(m.values)
	return m
}

func (m *Metrics) show(a answer) {
	if m != nil {
		m.values.WithLabelValues(a.namespace, a.name, a.pool).Set(float64(a.value))
	}
}

func (m *Metrics) forget(a answer) {
	if m != nil {
		m.values.DeleteLabelValues(a.namespace, a.name, a.pool)
	}
}
