package engine

import (
	"fmt"
	"slices"
	"time"

	"go.uber.org/zap"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/fleet"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/plan"
)

// memberJobs are the Jobs of one ScaledJob.
type memberJobs struct {
	jobs       []fleet.Job
	unfinished int
}

// jobsOf returns the Jobs of each of a pool's members, and all of them joined with
// their agents in a snapshot.
func (e *Engine) jobsOf(p *pool, snapshot *adoqueue.Snapshot) (each []memberJobs, all []plan.Job) {
	byBase := map[string][]string{} // names of agents
	for i := range snapshot.Requests {
		if base := fleet.BaseOfPod(snapshot.Requests[i].Agent); base != "" {
			byBase[base] = append(byBase[base], snapshot.Requests[i].Agent)
		}
	}
	each = make([]memberJobs, len(p.members))
	n := 0
	for i, m := range p.members {
		each[i].jobs = e.options.Cluster.JobsOf(m.group.Key)
		n += len(each[i].jobs)
	}
	all = make([]plan.Job, 0, n)
	for i := range each {
		for j := range each[i].jobs {
			job := &each[i].jobs[j]
			if job.Ended.IsZero() {
				each[i].unfinished++
			}
			all = append(all, planned(job, byBase))
		}
	}
	return each, all
}

// planned joins a Job with its agents: those of its pods where these are in view,
// else those named as its pods would be: an agent may hold a request before its pod
// is seen. A Job whose first pod has failed runs another agent, which is as good as
// that of a new Job.
func planned(job *fleet.Job, byBase map[string][]string) plan.Job {
	made := plan.Job{UID: job.UID, Group: job.Owner(), Created: job.Created, Ended: job.Ended}
	if len(job.Pods) == 0 {
		// A base that was cut may be that of several Jobs.
		if base := job.PodBase(); base == job.Name+"-" {
			made.Agents = byBase[base]
		}
		return made
	}
	last := &job.Pods[len(job.Pods)-1]
	if len(job.Pods) > 1 && !last.Ended {
		made.UID, made.Created, made.Agents = job.UID+"/"+last.Name, last.Created, []string{last.Name}
		return made
	}
	for i := range job.Pods {
		made.Agents = append(made.Agents, job.Pods[i].Name)
	}
	return made
}

// settledAfter is how long after a Job's end it is known what it ran: Kubernetes'
// times have whole seconds.
const settledAfter = 2 * time.Second

// unknownAfter is how long a Job's agent has to be out of sight, while agents that
// are nobody's take requests, before that is reported.
const unknownAfter = time.Minute

// unknownAgents remembers of which ScaledJobs it was reported that their agents
// seem to have other names than their pods.
type unknownAgents struct{ reported map[plan.Key]bool }

// warnOfUnknownAgents reports ScaledJobs whose Jobs wait while agents that belong
// to no Job hold requests which came to them since: they are probably those of
// these Jobs, under names that nothing can join with them. Those of another
// cluster that serves the pool are expected.
func (e *Engine) warnOfUnknownAgents(p *pool, d *Decision, jobs []memberJobs) {
	for i, m := range p.members {
		key := m.group.Key
		agent := ""
		if d.Plan.Groups[key].Waiting > 0 && m.group.Shard.All() && !m.unresolved {
			agent = unknownAgent(d, key.Name, jobs[i])
		}
		if agent == "" {
			delete(p.unknown.reported, key)
			continue
		}
		if d.Strays == nil {
			d.Strays = map[plan.Key]string{}
		}
		d.Strays[key] = agent
		if p.unknown.reported[key] {
			continue
		}
		if p.unknown.reported == nil {
			p.unknown.reported = map[plan.Key]bool{}
		}
		p.unknown.reported[key] = true
		message := fmt.Sprintf("Jobs wait without an agent in pool %q while agents that belong to no Job run jobs there (such as %q): "+
			"name agents after their pods, by AZP_AGENT_NAME from fieldRef metadata.name", d.Snapshot.Pool.Name, agent)
		e.options.Logger.Warn("agents cannot be joined with their Jobs", zap.String("namespace", key.Namespace), zap.String("name", key.Name),
			zap.String("reason", message))
		e.options.Cluster.Warn(key.Namespace, key.Name, "AgentNameUnknown", message)
	}
}

// unknownAgent returns an agent of nobody that has got a request since a Job was
// created which waits for unknownAfter, "" if there is none. An agent that is named
// after a pod of the ScaledJob finishes its request after its Job was deleted.
func unknownAgent(d *Decision, scaledJob string, jobs memberJobs) string {
	oldest := slices.IndexFunc(jobs.jobs, func(j fleet.Job) bool {
		return j.Ended.IsZero() && d.MadeAt.Sub(j.Created) > unknownAfter
	})
	if oldest < 0 {
		return ""
	}
	for i, verdict := range d.Plan.Requests {
		r := d.Snapshot.Requests[i]
		if verdict.Outcome == plan.ByOtherAgent && r.AssignTime.After(jobs.jobs[oldest].Created) && !fleet.OwnsAgent(scaledJob, r.Agent) {
			return r.Agent
		}
	}
	return ""
}

// unused returns the Jobs that have ended and never took a request. One that ended a
// moment before the snapshot may have had one that the snapshot does not show.
func (p *pool) unused(snapshot *adoqueue.Snapshot, jobs []memberJobs) map[string]plan.Key {
	unused := map[string]plan.Key{}
	for i := range jobs {
		for j := range jobs[i].jobs {
			job := &jobs[i].jobs[j]
			if job.Ended.IsZero() || job.Ended.Add(settledAfter).After(snapshot.RequestedAt) || p.history.Held(job.UID) {
				continue
			}
			held := slices.ContainsFunc(job.Pods, func(pod fleet.Pod) bool { return p.history.Held(job.UID + "/" + pod.Name) })
			if !held {
				unused[job.UID] = job.Owner()
			}
		}
	}
	return unused
}
