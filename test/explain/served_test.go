package explain_test

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue/adotest"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/test/bench"
)

// TestServed follows a job that nothing is in the way of to its end, and has it
// explained after that.
func TestServed(t *testing.T) {
	b, program := newBench(t)
	p := newPlace(t, b, program, settings{})
	// Longer than the pause between two looks at the pool.
	id, err := p.Azure.Queue(bench.Pool, adotest.Job{Demands: []string{"docker"}, Duration: 5 * time.Second})
	p.must(err)
	want := "queued counted reported job created pod scheduled pod started assigned running finished"
	p.eventually(func() string {
		r, code := p.explain("--request", strconv.FormatInt(id, 10))
		if len(r.Pools) != 1 || len(r.Pools[0].Requests) != 1 || code != 0 {
			return fmt.Sprintf("exit code %d, %+v", code, r)
		}
		var done []string
		for _, l := range r.Pools[0].Requests[0].Chain {
			if l.Status == "done" && l.Step != "agent registered" {
				done = append(done, l.Step)
			}
		}
		if got := strings.Join(done, " "); got != want || r.Pools[0].Requests[0].Progress != "finished" {
			return fmt.Sprintf("%s: %s", r.Pools[0].Requests[0].Progress, got)
		}
		return ""
	})
	table, _ := p.run([]string{"--address", p.scaler.HTTPAddr, "--request", strconv.FormatInt(id, 10)}, nil)
	p.t.Log("\n" + table)
}
