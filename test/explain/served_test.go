package explain_test

import (
	"fmt"
	"maps"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue/adotest"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/test/cluster"
)

// TestServed follows a job that nothing is in the way of to its end, has it explained
// after that, and finds its run in the annotations of its Job.
func TestServed(t *testing.T) {
	b, program := newBench(t)
	p := newPlace(t, b, program, settings{scaler: []string{"ANNOTATE_JOBS=true"}})
	// Longer than the pause between two looks at the pool.
	id, err := p.Azure.Queue(cluster.Pool, adotest.Job{Demands: []string{"docker"}, Duration: 5 * time.Second})
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

	r, _ := p.explain("--request", strconv.FormatInt(id, 10))
	shown := r.Pools[0].Requests[0]
	for _, run := range []string{shown.Run, strconv.FormatInt(shown.RunID, 10)} {
		if r, _ := p.explain("--run", run); len(r.Pools) != 1 || len(r.Pools[0].Requests) != 1 || r.Pools[0].Requests[0].ID != id {
			t.Errorf("run %s shows %+v", run, r)
		}
	}
	job, err := p.Kube.BatchV1().Jobs(p.Namespace).Get(t.Context(), shown.Job, metav1.GetOptions{})
	p.must(err)
	const prefix = "ado-agent-orchestrator.io/"
	got := maps.Collect(func(yield func(string, string) bool) {
		for name, value := range job.Annotations {
			if strings.HasPrefix(name, prefix) && !yield(strings.TrimPrefix(name, prefix), value) {
				return
			}
		}
	})
	annotations := map[string]string{"pipeline": shown.Pipeline, "run": shown.Run, "run-id": strconv.FormatInt(shown.RunID, 10), "run-url": shown.URL}
	if shown.Pipeline == "" || shown.URL == "" || !maps.Equal(got, annotations) {
		t.Errorf("the annotations are %v, want %v", got, annotations)
	}
}
