//go:build !nodemo

package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue/adotest"
)

var demoPipelines = []string{"web", "api", "mobile", "infrastructure"}

// The agents of another team, which every pool has. They are no Jobs, and run the jobs
// that demand them.
const demoOthers = "team-b"

var demoOtherAgents = []string{"vm-1", "vm-2"}

func ofOthers(r *adotest.RequestState) bool { return slices.Contains(r.Job.Demands, demoOthers) }

// queueJobs queues the same jobs in all pools, burst after burst, until ctx ends.
func queueJobs(ctx context.Context, standIn *adotest.Server) error {
	for _, pool := range demoPools() {
		for _, name := range demoOtherAgents {
			// Disabled, they take no jobs but those that are assigned to them here.
			agent := adotest.Agent{Name: name, Disabled: true, Capabilities: map[string]string{demoOthers: "true"}}
			if _, err := standIn.AddAgent(pool, agent); err != nil {
				return err
			}
		}
	}
	for {
		if err := queueBurst(standIn); err != nil {
			return err
		}
		if !tick(ctx, 3*time.Second) {
			return nil
		}
		if err := queueOthers(standIn); err != nil {
			return err
		}
		if !tick(ctx, between(5*time.Second, 8*time.Second)) {
			return nil
		}
	}
}

func queueBurst(standIn *adotest.Server) error {
	for range 3 + rand.IntN(4) {
		job := adotest.Job{Pipeline: demoPipelines[rand.IntN(len(demoPipelines))], Duration: between(2*time.Second, 6*time.Second)}
		for _, pool := range demoPools() {
			if _, err := standIn.Queue(pool, job); err != nil {
				return fmt.Errorf("queue a job in pool %s: %w", pool, err)
			}
		}
	}
	return nil
}

// queueOthers queues jobs of the other team, whose agents take them at once.
func queueOthers(standIn *adotest.Server) error {
	job := adotest.Job{Pipeline: demoOthers, Demands: []string{demoOthers}, Duration: between(3*time.Second, 5*time.Second)}
	for _, pool := range demoPools() {
		for _, agent := range demoOtherAgents {
			id, err := standIn.Queue(pool, job)
			if err == nil {
				err = standIn.Assign(id, agent)
			}
			if err != nil {
				return fmt.Errorf("queue a job in pool %s for agent %s: %w", pool, agent, err)
			}
		}
	}
	return nil
}
