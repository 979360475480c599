package main

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue/adotest"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/test/cluster"
)

// result is what a run came to.
type result struct {
	run      run
	requests int // queued
	jobs     int // made by KEDA
	taken    int // requests that an agent of one of the Jobs has got
	lost     int // requests cancelled, or taken by somebody else's agent
	surplus  int // unnecessary Jobs
	starved  int // requests that waited for more than starvedAfter, and were not cancelled
	mean     time.Duration
	p95      time.Duration
	longest  time.Duration
	idle     time.Duration // of agents in the pool, together
	asked    float64       // requests to Azure DevOps in a minute
}

func (t *trial) result() result {
	took := map[string]bool{} // Jobs
	var lost []cluster.Span
	var waits []time.Duration
	jobs := t.record.Of(t.env.Namespace)
	res := result{run: t.run, requests: len(t.queued), jobs: len(jobs)}
	for _, id := range t.queued {
		r, _ := t.env.Azure.Request(id)
		if r.ReceiveTime.IsZero() || r.ReceiveTime.Sub(r.QueueTime) > starvedAfter {
			if r.Result != "canceled" {
				res.starved++
			}
		}
		job := cluster.JobOf(r.Agent)
		if slices.ContainsFunc(jobs, func(j cluster.MadeJob) bool { return j.Name == job }) {
			took[job] = true
			res.taken++
		} else if r.State != adotest.Queued {
			lost = append(lost, cluster.Span{From: r.QueueTime, To: cmp.Or(r.AssignTime, r.FinishTime)})
		}
		if !r.ReceiveTime.IsZero() {
			waits = append(waits, r.ReceiveTime.Sub(r.QueueTime))
		}
	}
	res.lost = len(lost)
	res.surplus = cluster.Surplus(jobs, took, lost)
	res.wait(waits)
	res.idle = t.agents.Idle()
	res.asked = float64(t.env.Azure.Count("", 0)-t.asked) / time.Since(t.begin).Minutes()
	return res
}

func (r *result) wait(waits []time.Duration) {
	if len(waits) == 0 {
		return
	}
	slices.Sort(waits)
	var sum time.Duration
	for _, w := range waits {
		sum += w
	}
	r.mean = sum / time.Duration(len(waits))
	r.p95 = waits[(len(waits)*95+99)/100-1]
	r.longest = waits[len(waits)-1]
}

func (r result) String() string {
	return fmt.Sprintf("%d requests, %d Jobs, %d taken, %d lost, %d surplus, %d starved, wait %.1f s, longest %.1f s",
		r.requests, r.jobs, r.taken, r.lost, r.surplus, r.starved, r.mean.Seconds(), r.longest.Seconds())
}

// broken returns the promises that our scaler broke.
func broken(results []result) error {
	var errs []error
	for _, r := range results {
		if !r.run.contender.ours {
			continue
		}
		if r.surplus != 0 || r.starved != 0 || r.longest > r.run.bound() {
			errs = append(errs, fmt.Errorf("%s: %s, bound %.1f s", r.run.name(), r, r.run.bound().Seconds()))
		}
	}
	return errors.Join(errs...)
}
