package adoqueue

import (
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Metrics counts the requests to Azure DevOps and exposes the contents of the
// snapshots. A nil *Metrics does nothing.
type Metrics struct {
	requests  *prometheus.CounterVec
	durations *prometheus.HistogramVec
	jobs      *prometheus.GaugeVec
	oldest    *prometheus.GaugeVec
	snapshots *prometheus.GaugeVec
}

// NewMetrics registers the metrics.
func NewMetrics(registerer prometheus.Registerer) *Metrics {
	pool := []string{"organization", "pool"}
	m := &Metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "ado_agent_orchestrator_azure_devops_requests_total",
			Help: "Requests to Azure DevOps, retries included, by operation and HTTP status; code 0 means no answer.",
		}, []string{"operation", "code"}),
		durations: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "ado_agent_orchestrator_azure_devops_request_duration_seconds",
			Help:    "Time until the answer of Azure DevOps was read, retries included.",
			Buckets: []float64{.025, .05, .1, .25, .5, 1, 2.5, 5, 10},
		}, []string{"operation"}),
		jobs: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "ado_agent_orchestrator_pool_job_requests",
			Help: "Unfinished job requests of a pool, by state, in its last snapshot.",
		}, append(pool, "state")),
		oldest: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "ado_agent_orchestrator_pool_oldest_queued_timestamp_seconds",
			Help: "When the longest waiting queued job request was queued, 0 if none waits.",
		}, pool),
		snapshots: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "ado_agent_orchestrator_snapshot_timestamp_seconds",
			Help: "When the request for a pool's last snapshot was sent.",
		}, pool),
	}
	registerer.MustRegister(m.requests, m.durations, m.jobs, m.oldest, m.snapshots)
	return m
}

// count counts one request that was sent, retries of the HTTP library included.
func (m *Metrics) count(operation string, status int) {
	if m == nil {
		return
	}
	m.requests.WithLabelValues(operation, strconv.Itoa(status)).Inc()
}

// observe records how long a call took with all of its requests.
func (m *Metrics) observe(operation string, took time.Duration) {
	if m == nil {
		return
	}
	m.durations.WithLabelValues(operation).Observe(took.Seconds())
}

func (m *Metrics) show(organization OrganizationURL, s *Snapshot) {
	if m == nil {
		return
	}
	pool := []string{organization.String(), s.Pool.Name}
	oldest := 0.0
	for i := range s.Requests {
		if s.Requests[i].State == Queued {
			oldest = float64(s.Requests[i].QueueTime.UnixMilli()) / 1000
			break
		}
	}
	for state, n := range s.Count() {
		m.jobs.WithLabelValues(append(pool, state.String())...).Set(float64(n))
	}
	m.oldest.WithLabelValues(pool...).Set(oldest)
	m.snapshots.WithLabelValues(pool...).Set(float64(s.RequestedAt.UnixMilli()) / 1000)
}

func (m *Metrics) forget(organization OrganizationURL, pool Pool) {
	if m == nil {
		return
	}
	labels := prometheus.Labels{"organization": organization.String(), "pool": pool.Name}
	m.jobs.DeletePartialMatch(labels)
	m.oldest.DeletePartialMatch(labels)
	m.snapshots.DeletePartialMatch(labels)
}
