package explain

import (
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/engine"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/plan"
)

// followedWithin is how far two decisions about a pool may be apart for what happened
// in between to be measured. After a longer pause another replica may have measured it.
const followedWithin = 5 * time.Minute

// Metrics measure the ways of requests. A nil *Metrics does nothing.
type Metrics struct {
	acceptable time.Duration // wait of a request
	phases     *prometheus.HistogramVec
	waits      *prometheus.HistogramVec
	late       *prometheus.CounterVec
	idle       *prometheus.CounterVec
	unused     *prometheus.CounterVec
	decisions  *prometheus.CounterVec

	mu    sync.Mutex
	known map[plan.Key]bool // ScaledJobs with series
}

// Register lets an Explainer measure what it follows. It is called before the first
// decision. A request that waits longer than acceptable for an agent counts as late.
func (x *Explainer) Register(registerer prometheus.Registerer, acceptable time.Duration) {
	labels := []string{"namespace", "name"}
	buckets := []float64{.5, 1, 2.5, 5, 10, 20, 30, 45, 60, 90, 120, 180, 300, 600, 1200, 3600}
	m := &Metrics{
		acceptable: acceptable, known: map[plan.Key]bool{},
		phases: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "ado_agent_orchestrator_job_phase_seconds",
			Help:    "Duration of each phase on a job's way to an agent: from the last observed step to the one that the label names.",
			Buckets: buckets,
		}, append(labels[:2:2], "phase")),
		waits: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "ado_agent_orchestrator_job_wait_seconds",
			Help:    "Time from when a job was queued until an agent of the ScaledJob was assigned.",
			Buckets: buckets,
		}, labels),
		late: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "ado_agent_orchestrator_late_jobs_total",
			Help: "Jobs that waited for an agent of the ScaledJob longer than ACCEPTABLE_WAIT, counted as soon as they have.",
		}, labels),
		idle: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "ado_agent_orchestrator_idle_agent_seconds_total",
			Help: "Time that agents whose pods run have waited for a job, all agents together. Requires the right to watch pods.",
		}, labels),
		unused: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "ado_agent_orchestrator_unused_jobs_total",
			Help: "Kubernetes Jobs that ended without having taken a job: cancelled jobs, agents that failed, and idle agents that ended.",
		}, labels),
		decisions: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "ado_agent_orchestrator_decisions_total",
			Help: "Decisions made about a pool.",
		}, []string{"organization", "pool"}),
	}
	x.history.metrics = m
	registerer.MustRegister(collector{x, m})
}

// measure takes in a decision, the one after p.last.
func (m *Metrics) measure(p *poolHistory, d *engine.Decision) {
	if m == nil {
		return
	}
	m.decisions.WithLabelValues(d.Organization.String(), d.Snapshot.Pool.Name).Inc()
	m.begin(d.Groups)
	followed := p.last != nil && d.Snapshot.RequestedAt.Sub(p.last.Snapshot.RequestedAt) < followedWithin
	for i := range d.Snapshot.Requests {
		if r := p.unfinished[d.Snapshot.Requests[i].ID]; r != nil {
			m.measureRequest(r, d, i, followed)
		}
	}
	if followed {
		for key, agents := range p.idle {
			if _, planned := d.Plan.Groups[key]; !planned {
				continue // its series would be made again, and never swept
			}
			m.of(key, m.idle).Add(float64(agents) * d.MadeAt.Sub(p.last.MadeAt).Seconds())
		}
	}
	p.idle = idleAgents(d)
	p.unused = m.countUnused(d, p.unused, followed)
}

func (m *Metrics) measureRequest(r *record, d *engine.Decision, i int, followed bool) {
	request, v := d.Snapshot.Requests[i], &d.Plan.Requests[i]
	assigned := v.Outcome == plan.ByBusyJob && !request.AssignTime.IsZero()
	waited := d.MadeAt.Sub(request.QueueTime)
	if assigned {
		waited = request.AssignTime.Sub(request.QueueTime)
	}
	waits := request.State == adoqueue.Queued && v.Group != plan.Key{}
	if waited > m.acceptable && !r.late && (waits || assigned && !r.measured) {
		r.late = true
		if followed {
			m.of(v.Group, m.late).Inc()
		}
	}
	if assigned && !r.measured {
		r.measured = true
		if followed {
			m.measureWay(r, request, v.Group)
		}
	}
}

