package housekeeping_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue/adotest"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/fleet"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/housekeeping"
)

const dead = "build-bcdfg-hjklm" // an agent of the Job build-bcdfg

// TestOfflineAgents checks that only agents that our Jobs left behind are removed.
func TestOfflineAgents(t *testing.T) {
	for name, tt := range map[string]struct {
		agent  string
		world  func(*world) // the difference to an agent that was killed
		stays  bool
		marked bool // though it stays
	}{
		"killed":            {agent: dead},
		"of another Job":    {agent: "build-qrstv-hjklm", stays: true},
		"by another suffix": {agent: "build-bcdfg-hello", stays: true},
		"without a suffix":  {agent: "build-bcdfg", stays: true},
		"pod's own name":    {agent: "build-bcdfg-hjklm-x", stays: true},
		"Job goes on": {agent: dead, stays: true, world: func(w *world) {
			w.job("build-bcdfg", func(j *fleet.Job) { j.Ended = time.Time{} })
		}},
		"Job goes on after all": {agent: dead, stays: true, marked: true, world: func(w *world) {
			go func() {
				time.Sleep(2 * time.Minute)
				w.job("build-bcdfg", func(j *fleet.Job) { j.Ended = time.Time{} })
			}()
		}},
		"Job of a ScaledJob that is not served": {agent: dead, stays: true, world: func(w *world) {
			w.job("build-bcdfg", func(j *fleet.Job) { j.ScaledJob = "other" })
		}},
		"Job named by hand": {agent: "vm-hjklm", stays: true, world: func(w *world) {
			w.job("vm-", func(j *fleet.Job) { j.Name, j.ScaledJob, j.Ended = "vm", "build", time.Now() })
		}},
		"Job's name was cut": {agent: strings.Repeat("n", 57) + "-hjklm", stays: true, world: func(w *world) {
			w.job(strings.Repeat("n", 57)+"-bcdfg", func(j *fleet.Job) { j.ScaledJob, j.Ended = "build", time.Now() })
		}},
		"online": {agent: dead, stays: true, world: func(w *world) {
			if err := w.ado.SetAgentOnline("linux", dead, true); err != nil {
				w.t.Fatal(err)
			}
		}},
		"disabled": {agent: dead, world: func(w *world) {
			if err := w.ado.SetAgentEnabled("linux", dead, false); err != nil {
				w.t.Fatal(err)
			}
		}},
		"has a request": {agent: dead, stays: true, marked: true, world: func(w *world) {
			if err := w.ado.SetAgentOnline("linux", dead, true); err != nil {
				w.t.Fatal(err)
			}
			w.run()
			if err := w.ado.SetAgentOnline("linux", dead, false); err != nil {
				w.t.Fatal(err)
			}
		}},
		"Job deleted soon after": {agent: dead, world: func(w *world) {
			go func() {
				time.Sleep(2 * time.Minute)
				w.removeJobs()
			}()
		}},
		"ScaledJob deleted soon after": {agent: dead, world: func(w *world) {
			go func() {
				time.Sleep(2 * time.Minute)
				w.serve()
				time.Sleep(time.Minute)
				w.removeJobs()
			}()
		}},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, w *world) {
				w.settings.Placeholders = false
				w.serve("build", "")
				w.job("build-bcdfg", ended)
				w.add(adotest.Agent{Name: tt.agent, Offline: true})
				if tt.world != nil {
					tt.world(w)
				}
				stop := w.keep(t.Context())
				defer stop()
				pass(housekeeping.DefaultGrace - time.Minute)
				w.wantAgents(tt.agent)
				pass(3 * time.Minute)
				marked, removed := 1, 1
				if tt.stays {
					w.wantAgents(tt.agent)
					removed = 0
				} else {
					w.wantAgents()
				}
				if tt.stays && !tt.marked {
					marked = 0
				}
				w.wantEvents(marked, "Normal ado/build AgentLeft", "removed once it has been offline for 10m0s")
				w.wantEvents(removed, "Normal ado/build AgentRemoved", dead)
				w.wantEvents(marked + removed)
			})
		})
	}
}

// TestBackOnline checks that an agent stays that comes back online just before its
// removal.
func TestBackOnline(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		w.serve("build", "")
		w.job("build-bcdfg", ended)
		w.add(adotest.Agent{Name: dead, Offline: true})
		// It comes back after the list of agents and before the removal.
		w.wrap = func(next http.RoundTripper) http.RoundTripper {
			return roundTripper(func(r *http.Request) (*http.Response, error) {
				response, err := next.RoundTrip(r)
				if strings.HasSuffix(r.URL.Path, "/agents") && time.Since(bubbleStart) >= housekeeping.DefaultGrace {
					_ = w.ado.SetAgentOnline("linux", dead, true)
				}
				return response, err
			})
		}
		w.during(time.Hour)
		w.wantAgents(dead, w.placeholder(""))
		if n := w.calls(http.MethodDelete, false); n != 0 {
			t.Errorf("%d deletions were tried", n)
		}
	})
}

// bubbleStart is the time at which the clock of every bubble starts.
var bubbleStart = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)

// TestMarkKeepsCapabilities checks that marking an agent keeps its user
// capabilities.
func TestMarkKeepsCapabilities(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		w.serve("build", "")
		w.job("build-bcdfg", ended)
		w.add(adotest.Agent{Name: dead, Offline: true, Capabilities: map[string]string{"gpu": "1"}})
		w.during(time.Minute / 2)
		got := w.ado.Agents("linux")[0].Capabilities
		if got["gpu"] != "1" || got["ADO_AGENT_ORCHESTRATOR_LEFTOVER_OF"] != owner || got["ADO_AGENT_ORCHESTRATOR_SCALED_JOB"] != "ado/build" {
			t.Errorf("got %v", got)
		}
	})
}

