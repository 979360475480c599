package adotest

import (
	"fmt"
	"strconv"
	"testing"
)

// A pool of the size that one of the product's goals names.
func TestTenThousandAgents(t *testing.T) {
	ado := New(Options{AutoAssign: true})
	ado.AddPool(Pool{Name: "linux"})
	for i := range 10_000 {
		must1(ado.AddAgent("linux", Agent{Name: fmt.Sprintf("agent-%d", i), Offline: i > 0, Capabilities: map[string]string{"n": strconv.Itoa(i % 10)}}))(t)
	}
	for range 5 {
		must1(ado.Queue("linux", Job{Demands: []string{"n -equals 3"}}))(t)
	}
	if got := len(get(t, ado, tasks+"pools/1/agents?includeCapabilities=true").list(t)); got != 10_000 {
		t.Errorf("got %d", got)
	}
	for range 3 {
		first := get(t, ado, tasks+"pools/1/jobrequests?completedRequestCount=0").list(t)[0]
		if got := len(first["matchedAgents"].([]any)); got != 1_000 {
			t.Errorf("got %d", got)
		}
	}
}
