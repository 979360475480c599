package housekeeping

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/plan"
)

// The outcomes of an action.
const (
	outcomeDone   = "done"
	outcomeFailed = "failed"
	outcomeDryRun = "dry_run"
)

// Metrics counts actions and stuck Jobs. A nil *Metrics does nothing.
type Metrics struct {
	actions *prometheus.CounterVec
	stuck   *prometheus.GaugeVec
}

// NewActionMetrics returns Metrics of actions alone that it has registered, for a Keeper
// that looks for no stuck Jobs.
func NewActionMetrics(registerer prometheus.Registerer) *Metrics {
	m := &Metrics{actions: prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "ado_agent_orchestrator_housekeeping_actions_total",
		Help: "Housekeeping actions: add_placeholder, update_placeholder, model_placeholder, remove_placeholder, mark_agent, remove_agent, delete_job, end_idle, annotate_job.",
	}, []string{"organization", "pool", "action", "outcome"})}
	registerer.MustRegister(m.actions)
	return m
}

// NewMetrics returns Metrics that it has registered.
func NewMetrics(registerer prometheus.Registerer) *Metrics {
	m := NewActionMetrics(registerer)
	m.stuck = prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "ado_agent_orchestrator_stuck_jobs",
		Help: "Jobs whose pods have not started within STUCK_AFTER, by reason.",
	}, []string{"namespace", "name", "reason"})
	registerer.MustRegister(m.stuck)
	return m
}

func (m *Metrics) countAction(organization, pool, action, outcome string) {
	if m != nil {
		m.actions.WithLabelValues(organization, pool, action, outcome).Inc()
	}
}

// setStuck replaces the numbers of stuck Jobs.
func (m *Metrics) setStuck(counts map[stuckKey]int) {
	if m == nil || m.stuck == nil {
		return
	}
	m.stuck.Reset()
	for key, n := range counts {
		m.stuck.WithLabelValues(key.scaledJob.Namespace, key.scaledJob.Name, key.reason).Set(float64(n))
	}
}

// clearStuck removes the numbers of stuck Jobs, which would be out of date once
// nobody updates them.
func (m *Metrics) clearStuck() { m.setStuck(nil) }

// stuckKey is what stuck Jobs are grouped by.
type stuckKey struct {
	scaledJob plan.Key
	reason    string
}
