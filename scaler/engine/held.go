package engine

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/fleet"
)

// HeldJob is a Job whose agent holds a request.
type HeldJob struct {
	Job          fleet.Job
	Organization adoqueue.OrganizationURL
	Pool         adoqueue.Pool
	// Request belongs to a snapshot and must not be changed.
	Request *adoqueue.JobRequest
}

// Held returns the Jobs that are not annotated yet and whose agents hold requests, by
// snapshots no older than maxAge, those included that ended since. It makes no decision, so that a replica
// which KEDA does not ask measures nothing twice. Pools without such Jobs are not read;
// the error says which others could not be.
func (e *Engine) Held(ctx context.Context, maxAge time.Duration) ([]HeldJob, error) {
	if e.options.Cluster == nil {
		return nil, nil
	}
	var held []HeldJob
	var failures []error
	for ref, jobs := range e.unannotatedJobs(time.Now().Add(-maxAge)) {
		ctx, cancel := context.WithTimeout(ctx, e.options.Timeout)
		snapshot, err := e.organizations[ref.organization].queue.Snapshot(ctx, jobs.pool, maxAge)
		cancel()
		if err != nil {
			failures = append(failures, err)
			continue
		}
		held = append(held, heldJobs(snapshot, ref.organization, jobs.jobs)...)
	}
	return held, errors.Join(failures...)
}

// unannotatedJobs are the Jobs of a pool that are not annotated yet.
type unannotatedJobs struct {
	pool adoqueue.PoolRef
	jobs []fleet.Job
}

func (e *Engine) unannotatedJobs(unendedAt time.Time) map[poolRef]*unannotatedJobs {
	pools := map[poolRef]*unannotatedJobs{}
	e.mu.RLock()
	defer e.mu.RUnlock()
	for key, m := range e.members {
		if m.trigger == nil || m.unresolved {
			continue
		}
		for _, job := range e.options.Cluster.JobsOf(key) {
			if job.Annotated || !job.Ended.IsZero() && job.Ended.Before(unendedAt) {
				continue
			}
			ref := refOf(m.trigger)
			if pools[ref] == nil {
				pools[ref] = &unannotatedJobs{pool: m.trigger.Pool}
			}
			pools[ref].jobs = append(pools[ref].jobs, job)
		}
	}
	return pools
}

// heldJobs joins Jobs with the requests that their agents hold.
func heldJobs(snapshot *adoqueue.Snapshot, organization adoqueue.OrganizationURL, jobs []fleet.Job) (held []HeldJob) {
	requests, byBase := map[string]*adoqueue.JobRequest{}, map[string][]string{}
	for i := range snapshot.Requests {
		r := snapshot.Requests[i]
		if r.State == adoqueue.Queued || r.Agent == "" {
			continue
		}
		requests[r.Agent] = r
		if base := fleet.BaseOfPod(r.Agent); base != "" {
			byBase[base] = append(byBase[base], r.Agent)
		}
	}
	for i := range jobs {
		agents := planned(&jobs[i], byBase).Agents
		if at := slices.IndexFunc(agents, func(name string) bool { return requests[name] != nil }); at >= 0 {
			held = append(held, HeldJob{Job: jobs[i], Organization: organization, Pool: snapshot.Pool, Request: requests[agents[at]]})
		}
	}
	slices.SortFunc(held, func(a, b HeldJob) int { return a.Job.Created.Compare(b.Job.Created) })
	return held
}
