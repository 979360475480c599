package housekeeping_test

import (
	"context"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue/adotest"
)

// TestKilledInBetween ends the Keeper before and after each of its requests in
// turn. The next Keeper must bring the pool to the same state.
func TestKilledInBetween(t *testing.T) {
	kills := map[string]int{} // by method
	for n, killed := 1, ""; n == 1 || killed != ""; n++ {
		killed = ""
		for _, answered := range []bool{false, true} {
			t.Run(fmt.Sprintf("request %d, answered %t", n, answered), func(t *testing.T) {
				bubble(t, func(t *testing.T, w *world) {
					killed = killedAt(t, w, n, answered)
				})
			})
		}
		kills[killed]++
	}
	// Five placeholders are registered, one agent is marked, four are removed.
	if kills[http.MethodPost] != 5 || kills[http.MethodPut] != 1 || kills[http.MethodDelete] != 4 {
		t.Errorf("killed at %v: not every action was interrupted", kills)
	}
}

// killedAt ends the Keeper at its nth request and returns the request's method, or
// "" if there are fewer requests.
func killedAt(t *testing.T, w *world, n int, answered bool) (method string) {
	w.settings.Grace = 3 * time.Minute
	w.serve("a", "docker", "b", "docker", "c", "gpu", "d", "")
	w.job("a-bcdfg", ended)
	w.add(adotest.Agent{Name: "a-bcdfg-hjklm", Offline: true})
	w.add(adotest.Agent{Name: "a-zzzzz-hjklm", Offline: true}) // foreign
	go func() {                                                // changes during the run
		time.Sleep(2*time.Minute + time.Millisecond)
		w.removeJobs()
		w.serve("a", "java", "b", "java", "c", "gpu")
		time.Sleep(2 * time.Minute)
		w.serve("a", "java", "b", "java")
		time.Sleep(2 * time.Minute)
		_ = w.ado.RemoveAgent("linux", w.placeholder("java"))
	}()

	ctx, kill := context.WithCancel(t.Context())
	requests := 0
	w.wrap = func(next http.RoundTripper) http.RoundTripper {
		return roundTripper(func(r *http.Request) (*http.Response, error) {
			requests++
			if requests != n {
				return next.RoundTrip(r)
			}
			method = r.Method
			if answered {
				if response, err := next.RoundTrip(r); err == nil {
					drain(response)
				}
			}
			kill()
			return nil, ctx.Err()
		})
	}
	first := w.keep(ctx)
	// Until it is killed or nothing is left to do.
	for start := time.Now(); ctx.Err() == nil && time.Since(start) < 15*time.Minute; {
		pass(10 * time.Second)
	}
	first()
	w.wrap = func(next http.RoundTripper) http.RoundTripper { return next }
	w.during(20 * time.Minute)
	w.wantAgents("a-zzzzz-hjklm", w.placeholder("java"))
	return method
}
