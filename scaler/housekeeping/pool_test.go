package housekeeping_test

import (
	"errors"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue/adotest"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/housekeeping"
)

// TestRequestRate bounds the requests while nothing changes, and during failures.
func TestRequestRate(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		w.serve("a", "docker", "b", "docker", "c", "gpu")
		stop := w.keep(t.Context())
		defer stop()
		pass(time.Minute / 2)
		begin, all := w.listings(), w.ado.Count("", 0)
		pass(30 * time.Minute)
		if n := w.listings() - begin; n != 30 {
			t.Errorf("%d listings in 30 minutes, want 30", n)
		}
		if n := w.ado.Count("", 0) - all; n != 30 {
			t.Errorf("%d requests in 30 minutes, want just the listings", n)
		}
		w.ado.Inject(adotest.Fault{Operation: adotest.OpAgents, Status: http.StatusTooManyRequests, Header: http.Header{"Retry-After": {"1"}}})
		begin = w.listings()
		pass(30 * time.Minute)
		if n := w.listings() - begin; n < 29 || n > 40 {
			t.Errorf("%d listings in 30 minutes of failures", n)
		}
		if n := w.logs.FilterMessageSnippet("retried automatically").Len(); n != 1 {
			t.Errorf("%d lines in the log, want 1", n)
		}
		w.ado.ClearFaults()
		pass(2 * time.Minute)
		w.ado.Inject(adotest.Fault{Operation: adotest.OpAgents, Times: 1, Status: http.StatusInternalServerError})
		pass(2 * time.Minute)
		if n := w.logs.FilterMessageSnippet("retried automatically").Len(); n != 2 {
			t.Errorf("%d lines in the log, want one per series of failures", n)
		}
		if err := w.ado.RemoveAgent("linux", w.placeholder("gpu")); err != nil {
			t.Fatal(err)
		}
		pass(2 * time.Minute)
		w.wantAgents(w.placeholder("docker"), w.placeholder("gpu"))
	})
}

// TestForbidden checks that a missing permission is reported once, and that the
// actions follow once it is granted.
func TestForbidden(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		w.token = "reader"
		w.ado.AllowPAT(w.token, adotest.ScopeRead)
		w.serve("a", "docker", "b", "gpu")
		stop := w.keep(t.Context())
		defer stop()
		pass(15 * time.Minute)
		tries := w.writes()
		w.serve("b", "gpu", "a", "docker,java")
		pass(time.Minute)
		if n := w.writes(); n != tries {
			t.Error("a change of the members caused an early retry")
		}
		pass(14 * time.Minute)
		w.wantAgents()
		for _, name := range []string{"a", "b"} {
			w.wantEvents(1, "Warning ado/"+name+" HousekeepingForbidden", "Administrator", "403")
		}
		w.wantEvents(2)
		if n := w.writes(); n < 3 || n > 4 {
			t.Errorf("%d attempts in 30 minutes, want one every ten minutes", n)
		}
		w.ado.AllowPAT(w.token, adotest.ScopeManage)
		pass(11 * time.Minute)
		w.wantAgents(w.placeholder("docker,java"), w.placeholder("gpu"))
		w.ado.AllowPAT(w.token, adotest.ScopeRead)
		w.serve("a", "maven")
		pass(20 * time.Minute)
		w.wantEvents(2, "Warning ado/a HousekeepingForbidden") // once each time
	})
}

// TestOneIsRefused checks that the failure of one action does not prevent the
// others.
func TestOneIsRefused(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		w.serve("a", "docker", "b", "gpu", "c", "java")
		w.ado.Inject(adotest.Fault{Operation: adotest.OpAgents, Method: http.MethodPost, Times: 1, Status: http.StatusBadRequest})
		stop := w.keep(t.Context())
		defer stop()
		pass(time.Second)
		if n := len(w.agents()); n != 2 {
			t.Errorf("%d placeholders, want the two others", n)
		}
		pass(10 * time.Second)
		w.wantAgents(w.placeholder("docker"), w.placeholder("gpu"), w.placeholder("java"))
	})
}

