package explain_test

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue/adotest"
	corev1 "k8s.io/api/core/v1"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/test/bench"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/test/controlplane"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/test/workload"
)

// TestTaken has the agent that was made for a job take another one, which goes first, and
// KEDA ask so seldom that explain is asked before the next Job is there.
func TestTaken(t *testing.T) {
	b, program := newBench(t)
	hold := make(chan struct{})
	p := newPlace(t, b, program, settings{
		plan: func(*corev1.Pod) controlplane.Plan { return controlplane.Plan{Hold: hold} },
		job:  func(s *workload.ScaledJob) { s.PollingInterval = 45 * time.Second },
	})
	id := strconv.FormatInt(p.queue("docker"), 10)
	p.eventually(func() string {
		if r, _ := p.explain("--request", id); len(r.Pools) == 0 || len(r.Pools[0].Requests) == 0 || r.Pools[0].Requests[0].Job == "" {
			return fmt.Sprintf("no Job was made: %+v", r)
		}
		return ""
	})
	taker, err := p.Azure.Queue(bench.Pool, adotest.Job{Demands: []string{"docker"}, Priority: 1, Duration: 10 * time.Minute})
	p.must(err)
	close(hold)
	want := fmt.Sprintf("agent-taken: the agent that was made for it took request %d; another Job is being created", taker)
	p.eventually(func() string {
		r, code := p.explain("--request", id)
		var found []string
		for _, b := range r.all() {
			found = append(found, b.Code+": "+b.Sentence)
		}
		if code != 0 || len(found) != 1 || found[0] != want {
			return fmt.Sprintf("exit code %d: %s", code, strings.Join(found, "; "))
		}
		return ""
	})
}
