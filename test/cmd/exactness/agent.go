package main

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue/adotest"
	corev1 "k8s.io/api/core/v1"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/test/bench"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/test/controlplane"
)

// The times of an agent. podStart, registration and receiving are what no count
// of Jobs can spare a job.
const (
	podStart     = 3 * time.Second
	registration = 4 * time.Second
	receiving    = 500 * time.Millisecond // what it was assigned
	cleaning     = 2 * time.Second
	patience     = time.Minute // of an agent without a job
)

// lookEvery is the pause between two looks at what is waited for.
const lookEvery = 50 * time.Millisecond

// agents play the agents of a site, for exact times in place of processes.
type agents struct {
	azure  *adotest.Server
	groups []group

	mu     sync.Mutex
	idling map[string]time.Time // agents without a job, since when
	idled  time.Duration        // of the others
}

// plan is for a pod that KEDA's Job has made.
func (a *agents) plan(pod *corev1.Pod) controlplane.Plan {
	agent := adotest.Agent{Name: pod.Name, Capabilities: a.capabilities(pod.Labels["scaledjob.keda.sh/name"])}
	return controlplane.Plan{Delay: podStart, Run: func(ctx context.Context, container controlplane.Container) int {
		if err := a.run(ctx, agent); err != nil {
			fmt.Fprintln(container.Log, err)
			return 1
		}
		return 0
	}}
}

func (a *agents) capabilities(scaledJob string) map[string]string {
	for _, g := range a.groups {
		if g.name == scaledJob {
			return values(g.capabilities)
		}
	}
	return nil
}

func values(capabilities []string) map[string]string {
	m := map[string]string{}
	for _, capability := range capabilities {
		m[capability] = "1"
	}
	return m
}

// run is the life of an agent: into the pool, at most one job, out again.
func (a *agents) run(ctx context.Context, agent adotest.Agent) error {
	if err := sleep(ctx, registration); err != nil {
		return err
	}
	if _, err := a.azure.AddAgent(bench.Pool, agent); err != nil {
		return err
	}
	a.beginIdling(agent.Name)
	request, err := a.take(ctx, agent.Name)
	a.endIdling(agent.Name)
	if request == 0 {
		return err
	}
	// It keeps its request and gets no other, also in the moment in which it ends.
	if err := a.azure.SetAgentEnabled(bench.Pool, agent.Name, false); err != nil {
		return err
	}
	finished := func() bool {
		r, ok := a.azure.Request(request)
		return !ok || r.State == adotest.Finished
	}
	if err := until(ctx, finished); err != nil {
		return err
	}
	if err := a.azure.RemoveAgent(bench.Pool, agent.Name); err != nil {
		return err
	}
	return sleep(ctx, cleaning)
}

// take waits for a request. An agent that got none has left the pool.
func (a *agents) take(ctx context.Context, agent string) (request int64, err error) {
	waiting, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		err := until(waiting, func() bool {
			request = a.holds(agent)
			return request != 0
		})
		if err == nil {
			return request, nil
		}
		// One that holds a request cannot leave: then it was given that just now.
		if left := a.azure.RemoveAgent(bench.Pool, agent); left == nil {
			return 0, ctx.Err()
		}
		if request = a.holds(agent); request != 0 {
			return request, nil
		}
	}
}

func (a *agents) holds(agent string) (request int64) {
	for _, state := range a.azure.Agents(bench.Pool) {
		if strings.EqualFold(state.Name, agent) {
			return state.Request
		}
	}
	return 0
}

func (a *agents) beginIdling(agent string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.idling[agent] = time.Now()
}

func (a *agents) endIdling(agent string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.idled += time.Since(a.idling[agent])
	delete(a.idling, agent)
}

// idle is for how long agents were in the pool without a job so far, together.
func (a *agents) idle() time.Duration {
	a.mu.Lock()
	defer a.mu.Unlock()
	idle := a.idled
	for _, since := range a.idling {
		idle += time.Since(since)
	}
	return idle
}

// until waits until the condition is met.
func until(ctx context.Context, met func() bool) error {
	for !met() {
		if err := sleep(ctx, lookEvery); err != nil {
			return err
		}
	}
	return nil
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
