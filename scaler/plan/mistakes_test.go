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
		draw     func(uint64) scenario // drawScenario unless said otherwise
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
		{
			name:     "each scaler counts the requests of all shards",
			planner:  withGroups(func(g *plan.Group) { g.Shard = adoqueue.Shard{} }),
			violates: "exactly one",
			draw:     drawSharded,
		},
		{
			name:     "it is forgotten that Jobs run requests of other shards, for which others have a Job left over",
			planner:  withSwaps(func(plan.Swap) bool { return false }),
			violates: "exactly one",
			draw:     drawSharded,
		},
		{
			name:     "only those that have a Job left over know of it, and make one too many for its request",
			planner:  withSwaps(func(s plan.Swap) bool { return !s.Lent }),
			violates: "exactly one",
			draw:     drawSharded,
		},
		{
			name:     "only those whose Jobs run requests of others know of it, and wait for Jobs that others use for their own",
			planner:  withSwaps(func(s plan.Swap) bool { return s.Lent }),
			violates: "longest wait",
			draw:     drawCalmSharded,
		},
		{
			name:     "requests are shared among ScaledJobs that KEDA does not ask for",
			planner:  withGroups(func(g *plan.Group) { g.Blocked = "" }),
			violates: "starved",
			draw:     drawAbsent,
		},
		{
			name: "those who get no new Jobs are left out, with the Jobs that they have",
			planner: func(in plan.Input) plan.Plan {
				in.Groups = slices.DeleteFunc(slices.Clone(in.Groups), func(g plan.Group) bool { return g.Blocked != "" })
				in.Matcher = nil
				return plan.Make(in)
			},
			violates: "exactly one",
			draw:     drawAbsent,
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			draw := drawScenario
			if test.draw != nil {
				draw = test.draw
			}
			for seed := range *scenarios {
				sim := simulate(draw(seed+1), test.planner, nil)
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

// withGroups is plan.Make with other groups.
func withGroups(change func(*plan.Group)) planner {
	return func(in plan.Input) plan.Plan {
		in.Groups, in.Matcher = slices.Clone(in.Groups), nil
		for g := range in.Groups {
			change(&in.Groups[g])
		}
		return plan.Make(in)
	}
}

// withSwaps is plan.Make which knows of some swaps only.
func withSwaps(known func(plan.Swap) bool) planner {
	return func(in plan.Input) plan.Plan {
		in.Swaps = slices.DeleteFunc(slices.Clone(in.Swaps), func(s plan.Swap) bool { return !known(s) })
		return plan.Make(in)
	}
}

func queuedFor(in *plan.Input, g int) int64 {
	n := int64(0)
	for i := range in.Snapshot.Requests {
		if r := in.Snapshot.Requests[i]; r.State == adoqueue.Queued && in.Groups[g].Serves(r) {
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
		alone.Groups, alone.Matcher = []plan.Group{g}, nil
		gp := plan.Make(alone).Groups[g.Key]
		gp.Queued = p.Groups[g.Key].Queued
		p.Groups[g.Key] = gp
	}
	return p
}
