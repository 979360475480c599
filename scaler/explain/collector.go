package explain

import (
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/engine"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/plan"
)

// shownFor is how long the last decision about a pool is shown.
const shownFor = 5 * time.Minute

var (
	unservedRequests = prometheus.NewDesc("ado_agent_orchestrator_unserved_job_requests",
		"Queued job requests of a pool that no ScaledJob serves, by reason, in the last decision.", []string{"organization", "pool", "reason"}, nil)
	idleAgentsNow = prometheus.NewDesc("ado_agent_orchestrator_idle_agents",
		"Agents whose pods run and that wait for a job. Requires the right to watch pods.", []string{"namespace", "name"}, nil)
	idleAgentsWanted = prometheus.NewDesc("ado_agent_orchestrator_idle_agents_wanted",
		"Agents that are to wait for jobs beyond those that queued jobs need (minIdle and its schedule).", []string{"namespace", "name"}, nil)
	backoffUntil = prometheus.NewDesc("ado_agent_orchestrator_backoff_until_timestamp_seconds",
		"End of a ScaledJob's back-off after Jobs that failed before accepting work; 0 if it is not held back.",
		[]string{"namespace", "name"}, nil)
	startFailures = prometheus.NewDesc("ado_agent_orchestrator_consecutive_start_failures",
		"How often Jobs of a ScaledJob failed before accepting work since one of them took a job; 0 an hour after the last time. "+
			"Jobs that fail together count once.", []string{"namespace", "name"}, nil)
)

// failuresFor is how long failures are shown. A ScaledJob with work tries again every
// few minutes; one without would show them forever.
const failuresFor = time.Hour

// reasons are why a request is not served.
var reasons = []Code{
	CodeNoScaledJob, CodeMaxReplicas, CodeParallelJobs, CodeInvalid, CodeDeleting, CodePaused, CodeNotPolled, CodeBackOff,
}

// collector shows what an Explainer has measured of the ScaledJobs in view, and the
// last decisions.
type collector struct {
	explainer *Explainer
	metrics   *Metrics
}

func (c collector) vecs() []prometheus.Collector {
	return []prometheus.Collector{c.metrics.phases, c.metrics.waits, c.metrics.late, c.metrics.idle, c.metrics.unused, c.metrics.decisions}
}

func (c collector) Describe(descs chan<- *prometheus.Desc) {
	for _, vec := range c.vecs() {
		vec.Describe(descs)
	}
	descs <- unservedRequests
	descs <- idleAgentsNow
	descs <- idleAgentsWanted
	descs <- backoffUntil
	descs <- startFailures
}

func (c collector) Collect(metrics chan<- prometheus.Metric) {
	members, _ := c.explainer.explained()
	inView := make(map[plan.Key]bool, len(members))
	for i := range members {
		inView[members[i].ScaledJob.Key] = true
	}
	c.metrics.sweep(inView)
	for _, vec := range c.vecs() {
		vec.Collect(metrics)
	}
	shown := map[string]bool{}
	for _, d := range c.explainer.history.newest(time.Now().Add(-shownFor)) {
		if name := d.Organization.String() + " " + d.Snapshot.Pool.Name; !shown[name] {
			shown[name] = true
			collectRequests(d, metrics)
		}
		collectScaledJobs(d, inView, metrics)
	}
}

func gauge(desc *prometheus.Desc, value int, labels ...string) prometheus.Metric {
	return prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, float64(value), labels...)
}

// collectRequests shows why requests of a pool are not served.
func collectRequests(d *engine.Decision, metrics chan<- prometheus.Metric) {
	counts := map[Code]int{}
	for i := range d.Plan.Requests {
		if v := &d.Plan.Requests[i]; v.Outcome == plan.Unserved {
			counts[reasonOf(d, v)]++
		}
	}
	for _, reason := range reasons {
		metrics <- gauge(unservedRequests, counts[reason], d.Organization.String(), d.Snapshot.Pool.Name, string(reason))
	}
}

// collectScaledJobs shows the idle agents and the back-off of the ScaledJobs in view, and
// takes each out of inView: one that changes its pool, or whose pool only KEDA knows, has a part in
// several decisions, and a series that is sent twice makes the whole scrape fail.
func collectScaledJobs(d *engine.Decision, inView map[plan.Key]bool, metrics chan<- prometheus.Metric) {
	idle, now := idleAgents(d), time.Now()
	for i := range d.Groups {
		key := d.Groups[i].Key
		if inView[key] {
			delete(inView, key)
			metrics <- gauge(idleAgentsNow, idle[key], key.Namespace, key.Name)
			metrics <- gauge(idleAgentsWanted, d.Plan.Groups[key].Idle, key.Namespace, key.Name)
			back := d.Backoffs[key]
			failures, until := back.Failures, 0
			if now.Before(back.Until) {
				until = int(back.Until.Unix())
			}
			if now.Sub(back.Until) > failuresFor {
				failures = 0
			}
			metrics <- gauge(backoffUntil, until, key.Namespace, key.Name)
			metrics <- gauge(startFailures, failures, key.Namespace, key.Name)
		}
	}
}

// reasonOf returns why a request is not served.
func reasonOf(d *engine.Decision, v *plan.Verdict) Code {
	switch v.Cause {
	case plan.AtMaxReplicas:
		return CodeMaxReplicas
	case plan.NoParallelJob:
		return CodeParallelJobs
	case plan.GroupBlocked:
		return blockCodes[d.Blocks[v.Group].Cause]
	default:
		return CodeNoScaledJob
	}
}

// blockCodes are the reasons of blocked ScaledJobs.
var blockCodes = map[engine.BlockCause]Code{
	engine.Invalid: CodeInvalid, engine.Deleting: CodeDeleting, engine.Paused: CodePaused, engine.NotPolled: CodeNotPolled,
	engine.HeldBack: CodeBackOff, engine.Unresolved: CodeNotPolled,
}

// newest returns the last decisions of the pools that were made since a time, the
// newest first.
func (h *history) newest(since time.Time) (decisions []*engine.Decision) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, p := range h.pools {
		if p.last != nil && p.last.MadeAt.After(since) {
			decisions = append(decisions, p.last)
		}
	}
	slices.SortFunc(decisions, func(a, b *engine.Decision) int { return b.MadeAt.Compare(a.MadeAt) })
	return decisions
}
