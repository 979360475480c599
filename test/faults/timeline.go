package faults

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue/adotest"
)

// keepTimeline writes what happened, for a look beside the logs.
func (t *Trial) keepTimeline() error {
	type event struct {
		at   time.Time
		text string
	}
	var events []event
	add := func(at time.Time, format string, args ...any) {
		if !at.IsZero() {
			events = append(events, event{at, fmt.Sprintf(format, args...)})
		}
	}
	add(t.begin, "the fault begins")
	add(t.end, "the fault has ended")
	for _, job := range t.lab.Record.Of(t.Namespace) {
		add(job.Made, "Job %s is made", job.Name)
		add(job.Ended, "Job %s has ended, failed: %v", job.Name, job.Failed)
	}
	for _, id := range t.requests {
		r, _ := t.Azure.Request(id)
		add(r.QueueTime, "request %d is queued", id)
		add(r.AssignTime, "request %d is assigned to %s", id, r.Agent)
		add(r.ReceiveTime, "request %d runs", id)
		add(r.FinishTime, "request %d is %s", id, r.Result)
	}
	for _, call := range t.Azure.Calls() {
		if call.Operation == adotest.OpJobRequests {
			add(call.Time, "the list is requested, answered with %d", call.Status)
		}
	}
	answers, _ := t.tap.Answers()
	for _, a := range answers {
		add(a.End, "%s, asked at %s: %d, status %s", a.Method, a.Begin.UTC().Format("05.000"), a.Value, a.Status)
	}
	slices.SortStableFunc(events, func(a, b event) int { return a.at.Compare(b.at) })
	var b strings.Builder
	fmt.Fprintf(&b, "%s, namespace %s\n", t.Fault.Name, t.Namespace)
	for _, e := range events {
		fmt.Fprintf(&b, "%s %s\n", e.at.UTC().Format("15:04:05.000"), e.text)
	}
	return os.WriteFile(filepath.Join(t.dir, "timeline.txt"), []byte(b.String()), 0o600)
}