// measureWay measures a request that an agent has been assigned to. Steps from before
// the request was queued, as those of an agent that was waiting, are not on its way.
func (m *Metrics) measureWay(r *record, request *adoqueue.JobRequest, key plan.Key) {
	m.waits.WithLabelValues(key.Namespace, key.Name).Observe(max(0, request.AssignTime.Sub(request.QueueTime)).Seconds())
	last := request.QueueTime
	for _, step := range []struct {
		step Step
		at   time.Time
	}{
		{StepCounted, r.counted.time()},
		{StepReported, r.reported.time()},
		{StepJob, r.job.created.time()},
		{StepScheduled, r.job.scheduled.time()},
		{StepStarted, r.job.started.time()},
		{StepRegistered, r.registered.time()},
		{StepAssigned, request.AssignTime},
	} {
		// Kubernetes' times have whole seconds.
		if step.at.Before(request.QueueTime.Truncate(time.Second)) || step.at.After(request.AssignTime) {
			continue
		}
		m.phases.WithLabelValues(key.Namespace, key.Name, phaseOf(step.step)).Observe(max(0, step.at.Sub(last)).Seconds())
		if step.at.After(last) {
			last = step.at
		}
	}
}

// phaseOf returns the label of the phase that ends with a step.
func phaseOf(step Step) string { return strings.ReplaceAll(string(step), " ", "_") }

// idleAgents returns how many agents of each ScaledJob run and wait for a job.
func idleAgents(d *engine.Decision) map[plan.Key]int {
	idle := make(map[plan.Key]int, len(d.Groups))
	for i := range d.Groups {
		starting := 0
		for j := range d.Jobs[i] {
			job := &d.Jobs[i][j]
			if job.Ended.IsZero() && (len(job.Pods) == 0 || job.Pods[len(job.Pods)-1].Status.Started.IsZero()) {
				starting++
			}
		}
		key := d.Groups[i].Key
		idle[key] = max(0, d.Plan.Groups[key].Waiting-starting)
	}
	return idle
}

// countUnused counts the Jobs that are new among those that never took a job, and
// returns all of them.
func (m *Metrics) countUnused(d *engine.Decision, before map[string]bool, followed bool) map[string]bool {
	unused := make(map[string]bool, len(d.Unused))
	for uid, key := range d.Unused {
		unused[uid] = true
		if followed && !before[uid] {
			m.of(key, m.unused).Inc()
		}
	}
	return unused
}

// of returns the counter of a ScaledJob.
func (*Metrics) of(key plan.Key, counters *prometheus.CounterVec) prometheus.Counter {
	return counters.WithLabelValues(key.Namespace, key.Name)
}

// begin makes the series of ScaledJobs that are new, at 0: Prometheus sees no increase
// in the first value of a series.
func (m *Metrics) begin(groups []plan.Group) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for i := range groups {
		key := groups[i].Key
		if m.known[key] {
			continue
		}
		m.known[key] = true
		m.waits.WithLabelValues(key.Namespace, key.Name)
		for _, counters := range []*prometheus.CounterVec{m.late, m.idle, m.unused} {
			m.of(key, counters)
		}
	}
}

// sweep removes the series of ScaledJobs that are not in view any more.
func (m *Metrics) sweep(inView map[plan.Key]bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for key := range m.known {
		if inView[key] {
			continue
		}
		delete(m.known, key)
		labels := prometheus.Labels{"namespace": key.Namespace, "name": key.Name}
		m.phases.DeletePartialMatch(labels)
		for _, vec := range []interface{ Delete(prometheus.Labels) bool }{m.waits, m.late, m.idle, m.unused} {
			vec.Delete(labels)
		}
	}
}
