package plan_test

import (
	"flag"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/plan"
)

var (
	scenarios = flag.Uint64("scenarios", 2000, "how many scenarios to draw")
	seed      = flag.Uint64("seed", 0, "replay the scenario with this seed, with a trace")
)

// TestScenarios holds the planner to its properties in random scenarios. Each
// property is explained where it is checked, in truth_test.go; in short:
//
//   - exactly one: when KEDA makes a Job, something needs it. Where it does not,
//     there is an event to blame that the planner could not know of, and one
//     event excuses one Job. When all is over, the Jobs made are those that took
//     a request, those that failed before, and those that are idle; of these
//     there are as many as minIdle asks for, and at most one for each request
//     that was cancelled or served by somebody else, and each excused Job. In a
//     scenario without any of that the numbers are equal.
//   - no waiting: after a poll a group has a Job for each request that the plan
//     assigns to it, unless a Job was not what it seemed.
//   - maxReplicaCount is never passed.
//   - counted once: each queued request is counted for one group that can serve
//     it, if there is any room.
func TestScenarios(t *testing.T) {
	if *seed != 0 {
		replay(t, drawScenario(*seed))
		return
	}
	var jobs, unused, excused, exact int
	play(drawScenario, plan.Make, *scenarios, func(sim *simulator) {
		sim.report(t)
		jobs += len(sim.jobs)
		unused += sim.unused
		excused += sim.tally.surplus.all
		if !sim.undisturbed() {
			return
		}
		exact++
		if sim.unused != sim.kept {
			t.Errorf("%s: %d Jobs are idle at the end, and %d wanted so", sim.replay(t), sim.unused, sim.kept)
		}
	})
	if exact == 0 {
		t.Error("no scenario is free of trouble")
	}
	t.Logf("%d Jobs, %d without a request, of which %d were not needed when they were made; %d scenarios exact to the Job",
		jobs, unused, excused, exact)
}

// TestShards does the same with several scalers, each with the Jobs of only its
// cluster, that divide the pool among them.
func TestShards(t *testing.T) {
	if *seed != 0 {
		replay(t, drawSharded(*seed))
		return
	}
	var crossed, exact int
	play(drawSharded, plan.Make, *scenarios, func(sim *simulator) {
		sim.report(t)
		crossed += sim.tally.crossed
		if !sim.undisturbed() {
			return
		}
		if sim.tally.crossed > 0 {
			exact++
		}
		if sim.unused != sim.kept {
			t.Errorf("%s: %d Jobs are idle at the end, and %d wanted so", sim.replay(t), sim.unused, sim.kept)
		}
	})
	if exact == 0 {
		t.Error("no scenario with a request for another cluster is free of trouble")
	}
	t.Logf("%d requests went to another cluster; %d scenarios with such were exact to the Job", crossed, exact)
}

// TestCalmScenarios holds the planner to the longest wait; see checkWait.
func TestCalmScenarios(t *testing.T) {
	testCalm(t, drawCalm, *scenarios/4)
}

// TestCalmShards does so with several scalers.
func TestCalmShards(t *testing.T) {
	testCalm(t, drawCalmSharded, *scenarios/8)
}

// TestAbsentGroups does so with ScaledJobs that KEDA does not ask for.
func TestAbsentGroups(t *testing.T) {
	testCalm(t, drawAbsent, *scenarios/8)
}

func testCalm(t *testing.T, draw func(uint64) scenario, n uint64) {
	t.Helper()
	if *seed != 0 {
		replay(t, draw(*seed))
		return
	}
	play(draw, plan.Make, n, func(sim *simulator) { sim.report(t) })
}

// play runs the scenarios with the seeds 1 to n and hands each to report, one at
// a time.
func play(draw func(uint64) scenario, p planner, n uint64, report func(*simulator)) {
	var next atomic.Uint64
	var reporting sync.Mutex
	var players sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		players.Go(func() {
			for seed := next.Add(1); seed <= n; seed = next.Add(1) {
				sim := simulate(draw(seed), p, nil)
				reporting.Lock()
				report(sim)
				reporting.Unlock()
			}
		})
	}
	players.Wait()
}

// replay runs one scenario and says all that happens in it.
func replay(t *testing.T, s scenario) {
	t.Helper()
	t.Logf("%+v", s)
	sim := simulate(s, plan.Make, t.Logf)
	t.Logf("%+v", sim.tally)
	sim.report(t)
}

func (s *simulator) report(t *testing.T) {
	t.Helper()
	for _, v := range s.violations {
		t.Errorf("%s: %s", s.replay(t), v)
	}
}

// replay is how to see the scenario again.
func (s *simulator) replay(t *testing.T) string {
	t.Helper()
	return fmt.Sprintf("go test ./scaler/plan -v -run '^%s$' -seed %d", t.Name(), s.seed)
}
