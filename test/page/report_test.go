package page_test

import (
	"fmt"
	"time"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/explain"
)

// now is when all Reports of these tests are made.
var now = time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)

const organization = "https://dev.azure.com/contoso"

// reportOf returns what a busy hour looks like, in one pool.
func reportOf(scaledJobs, requests int) explain.Report {
	pool := explain.Pool{
		Organization: organization, ID: 12, Name: "Linux", AzureDevOps: explain.AzureDevOps{LastRead: now.Add(-time.Second)},
		Stages: []explain.Stage{
			{Step: explain.StepQueued, Requests: 1, Broken: 1, First: broken(explain.StepCounted, explain.CodeNoScaledJob)},
			{Step: explain.StepScheduled, Requests: 2, Broken: 1, First: broken(explain.StepStarted, explain.CodeImagePull)},
			{Step: explain.StepRunning, Requests: 1},
		},
	}
	for i := range scaledJobs {
		pool.ScaledJobs = append(pool.ScaledJobs, scaledJobOf(i))
	}
	for i := range requests {
		pool.Requests = append(pool.Requests, requestOf(i, requests))
	}
	for i := range 200 {
		pool.Decisions = append(pool.Decisions, explain.Decision{
			At: now.Add(-time.Duration(i) * 5 * time.Second), SnapshotAt: now, Queued: i % 4, Running: i % 7, Repeated: i % 3,
			ScaledJobs: []explain.DecisionPart{{ScaledJob: "ado/build-0", Metric: int64(i % 5), Waiting: (i + 1) % 3, Busy: i%2 + 1}},
		})
	}
	return explain.Report{
		SchemaVersion: explain.SchemaVersion, MadeAt: now, Since: now.Add(-3 * time.Hour), PodsInView: true,
		Organizations: []explain.Organization{{
			URL: organization, Credential: "pat", CredentialExpires: now.AddDate(0, 0, 9), Requests: 12_345, DelayedSeconds: 2.5,
			ThrottledUntil: now.Add(20 * time.Second),
		}},
		Pools: []explain.Pool{pool}, Unpooled: []explain.ScaledJob{{Namespace: "ado", Name: "nowhere", State: explain.Invalid, Error: "poolName is missing"}},
		Summary: explain.Summary{Stopped: 2, Coming: 1, Served: 1, Finished: requests - 4},
	}
}

func broken(step explain.Step, code explain.Code) *explain.Broken {
	return &explain.Broken{
		Step: step, Code: code, Sentence: fmt.Sprintf("%s is not reached: %s", step, code), Fix: "do something about it",
		Since: now.Add(-3 * time.Minute),
	}
}

func scaledJobOf(i int) explain.ScaledJob {
	s := explain.ScaledJob{
		Namespace: "ado", Name: fmt.Sprintf("build-%d", i), Capabilities: "docker,java=17", Count: "exact", MaxReplicas: 10, PollingInterval: 5,
		Queued: i % 3, Missing: i % 3, State: explain.Scaling, PolledAt: now.Add(-2 * time.Second),
		Reported: &explain.Reported{Value: 4, At: now.Add(-2 * time.Second)},
	}
	if i == 0 {
		s.Unfinished, s.Waiting, s.Busy = 2, 1, 1
	}
	if i%10 == 1 {
		s.Broken = broken(explain.StepStarted, explain.CodeImagePull)
	}
	if i == 2 {
		s.Warnings = []string{"pollingInterval is 60 s: jobs wait for that long"}
	}
	return s
}

// requestOf returns one of n: two are stopped, one is coming, one runs, and the
// others have finished within the hour.
func requestOf(i, n int) explain.Request {
	q := explain.Request{
		ID: int64(1000 + i), Pipeline: "app", Run: fmt.Sprintf("20261125.%d", i), RunID: int64(i), Demands: []string{"docker", "gpu"},
		URL:       fmt.Sprintf("%s/22222222-2222-4222-8222-222222222222/_build/results?buildId=%d", organization, i),
		ScaledJob: "ado/build-0", Job: fmt.Sprintf("build-0-%05d", i), Agent: fmt.Sprintf("build-0-%05d-abcde", i),
	}
	age := time.Duration(i+20) * time.Hour / time.Duration(n+20)
	switch i {
	case 0:
		q.Progress, q.Broken, q.Chain = explain.Stopped, broken(explain.StepCounted, explain.CodeNoScaledJob), chainOf(1, explain.Failed, age)
	case 1:
		q.Progress, q.Broken, q.Chain = explain.Stopped, broken(explain.StepStarted, explain.CodeImagePull), chainOf(5, explain.Failed, age)
	case 2:
		q.Progress, q.Chain = explain.Coming, chainOf(5, explain.Next, age)
	case 3:
		q.Progress, q.Chain = explain.Served, chainOf(9, explain.Next, age)
	default:
		q.Progress, q.Chain = explain.Finished, chainOf(10, explain.Done, age)
	}
	return q
}

// chainOf is a chain with so many steps done; the first was reached that long ago.
func chainOf(done int, then explain.LinkStatus, age time.Duration) (chain []explain.Link) {
	at := now.Add(-age)
	for i, step := range explain.Steps() {
		link := explain.Link{Step: step, Status: explain.Pending}
		switch {
		case i < done:
			link.At, link.Status = at, explain.Done
			at = at.Add(time.Duration(500+100*i) * time.Millisecond)
		case i == done:
			link.Status = then
		}
		chain = append(chain, link)
	}
	return chain
}