// TestAfterRestart checks that a new Keeper finds by their marks an agent whose Job
// is gone and the placeholder in a pool that no ScaledJob names any more.
func TestAfterRestart(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		w.serve("build", "docker")
		w.job("build-bcdfg", ended)
		w.add(adotest.Agent{Name: dead, Offline: true})
		w.add(adotest.Agent{Name: "build-zzzzz-zzzzz", Offline: true}) // of another cluster
		w.during(time.Minute / 2)
		w.removeJobs()
		w.serve()
		w.during(housekeeping.DefaultGrace + 3*time.Minute)
		w.wantAgents("build-zzzzz-zzzzz")
		w.wantEvents(1, "ado/build AgentRemoved")
		if n := w.logs.FilterMessageSnippet("removed placeholder").Len(); n != 1 {
			t.Errorf("%d log lines about the removed placeholder", n)
		}
	})
}

// TestForgottenPool checks that a pool in which nothing is ours is listed only
// once.
func TestForgottenPool(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		for i := range 30 {
			w.ado.AddPool(adotest.Pool{Name: fmt.Sprint("pool-", i)})
		}
		w.ado.AddPool(adotest.Pool{Name: "hosted", Hosted: true})
		w.ado.AddPool(adotest.Pool{Name: "deployment", Deployment: true})
		w.ado.AddPool(adotest.Pool{Name: "scale set", Options: "elasticPool"})
		w.serve("a", "docker")
		stop := w.keep(t.Context())
		defer stop()
		pass(500 * time.Millisecond)
		if n := w.listings(); n != 2 {
			t.Errorf("%d listings at once, want the pool that is used and one more", n)
		}
		pass(time.Hour)
		if n := w.listings(); n != 30+61 {
			t.Errorf("%d listings, want 61 of the pool that is used and one of each other pool", n)
		}
	})
}

// TestStrangers checks that agents of unknown origin are read once if their names
// could be ours, and not at all if they are online or known to be ours.
func TestStrangers(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		w.settings.Placeholders = false
		w.serve("build", "")
		for i := range 30 {
			w.add(adotest.Agent{Name: "build-zzzzz-" + letters(i), Offline: true})
			w.add(adotest.Agent{Name: "build-ddddd-" + letters(i)})
			w.add(adotest.Agent{Name: fmt.Sprint("machine-", i), Offline: true})
		}
		w.job("build-bcdfg", nil)
		w.add(adotest.Agent{Name: dead, Offline: true}) // starts
		stop := w.keep(t.Context())
		defer stop()
		pass(9 * time.Minute)
		if n := w.calls(http.MethodGet, false); n != 0 {
			t.Errorf("%d agents were read that have not been offline for long", n)
		}
		pass(time.Hour)
		if n := w.calls(http.MethodGet, false); n != 30 {
			t.Errorf("%d agents were read, want each of the 30 once", n)
		}
	})
}

// TestCorrectedTrigger has the ScaledJob known only after its agent was classified
// as foreign.
func TestCorrectedTrigger(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		w.settings.Placeholders = false
		w.serve("other", "")
		w.job("build-bcdfg", ended)
		w.add(adotest.Agent{Name: dead, Offline: true})
		stop := w.keep(t.Context())
		defer stop()
		pass(time.Hour)
		w.wantAgents(dead)
		w.serve("other", "", "build", "")
		pass(time.Minute)
		w.wantAgents()
	})
}

// TestShortLife has an agent registered after the last observation that includes
// its ScaledJob.
func TestShortLife(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		w.settings.Placeholders = false
		w.serve("build", "")
		stop := w.keep(t.Context())
		defer stop()
		pass(time.Second)
		w.job("build-bcdfg", nil)
		w.add(adotest.Agent{Name: dead, Offline: true})
		w.serve()
		w.job("build-bcdfg", ended)
		pass(2 * time.Minute)
		w.removeJobs()
		pass(housekeeping.DefaultGrace)
		w.wantAgents()
	})
}

// TestLostFromView checks that the owner of an agent is remembered while the
// credential lacks permission to list agents.
func TestLostFromView(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		w.settings.Placeholders = false
		w.serve("build", "")
		w.job("build-bcdfg", nil)
		w.add(adotest.Agent{Name: dead})
		stop := w.keep(t.Context())
		defer stop()
		pass(time.Minute)
		w.ado.AllowPAT(w.token, adotest.ScopeNone)
		pass(2 * time.Minute)
		w.removeJobs()
		if err := w.ado.SetAgentOnline("linux", dead, false); err != nil {
			t.Fatal(err)
		}
		w.ado.AllowPAT(w.token, adotest.ScopeManage)
		pass(housekeeping.DefaultGrace + 11*time.Minute)
		w.wantAgents()
	})
}

// TestKilledAgents checks that a killed agent stays until the lock of its request
// has expired.
func TestKilledAgents(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		w.serve("build", "")
		w.job("build-bcdfg", nil)
		w.add(adotest.Agent{Name: dead})
		id := w.run()
		stop := w.keep(t.Context())
		defer stop()
		pass(time.Hour)
		// Its node is lost. Azure DevOps is the last to notice.
		w.job("build-bcdfg", ended)
		pass(2 * time.Minute)
		w.removeJobs()
		pass(time.Minute)
		if err := w.ado.SetAgentOnline("linux", dead, false); err != nil {
			t.Fatal(err)
		}
		pass(15 * time.Minute)
		w.wantAgents(dead, w.placeholder(""))
		pass(10 * time.Minute)
		w.wantAgents(w.placeholder(""))
		if r, _ := w.ado.Request(id); r.State != adotest.Finished {
			t.Errorf("request is %s", r.State)
		}
	})
}