// TestUnknownPool checks that nothing is removed while the pool of a ScaledJob
// cannot be resolved.
func TestUnknownPool(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		w.serve("a", "docker")
		w.during(time.Second)
		var failing atomic.Bool
		failing.Store(true)
		w.wrap = func(next http.RoundTripper) http.RoundTripper {
			return roundTripper(func(r *http.Request) (*http.Response, error) {
				if failing.Load() && r.URL.Query().Has("poolName") {
					w.event("resolved", "", "", "poolName", "")
					return nil, errors.New("no route to host")
				}
				return next.RoundTrip(r)
			})
		}
		stop := w.keep(t.Context())
		defer stop()
		pass(time.Hour)
		w.wantAgents(w.placeholder("docker"))
		if n := len(w.eventsWith("resolved", "poolName")); n < 50 || n > 3*61 { // each with two retries
			t.Errorf("the pool was resolved %d times in an hour", n)
		}
		if w.listings() < 50 {
			t.Error("the pool was not discovered, so that this shows nothing")
		}
		failing.Store(false)
		w.serve("a", "gpu")
		pass(housekeeping.DefaultGrace + 3*time.Minute)
		w.wantAgents(w.placeholder("gpu"))
	})
}

// TestMistakenPool checks that a pool that does not exist does not affect others.
func TestMistakenPool(t *testing.T) {
	bubble(t, func(_ *testing.T, w *world) {
		w.serve("a", "docker", "b", "gpu")
		w.members[0].Pool.Name = "nowhere"
		w.during(time.Second)
		w.wantAgents(w.placeholder("gpu"))
		w.members = w.members[:1]
		w.during(housekeeping.DefaultGrace + 3*time.Minute)
		w.wantAgents()
	})
}

// TestTwoKeepers is a change of leader that the old leader has not noticed.
func TestTwoKeepers(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		w.serve("a", "docker", "b", "gpu")
		first, second := w.keep(t.Context()), w.keep(t.Context())
		pass(time.Second)
		w.wantAgents(w.placeholder("docker"), w.placeholder("gpu"))
		w.serve("a", "java")
		pass(housekeeping.DefaultGrace + 3*time.Minute)
		w.wantAgents(w.placeholder("java"))
		first()
		second()
		if n := w.logs.FilterMessageSnippet("retried automatically").Len(); n != 0 {
			t.Errorf("they logged each other's changes: %v", w.logs.All())
		}
	})
}

// TestDryRun checks that a dry run changes nothing and reports each action once.
func TestDryRun(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		w.serve("a", "docker", "gone", "gpu")
		w.during(time.Second)
		writes := w.writes()
		w.serve("a", "java")
		w.job("a-bcdfg", ended)
		w.add(adotest.Agent{Name: "a-bcdfg-hjklm", Offline: true})
		w.settings.DryRun = true
		w.during(time.Hour)
		if n := w.writes(); n != writes {
			t.Errorf("%d writes", n-writes)
		}
		w.wantEvents(1, "ado/a PlaceholderAdded: dry run: would register placeholder", "java")
		w.wantEvents(1, "ado/a AgentLeft: dry run: would mark")
		w.wantEvents(1, `ado/a AgentRemoved: dry run: would remove agent "a-bcdfg-hjklm"`)
		if n := w.logs.FilterMessageSnippet("dry run: would remove placeholder").Len(); n != 2 {
			t.Errorf("%d lines about placeholders to remove, want 2", n)
		}
	})
}

