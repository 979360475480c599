package explain_test

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue/adotest"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/test/cluster"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/test/workload"
)

// TestTaken has the agent that was made for a job take another one, which the plan did
// not expect: it lacks what the first demands. KEDA polls so seldom that explain is asked
// before the next Job is there.
func TestTaken(t *testing.T) {
	b, program := newBench(t)
	p := newPlace(t, b, program, settings{
		plan: held(t), job: func(s *workload.ScaledJob) { s.PollingInterval = 45 * time.Second },
	})
	id := strconv.FormatInt(p.queue("docker"), 10)
	pod := ""
	p.eventually(func() string {
		r, _ := p.explain("--request", id)
		pods, err := p.Kube.CoreV1().Pods(p.Namespace).List(t.Context(), metav1.ListOptions{})
		p.must(err)
		if len(pods.Items) == 0 || len(r.Pools) == 0 || len(r.Pools[0].Requests) == 0 || r.Pools[0].Requests[0].Agent != pods.Items[0].Name {
			return fmt.Sprintf("no agent is expected: %+v", r)
		}
		pod = pods.Items[0].Name
		return ""
	})
	_, err := p.Azure.AddAgent(cluster.Pool, adotest.Agent{Name: pod})
	p.must(err)
	taker := p.queue()
	want := fmt.Sprintf("agent-taken: its agent took request %d; another Job is being created", taker)
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
