package page

import (
	"cmp"
	"slices"
	"time"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/explain"
)

// party is who has to act for a step to be reached.
type party string

const (
	azureDevOps party = "Azure DevOps"
	scaledJobs  party = "ScaledJobs"
	keda        party = "KEDA"
	kubernetes  party = "Kubernetes"
	agent       party = "the agent"
)

// parties are those of the steps.
var parties = map[explain.Step]party{
	explain.StepQueued: azureDevOps, explain.StepCounted: scaledJobs, explain.StepReported: keda, explain.StepJob: keda,
	explain.StepScheduled: kubernetes, explain.StepStarted: kubernetes, explain.StepRegistered: agent,
	explain.StepAssigned: azureDevOps, explain.StepRunning: agent, explain.StepFinished: agent,
}

// exceptions are broken links that somebody else than the party of the step can fix.
var exceptions = map[explain.Code]party{
	explain.CodeUnreadable: azureDevOps, explain.CodeThrottled: azureDevOps, explain.CodeParallelJobs: azureDevOps,
	explain.CodePlaceholder: azureDevOps,
	explain.CodeMaxReplicas: scaledJobs, explain.CodePaused: scaledJobs, explain.CodeDeleting: scaledJobs,
	explain.CodeInvalid: scaledJobs, explain.CodeNoScaledJob: scaledJobs,
	explain.CodeNotPolled: keda, explain.CodeNotCreated: keda,
	explain.CodeRefused: kubernetes, explain.CodePodRefused: kubernetes, explain.CodeUnschedulable: kubernetes, explain.CodeImagePull: kubernetes,
	explain.CodeNotStarted: kubernetes, explain.CodeKubernetes: kubernetes,
	explain.CodeBackOff: agent, explain.CodeContainer: agent, explain.CodeNotRegistered: agent, explain.CodeOtherName: agent,
	explain.CodeTaken: agent,
}

// blame returns who is to look at a broken link.
func blame(b *explain.Broken) party {
	if p, ok := exceptions[b.Code]; ok {
		return p
	}
	return parties[b.Step]
}

// problem is a broken link, with how many jobs are stopped at it.
type problem struct {
	broken *explain.Broken
	pool   *explain.Pool // nil if it is unknown
	jobs   int
}

// problemsOf returns what is broken, the first link of the chain first, and of
// several at one link the one that began first.
func problemsOf(r *explain.Report) []problem {
	var problems []problem
	for i := range r.Pools {
		pool := &r.Pools[i]
		if pool.Broken != nil {
			problems = append(problems, problem{broken: pool.Broken, pool: pool})
		}
		problems = append(problems, stopped(pool)...)
	}
	for i := range r.Unpooled {
		if b := r.Unpooled[i].Broken; b != nil {
			problems = append(problems, problem{broken: b})
		}
	}
	order := explain.Steps()
	slices.SortStableFunc(problems, func(a, b problem) int {
		return cmp.Or(
			cmp.Compare(slices.Index(order, a.broken.Step), slices.Index(order, b.broken.Step)),
			compareTimes(a.broken.Since, b.broken.Since))
	})
	return problems
}

// stopped returns the broken links of a pool's requests, one for each kind at each
// step. Requests that a bound has left out show in the stages alone.
func stopped(pool *explain.Pool) []problem {
	type kind struct {
		step explain.Step
		code explain.Code
	}
	found := map[kind]int{}
	var problems []problem
	add := func(b *explain.Broken, jobs int) {
		k := kind{b.Step, b.Code}
		at, known := found[k]
		if !known {
			at = len(problems)
			found[k] = at
			problems = append(problems, problem{broken: b, pool: pool})
		}
		problems[at].jobs += jobs
	}
	for i := range pool.Requests {
		if b := pool.Requests[i].Broken; b != nil && pool.Requests[i].Progress == explain.Stopped {
			add(b, 1)
		}
	}
	if len(problems) > 0 {
		return problems
	}
	for _, stage := range pool.Stages {
		if stage.First != nil {
			add(stage.First, stage.Broken)
		}
	}
	return problems
}

// compareTimes has unknown times last.
func compareTimes(a, b time.Time) int {
	if a.IsZero() != b.IsZero() {
		if a.IsZero() {
			return 1
		}
		return -1
	}
	return a.Compare(b)
}