// TestSwitchedOff checks that only the selected parts run.
func TestSwitchedOff(t *testing.T) {
	for name, settings := range map[string]housekeeping.Settings{
		"nothing": {}, "placeholders": {Placeholders: true}, "offline agents": {OfflineAgents: true},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, w *world) {
				w.settings = settings
				w.serve("a", "docker")
				w.job("a-bcdfg", ended)
				w.add(adotest.Agent{Name: "a-bcdfg-hjklm", Offline: true})
				w.during(time.Hour)
				var want []string
				if settings.Placeholders {
					want = append(want, w.placeholder("docker"))
				}
				if !settings.OfflineAgents {
					want = append(want, "a-bcdfg-hjklm")
				}
				w.wantAgents(want...)
				if name == "nothing" && w.ado.Count("", 0) != 0 {
					t.Error("requests were sent to Azure DevOps")
				}
			})
		})
	}
}

// TestRaces has others make each change between the observation and the action,
// which is no failure.
func TestRaces(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		w.serve("a", "docker", "gone", "gpu")
		w.job("a-bcdfg", ended)
		w.during(time.Second)
		w.serve("a", "java")
		unmarked, marked := "a-bcdfg-hjklm", "a-bcdfg-bbbbb"
		remove := func(names ...string) {
			for _, name := range names {
				_ = w.ado.RemoveAgent("linux", name)
			}
		}
		meanwhile := func(r *http.Request) {
			switch r.Method {
			case http.MethodPost:
				w.add(adotest.Agent{Name: w.placeholder("java"), Offline: true, Capabilities: w.marks("java")})
			case http.MethodPut:
				remove(unmarked)
			case http.MethodDelete:
				remove(marked, w.placeholder("docker"), w.placeholder("gpu"))
			}
		}
		w.wrap = func(next http.RoundTripper) http.RoundTripper {
			return roundTripper(func(r *http.Request) (*http.Response, error) {
				meanwhile(r)
				return next.RoundTrip(r)
			})
		}
		w.add(adotest.Agent{Name: unmarked, Offline: true})
		w.add(adotest.Agent{Name: marked, Offline: true, Capabilities: map[string]string{"ADO_AGENT_ORCHESTRATOR_LEFTOVER_OF": owner}})
		w.during(time.Hour)
		w.wantAgents(w.placeholder("java"))
		if n := w.logs.FilterMessageSnippet("retried automatically").Len(); n != 0 {
			t.Errorf("a change by others counts as a failure: %v", w.logs.All())
		}
	})
}

// TestBusy checks that an agent that Azure DevOps refuses to remove is retried
// without counting as a failure.
func TestBusy(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		w.serve("a", "docker")
		w.job("a-bcdfg", ended)
		w.add(adotest.Agent{Name: "a-bcdfg-hjklm", Offline: true})
		w.ado.Inject(adotest.Fault{
			Operation: adotest.OpAgents, Method: http.MethodDelete, Times: 5, Status: http.StatusConflict,
			Body: []byte(`{"message":"Agent \"a\" is running a job for pool \"linux\""}`),
		})
		stop := w.keep(t.Context())
		defer stop()
		pass(housekeeping.DefaultGrace + 2*time.Minute)
		w.wantAgents("a-bcdfg-hjklm", w.placeholder("docker"))
		pass(10 * time.Minute)
		w.wantAgents(w.placeholder("docker"))
		w.wantEvents(1, "AgentRemoved")
		if n := w.logs.FilterMessageSnippet("retried automatically").Len(); n != 0 {
			t.Errorf("the refusal counts as a failure: %v", w.logs.All())
		}
	})
}

// TestGoneWhenRead deletes a placeholder between the list and the read.
func TestGoneWhenRead(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		w.serve("a", "docker")
		w.during(time.Second)
		w.wrap = func(next http.RoundTripper) http.RoundTripper {
			return roundTripper(func(r *http.Request) (*http.Response, error) {
				response, err := next.RoundTrip(r)
				if r.Method == http.MethodGet && strings.HasSuffix(r.URL.Path, "/agents") {
					_ = w.ado.RemoveAgent("linux", w.placeholder("docker"))
				}
				return response, err
			})
		}
		w.during(time.Second)
		if n := w.calls(http.MethodPost, true); n != 2 {
			t.Errorf("registered %d times, want 2", n)
		}
	})
}
