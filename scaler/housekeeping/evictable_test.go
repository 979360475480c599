package housekeeping_test

import (
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue/adotest"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/fleet"
)

// newEvictableWorld is a warmWorld in which idle agents may be evicted.
func newEvictableWorld(t *testing.T, metadata map[string]string) *warmWorld {
	t.Helper()
	w := newWarmWorld(t, metadata)
	t.Cleanup(func() { _ = w.ado.Close() })
	w.settings.EvictableIdle = true
	return w
}

// exposed returns the agents that have or had a job and that may be evicted.
func (w *warmWorld) exposed() (names []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for name, a := range w.agents {
		if a.worked && slices.Contains(w.evictable, a.job.Name) {
			names = append(names, name)
		}
	}
	return names
}

// written returns how often the budget was written.
func (w *warmWorld) written() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.budgets
}

func (w *warmWorld) wantEvictable(want int, when string) {
	w.t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.evictable) != want {
		w.t.Errorf("%s: %v may be evicted, want %d", when, w.evictable, want)
	}
}

// TestIdleMayBeEvicted has agents protected while they start, evictable once they have
// been idle for a while, and protected again when one gets a job.
func TestIdleMayBeEvicted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newEvictableWorld(t, map[string]string{"minIdle": "3"})
		w.startup = 4 * time.Minute // and two at least
		budgets := 0
		w.during(15*time.Minute, func() {
			switch clock() {
			case "00:02:00":
				w.wantEvictable(0, "while agents start")
				if w.written() == 0 {
					t.Error("nothing protects agents that start")
				}
			case "00:05:10":
				w.wantEvictable(3, "while agents wait")
				w.queue(9 * time.Minute)
			case "00:05:20":
				w.wantEvictable(2, "while one has a job")
				if exposed := w.exposed(); len(exposed) > 0 {
					t.Errorf("%v may be evicted with its job", exposed)
				}
			case "00:10:30":
				w.wantEvictable(3, "once another one has taken its place")
				budgets = w.written()
			case "00:14:00":
				if more := w.written() - budgets; more > 1 {
					t.Errorf("the budget was written %d times while nothing changed", more)
				}
			}
		})
	})
}

// TestUnknownIsProtected has nobody evicted of whom it is unknown whether he is idle:
// while the pool cannot be read, and where another launcher runs the agents.
func TestUnknownIsProtected(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newEvictableWorld(t, map[string]string{"minIdle": "2"})
		failing := false
		w.during(4*time.Minute, func() {
			switch clock() {
			case "00:02:00":
				w.wantEvictable(2, "while the pool can be read")
				w.ado.Inject(adotest.Fault{Operation: adotest.OpJobRequests, Status: http.StatusInternalServerError, Times: 1000})
				failing = true
			case "00:02:20":
				w.wantEvictable(0, "while the pool cannot be read")
				w.ado.ClearFaults()
			case "00:03:30":
				w.wantEvictable(2, "once it can be read again")
			}
		})
		if !failing {
			t.Error("the pool could be read all the time")
		}
	})
	synctest.Test(t, func(t *testing.T) {
		w := newEvictableWorld(t, map[string]string{"minIdle": "2"})
		w.foreign = true
		w.ask(map[string]string{"minIdle": "2"})
		w.during(4*time.Minute, nil)
		if w.budgets > 0 {
			t.Errorf("the agents of another launcher have a budget, without %v", w.evictable)
		}
	})
}

// TestSlowListIsNotAwaited has an agent protected when it gets a job, while the list of
// agents, which another one would be found in, does not come.
func TestSlowListIsNotAwaited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newEvictableWorld(t, map[string]string{"minIdle": "2"})
		w.settings.EndIdle = false
		w.during(6*time.Minute, func() {
			switch clock() {
			case "00:03:00":
				w.wantEvictable(2, "while the pool can be read")
				w.ado.Inject(adotest.Fault{Operation: adotest.OpAgents, Delay: time.Hour, Times: 1000})
				w.queue(time.Hour)
			case "00:04:30":
				w.wantEvictable(1, "while another agent would be looked for")
				w.queue(time.Hour)
			case "00:04:45":
				w.wantEvictable(0, "once both have jobs")
				if exposed := w.exposed(); len(exposed) != 0 {
					t.Errorf("%v may be evicted with its job", exposed)
				}
			}
		})
	})
}

// TestMistakenTriggerIsProtected has nobody evicted once the trigger has a mistake, with
// which nobody knows who is idle.
func TestMistakenTriggerIsProtected(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newEvictableWorld(t, map[string]string{"minIdle": "2"})
		w.during(3*time.Minute, func() {
			switch clock() {
			case "00:02:00":
				w.wantEvictable(2, "while the trigger is right")
				metadata := maps.Clone(w.build.Triggers[0])
				metadata["minIdle"] = "two"
				mistaken := fleet.NewScaledJob(w.build.Key, metadata)
				mistaken.Launcher = true
				w.index.SetScaledJob(mistaken)
			case "00:02:10":
				w.wantEvictable(0, "while it has a mistake")
				w.index.SetScaledJob(w.build)
			case "00:02:50":
				w.wantEvictable(2, "once it is right again")
			}
		})
	})
}

// TestMayNotProtect wants one warning if the right to write budgets is missing, and
// nobody evicted by what was written before.
func TestMayNotProtect(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newEvictableWorld(t, map[string]string{"minIdle": "1"})
		w.mayNotProtect = true
		w.during(10*time.Minute, nil)
		if len(w.warnings) != 1 || !strings.HasPrefix(w.warnings[0], "AgentsNotProtected: ") {
			t.Errorf("warnings: %q", w.warnings)
		}
		w.mayNotProtect = false
		w.during(2*time.Minute, nil)
		w.wantEvictable(1, "with the right")
	})
}

// TestDryRunEvictsNobody wants nothing written by a dry run.
func TestDryRunEvictsNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newEvictableWorld(t, map[string]string{"minIdle": "1"})
		w.settings.DryRun = true
		w.during(5*time.Minute, nil)
		if w.budgets > 0 {
			t.Errorf("a dry run has written %d budgets", w.budgets)
		}
	})
}

// TestNoBuildEvicted has jobs come at random, the schedule change and the scaler
// restart. An agent with a job may be evicted for some seconds at most, until the
// scaler has seen the job.
func TestNoBuildEvicted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newEvictableWorld(t, map[string]string{"warm": "00:00-24:00 4 +50% max 8", "warmMaxAge": "30m"})
		since := map[string]time.Time{}
		gaps, restarts := 0, 0
		for left := 3 * time.Hour; left > 0; restarts++ {
			part := min(left, time.Duration(300+w.random.IntN(1500))*time.Second)
			left -= part
			w.during(part, func() {
				if w.random.IntN(40) == 0 {
					w.queue(time.Duration(10+w.random.IntN(400)) * time.Second)
				}
				exposed := w.exposed()
				for name := range since {
					if !slices.Contains(exposed, name) {
						delete(since, name)
					}
				}
				for _, name := range exposed {
					if since[name].IsZero() {
						since[name] = time.Now()
						gaps++
					}
					// The snapshot is up to 5 s old, and looked at every 5 s.
					if gap := time.Since(since[name]); gap > 10*time.Second {
						t.Errorf("%s may be evicted with its job for %v", name, gap)
					}
				}
			})
		}
		t.Logf("%d jobs, %d budgets written, %d agents with a job met the gap, %d restarts", len(w.requests), w.budgets, gaps, restarts)
		if len(w.requests) < 200 || gaps == 0 || restarts < 5 {
			t.Error("too little has happened")
		}
	})
}
