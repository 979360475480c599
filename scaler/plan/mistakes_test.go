package plan_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/plan"
)

// TestMistakesAreCaught runs the scenarios with planners that are wrong, each in
// the way of some scaler there is or might be, and wants the property violated
// that the mistake breaks.
func TestMistakesAreCaught(t *testing.T) {
	tests := []struct {
		name     string
		planner  planner
		violates string
	}{
		{
			name:     "the metric is what is queued, so the queue waits for running builds",
			planner:  withMetric(func(in *plan.Input, g int, _ plan.GroupPlan) int64 { return queuedFor(in, g) }),
			violates: "no waiting",
		},
		{
			name: "the metric counts unfinished Jobs while nothing is missing, so that one which ends makes another",
			planner: withMetric(func(in *plan.Input, g int, p plan.GroupPlan) int64 {
				return max(0, int64(p.Missing+p.Unfinished-in.Groups[g].MinReplicas))
			}),
			violates: "exactly one",
		},
		{
			name: "the metric leaves only draining Jobs out while nothing is missing, and not the busy ones",
			planner: withMetric(func(in *plan.Input, g int, p plan.GroupPlan) int64 {
				if p.Missing == 0 {
					return max(0, int64(p.Unfinished-p.Draining-in.Groups[g].MinReplicas))
				}
				return p.Metric
			}),
			violates: "exactly one",
		},
		{
			name: "the metric never counts draining Jobs, so the queue waits for their end",
			planner: withMetric(func(_ *plan.Input, _ int, p plan.GroupPlan) int64 {
				return max(0, p.Metric-int64(p.Draining))
			}),
			violates: "no waiting",
		},
		{
			name: "waiting Jobs count for nothing",
			planner: func(in plan.Input) plan.Plan {
				in.Held = func(string) bool { return true }
				return plan.Make(in)
			},
			violates: "exactly one",
		},
		{
			name: "Jobs that ended since the snapshot count for nothing",
			planner: func(in plan.Input) plan.Plan {
				in.Jobs = slices.DeleteFunc(slices.Clone(in.Jobs), func(j plan.Job) bool { return !j.Ended.IsZero() })
				return plan.Make(in)
			},
			violates: "exactly one",
		},
		{
			name: "it is forgotten which Jobs have held a request",
			planner: func(in plan.Input) plan.Plan {
				in.Held = nil
				return plan.Make(in)
			},
			violates: "no waiting",
		},
		{
			name:     "each group counts all requests that it can serve",
			planner:  eachForItself,
			violates: "exactly one",
		},
		{
			name: "agents of others count as ours",
			planner: withMetric(func(in *plan.Input, _ int, p plan.GroupPlan) int64 {
				return p.Metric + otherAgents(in)
			}),
			violates: "exactly one",
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			for seed := range *scenarios {
				sim := simulate(drawScenario(seed+1), test.planner, nil)
				if slices.ContainsFunc(sim.violations, func(v string) bool { return strings.HasPrefix(v, test.violates) }) {
					t.Logf("seed %d: %s", sim.seed, sim.violations[0])
					return
				}
			}
			t.Errorf("no scenario violates %q", test.violates)
		})
	}
}

// withMetric is plan.Make with another metric.
func withMetric(metric func(*plan.Input, int, plan.GroupPlan) int64) planner {
	return func(in plan.Input) plan.Plan {
		p := plan.Make(in)
		for g := range in.Groups {
			gp := p.Groups[in.Groups[g].Key]
			gp.Metric = metric(&in, g, gp)
			p.Groups[in.Groups[g].Key] = gp
		}
		return p
	}
}

func queuedFor(in *plan.Input, g int) int64 {
	n := int64(0)
	for i := range in.Snapshot.Requests {
		if r := &in.Snapshot.Requests[i]; r.State == adoqueue.Queued && in.Groups[g].Serves(r) {
			n++
		}
	}
	return n
}

func otherAgents(in *plan.Input) int64 {
	n := int64(0)
	for i := range in.Snapshot.Requests {
		if strings.HasPrefix(in.Snapshot.Requests[i].Agent, "vm-") {
			n++
		}
	}
	return n
}

// eachForItself plans as if each group were the only one. The verdicts are those
// of the right plan, so that what is caught is what KEDA makes of it.
func eachForItself(in plan.Input) plan.Plan {
	p := plan.Make(in)
	for _, g := range in.Groups {
		alone := in
		alone.Groups = []plan.Group{g}
		gp := plan.Make(alone).Groups[g.Key]
		gp.Queued = p.Groups[g.Key].Queued
		p.Groups[g.Key] = gp
	}
	return p
}
