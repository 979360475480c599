package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// keepTimeline writes what happened in a run, for a look beside KEDA's log.
func (l laboratory) keepTimeline(t *trial, res result) error {
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
	for _, job := range t.record.Of(t.env.Namespace) {
		add(job.Made, "Job %s is made", job.Name)
		add(job.Ended, "Job %s has ended", job.Name)
	}
	for _, id := range t.queued {
		r, _ := t.env.Azure.Request(id)
		add(r.QueueTime, "request %d is queued, demands %s", id, strings.Join(r.Job.Demands, ", "))
		add(r.AssignTime, "request %d is assigned to %s", id, r.Agent)
		add(r.ReceiveTime, "request %d runs", id)
		add(r.FinishTime, "request %d has %s", id, r.Result)
	}
	slices.SortStableFunc(events, func(a, b event) int { return a.at.Compare(b.at) })
	var b strings.Builder
	fmt.Fprintf(&b, "%s, namespace %s: %s\n", t.name(), t.env.Namespace, res)
	for _, e := range events {
		fmt.Fprintf(&b, "%s %s\n", e.at.UTC().Format("15:04:05.000"), e.text)
	}
	return os.WriteFile(filepath.Join(l.dir, t.env.Namespace+".txt"), []byte(b.String()), 0o600)
}
