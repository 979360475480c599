package housekeeping

import (
	"cmp"
	"strconv"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/plan"
)

// The outcomes of an action.
const (
	done   = "done"
	failed = "failed"
	would  = "dry_run"
)

// Metrics counts what is done. A nil *Metrics does nothing.
type Metrics struct {
	actions *prometheus.CounterVec
	stuck   *prometheus.GaugeVec
}

// NewMetrics registers the metrics.
func NewMetrics(registerer prometheus.Registerer) *Metrics {
	m := &Metrics{
		actions: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "ado_agent_orchestrator_housekeeping_actions_total",
			Help: "What housekeeping did: add_placeholder, mend_placeholder, remove_placeholder, mark_agent, remove_agent, delete_job.",
		}, []string{"organization", "pool", "action", "outcome"}),
		stuck: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "ado_agent_orchestrator_stuck_jobs",
			Help: "Jobs whose pods have not started for longer than the time set, by reason.",
		}, []string{"namespace", "name", "reason"}),
	}
	registerer.MustRegister(m.actions, m.stuck)
	return m
}

func (m *Metrics) did(p *pool, k kind, outcome string) {
	if m != nil {
		m.actions.WithLabelValues(p.url, p.Name, words[k].label, outcome).Inc()
	}
}

func (m *Metrics) deletedJob(of Member, outcome string) {
	if m != nil {
		m.actions.WithLabelValues(of.Organization, cmp.Or(of.Pool.Name, strconv.Itoa(of.Pool.ID)), "delete_job", outcome).Inc()
	}
}

// showStuck shows these and no others.
func (m *Metrics) showStuck(counts map[stuckKey]int) {
	if m == nil {
		return
	}
	m.stuck.Reset()
	for key, n := range counts {
		m.stuck.WithLabelValues(key.Namespace, key.Name, key.reason).Set(float64(n))
	}
}

// leave takes out what nobody keeps up to date any more.
func (m *Metrics) leave() { m.showStuck(nil) }

// stuckKey is what stuck Jobs are told of by.
type stuckKey struct {
	plan.Key
	reason string
}
