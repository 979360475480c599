package adoqueue

import (
	"context"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Metrics counts the requests to Azure DevOps and exposes what the caches hold. A
// nil *Metrics does nothing.
type Metrics struct {
	requests  *prometheus.CounterVec
	durations *prometheus.HistogramVec
	delays    *prometheus.CounterVec

	mu     sync.Mutex
	caches []*Cache
}

// NewMetrics registers the metrics.
func NewMetrics(registerer prometheus.Registerer) *Metrics {
	m := &Metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "ado_agent_orchestrator_azure_devops_requests_total",
			Help: "Requests to Azure DevOps, retries included, by operation and HTTP status; code 0 means no answer.",
		}, []string{"organization", "operation", "code"}),
		durations: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "ado_agent_orchestrator_azure_devops_request_duration_seconds",
			Help:    "Time until the answer of Azure DevOps was read, retries included.",
			Buckets: []float64{.025, .05, .1, .25, .5, 1, 2.5, 5, 10},
		}, []string{"organization", "operation"}),
		delays: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "ado_agent_orchestrator_azure_devops_delay_seconds_total",
			Help: "Time for which Azure DevOps says that it delayed requests (X-RateLimit-Delay).",
		}, []string{"organization"}),
	}
	registerer.MustRegister(m.requests, m.durations, m.delays, collector{m})
	return m
}

// of returns the metrics of one organization.
func (m *Metrics) of(organization OrganizationURL) clientMetrics {
	metrics := clientMetrics{metrics: m, organization: organization.String()}
	if m != nil {
		m.delays.WithLabelValues(metrics.organization) // 0 from the start
	}
	return metrics
}

// clientMetrics counts what one client does. The zero value does nothing.
type clientMetrics struct {
	metrics      *Metrics
	organization string
}

// count counts one request that was sent, retries of the HTTP library included.
func (c clientMetrics) count(operation string, status int) {
	if c.metrics != nil {
		c.metrics.requests.WithLabelValues(c.organization, operation, strconv.Itoa(status)).Inc()
	}
}

// observe records how long a call took with all of its requests.
func (c clientMetrics) observe(operation string, took time.Duration) {
	if c.metrics != nil {
		c.metrics.durations.WithLabelValues(c.organization, operation).Observe(took.Seconds())
	}
}

// delayed records how long Azure DevOps says that it delayed a request.
func (c clientMetrics) delayed(by time.Duration) {
	if c.metrics != nil && by > 0 {
		c.metrics.delays.WithLabelValues(c.organization).Add(by.Seconds())
	}
}

type peekingKey struct{}

// Peeking marks callers of [Cache.Snapshot] whose pools are not served, so that no
// metric shows them.
func Peeking(ctx context.Context) context.Context {
	return context.WithValue(ctx, peekingKey{}, true)
}

func isPeeking(ctx context.Context) bool { return ctx.Value(peekingKey{}) != nil }

// shownFor is how long the snapshot of a pool is shown after it was served last: a job
// that waits in a pool which is not served any more would be reported forever.
const shownFor = 5 * time.Minute

var (
	poolLabels = []string{"organization", "pool"}

	poolJobRequests = prometheus.NewDesc("ado_agent_orchestrator_pool_job_requests",
		"Unfinished job requests of a pool, by state, in its last snapshot.", append(slices.Clone(poolLabels), "state"), nil)
	poolOldestQueued = prometheus.NewDesc("ado_agent_orchestrator_pool_oldest_queued_timestamp_seconds",
		"When the longest waiting queued job request was queued; 0 if none waits.", poolLabels, nil)
	snapshotTimestamp = prometheus.NewDesc("ado_agent_orchestrator_snapshot_timestamp_seconds",
		"When the request for a pool's last snapshot was sent.", poolLabels, nil)
	heldUntil = prometheus.NewDesc("ado_agent_orchestrator_azure_devops_held_until_timestamp_seconds",
		"End of the wait that Azure DevOps asked for; no request is sent before. 0 if none.", []string{"organization"}, nil)
)

var credentialExpiry = prometheus.NewDesc("ado_agent_orchestrator_credential_expiry_timestamp_seconds",
	"Expiry of an organization's credential, known for certificates only.", []string{"organization"}, nil)

// collector shows what the caches hold at the time of a scrape, so that there is
// no series of a pool that is gone.
type collector struct{ metrics *Metrics }

func (collector) Describe(descs chan<- *prometheus.Desc) {
	descs <- poolJobRequests
	descs <- poolOldestQueued
	descs <- snapshotTimestamp
	descs <- heldUntil
	descs <- credentialExpiry
}

func (c collector) Collect(metrics chan<- prometheus.Metric) {
	c.metrics.mu.Lock()
	caches := slices.Clone(c.metrics.caches)
	c.metrics.mu.Unlock()
	for _, cache := range caches {
		organization := cache.client.organization.String()
		metrics <- prometheus.MustNewConstMetric(heldUntil, prometheus.GaugeValue,
			timestamp(cache.client.throttle.heldUntil()), organization)
		if expires := cache.client.CredentialExpires(); !expires.IsZero() {
			metrics <- prometheus.MustNewConstMetric(credentialExpiry, prometheus.GaugeValue, timestamp(expires), organization)
		}
		for _, snapshot := range cache.shown(time.Now().Add(-shownFor)) {
			snapshot.collect(organization, metrics)
		}
	}
}

func (s *Snapshot) collect(organization string, metrics chan<- prometheus.Metric) {
	gauge := func(desc *prometheus.Desc, value float64, labels ...string) {
		metrics <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, value, append([]string{organization, s.Pool.Name}, labels...)...)
	}
	for state, n := range s.Count() {
		gauge(poolJobRequests, float64(n), state.String())
	}
	var oldest time.Time
	if i := slices.IndexFunc(s.Requests, func(r *JobRequest) bool { return r.State == Queued }); i >= 0 {
		oldest = s.Requests[i].QueueTime
	}
	gauge(poolOldestQueued, timestamp(oldest))
	gauge(snapshotTimestamp, timestamp(s.RequestedAt))
}

// timestamp returns a time as Prometheus has it, 0 for none.
func timestamp(t time.Time) float64 {
	if t.IsZero() {
		return 0
	}
	return float64(t.UnixMilli()) / 1000
}

func (m *Metrics) show(c *Cache) {
	if m == nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.caches = append(m.caches, c)
}

func (m *Metrics) hide(c *Cache) {
	if m == nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.caches = slices.DeleteFunc(m.caches, func(other *Cache) bool { return other == c })
}
