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
// turn; the next one has to get to the same pool.
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
	// Five placeholders and one more, a mark, and four that go.
	if kills[http.MethodPost] != 5 || kills[http.MethodPut] != 1 || kills[http.MethodDelete] != 4 {
		t.Errorf("killed at %v: not all actions were taken", kills)
	}
}

// killedAt ends the Keeper at its nth request and gives its method, or "" if
// there are not as many.
func killedAt(t *testing.T, w *world, n int, answered bool) (method string) {
	w.settings.Grace = 3 * time.Minute
	w.serve("a", "docker", "b", "docker", "c", "gpu", "d", "")
	w.job("a-bcdfg", ended)
	w.add(adotest.Agent{Name: "a-bcdfg-hjklm", Offline: true})
	w.add(adotest.Agent{Name: "a-zzzzz-hjklm", Offline: true}) // foreign
	go func() {                                                // what happens meanwhile
		time.Sleep(2*time.Minute + time.Millisecond)
		w.forget()
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
	// Until it is killed, or has done all there is to do.
	for start := time.Now(); ctx.Err() == nil && time.Since(start) < 15*time.Minute; {
		pass(10 * time.Second)
	}
	first()
	w.wrap = func(next http.RoundTripper) http.RoundTripper { return next }
	w.during(20 * time.Minute)
	w.wantAgents("a-zzzzz-hjklm", w.placeholder("java"))
	return method
}
