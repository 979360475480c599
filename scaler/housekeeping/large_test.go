package housekeeping_test

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue/adotest"
)

// TestLargePool has ten thousand foreign agents, half of them offline and named
// like ours.
func TestLargePool(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		w.settings.Grace = 2 * time.Minute
		w.serve("a", "docker", "b", "gpu")
		for i := range 5000 {
			w.add(adotest.Agent{Name: fmt.Sprintf("machine-%d", i)})
			w.add(adotest.Agent{Name: "a-zzzzz-" + letters(i), Offline: true})
		}
		for i := range 20 {
			w.job("a-bbbb"+letters(i)[4:], ended)
			w.add(adotest.Agent{Name: "a-bbbb" + letters(i)[4:] + "-hjklm", Offline: true})
		}
		stop := w.keep(t.Context())
		defer stop()
		pass(time.Second)
		if n := len(w.agents()); n != 10_022 {
			t.Errorf("%d agents, want two more, the placeholders", n)
		}
		w.removeJobs()
		pass(4 * time.Minute)
		if n := len(w.agents()); n != 10_002 {
			t.Errorf("%d agents, want the 20 leftover agents removed", n)
		}
		if n := w.listings(); n > 5 {
			t.Errorf("%d listings in 4 minutes", n)
		}
		// Foreign agents that could be ours are read a few at a time.
		if n := w.calls(http.MethodGet, false); n > 160 {
			t.Errorf("%d agents were read in 4 minutes", n)
		}
	})
}

// letters returns five characters that Kubernetes uses in generated suffixes.
func letters(i int) string {
	const safe = "bcdfghjklmnpqrstvwxz2456789"
	text := make([]byte, 5)
	for at := range text {
		text[len(text)-1-at] = safe[i%len(safe)]
		i /= len(safe)
	}
	return string(text)
}
