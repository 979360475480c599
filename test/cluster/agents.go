package cluster

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue/adotest"
	corev1 "k8s.io/api/core/v1"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/test/controlplane"
)

// AgentTimes are the times of an agent that no count of Jobs can shorten.
type AgentTimes struct {
	PodStart, Registration, Cleaning time.Duration
	Patience                         time.Duration // of an agent without a job
}

// Agents play the agents of an environment, for exact times in place of processes.
type Agents struct {
	AgentTimes

	// Azure is the organization; it is set before there are pods.
	Azure *adotest.Server
	// Capabilities returns those of a ScaledJob's agents; nil means that there are none.
	Capabilities func(scaledJob string) map[string]string

	mu     sync.Mutex
	idling map[string]time.Time // agents without a job, since when
	idled  time.Duration        // of the others
}

// Plan is for a pod that KEDA's Job has made.
func (a *Agents) Plan(pod *corev1.Pod) controlplane.Plan {
	agent := adotest.Agent{Name: pod.Name}
	if a.Capabilities != nil {
		agent.Capabilities = a.Capabilities(pod.Labels["scaledjob.keda.sh/name"])
	}
	return controlplane.Plan{Delay: a.PodStart, Run: func(ctx context.Context, container controlplane.Container) int {
		if err := a.run(ctx, agent); err != nil {
			fmt.Fprintln(container.Log, err)
			return 1
		}
		return 0
	}}
}

// run is the life of an agent: into the pool, at most one job, out again.
func (a *Agents) run(ctx context.Context, agent adotest.Agent) error {
	if err := Sleep(ctx, a.Registration); err != nil {
		return err
	}
	if _, err := a.Azure.AddAgent(Pool, agent); err != nil {
		return err
	}
	a.beginIdling(agent.Name)
	request, err := a.take(ctx, agent.Name)
	a.endIdling(agent.Name)
	if request == 0 {
		return err
	}
	// It keeps its request and gets no other, also in the moment in which it ends.
	if err := a.Azure.SetAgentEnabled(Pool, agent.Name, false); err != nil {
		return err
	}
	finished := func() bool {
		r, ok := a.Azure.Request(request)
		return !ok || r.State == adotest.Finished
	}
	if err := Until(ctx, finished); err != nil {
		return err
	}
	if err := a.Azure.RemoveAgent(Pool, agent.Name); err != nil {
		return err
	}
	return Sleep(ctx, a.Cleaning)
}

// take waits for a request. An agent that got none has left the pool.
func (a *Agents) take(ctx context.Context, agent string) (request int64, err error) {
	waiting, cancel := context.WithTimeout(ctx, a.Patience)
	defer cancel()
	for {
		err := Until(waiting, func() bool {
			request = a.holds(agent)
			return request != 0
		})
		if err == nil {
			return request, nil
		}
		// One that holds a request cannot leave: then it was given that just now.
		if left := a.Azure.RemoveAgent(Pool, agent); left == nil {
			return 0, ctx.Err()
		}
		if request = a.holds(agent); request != 0 {
			return request, nil
		}
	}
}

func (a *Agents) holds(agent string) (request int64) {
	for _, state := range a.Azure.Agents(Pool) {
		if strings.EqualFold(state.Name, agent) {
			return state.Request
		}
	}
	return 0
}

func (a *Agents) beginIdling(agent string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.idling == nil {
		a.idling = map[string]time.Time{}
	}
	a.idling[agent] = time.Now()
}

func (a *Agents) endIdling(agent string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.idled += time.Since(a.idling[agent])
	delete(a.idling, agent)
}

// Idle is for how long agents were in the pool without a job so far, together.
func (a *Agents) Idle() time.Duration {
	a.mu.Lock()
	defer a.mu.Unlock()
	idle := a.idled
	for _, since := range a.idling {
		idle += time.Since(since)
	}
	return idle
}
