package engine

import (
	"strings"
	"testing"
	"time"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/fleet"
)

func TestBackoff(t *testing.T) {
	start := time.Date(2026, 1, 5, 8, 0, 0, 0, time.UTC)
	at := func(seconds int) time.Time { return start.Add(time.Duration(seconds) * time.Second) }
	failed := func(uid string, created, ended int) fleet.Job {
		return fleet.Job{UID: uid, Name: uid, Created: at(created), Ended: at(ended), Failed: true}
	}
	running := func(uid string, created int) fleet.Job { return fleet.Job{UID: uid, Name: uid, Created: at(created)} }
	held := func(uid string) bool { return strings.HasPrefix(uid, "held") }

	var b backoff
	for _, step := range []struct {
		name string
		jobs []fleet.Job
		// until is when the next Job is made, 0 if none is held back.
		until int
	}{
		{"nothing", nil, 0},
		{"one waits", []fleet.Job{running("a", 0)}, 0},
		{"one failed", []fleet.Job{failed("a", 0, 2)}, 12},
		{"seen again", []fleet.Job{failed("a", 0, 2)}, 12},
		{"one of the same time failed later", []fleet.Job{failed("a", 0, 2), failed("b", 0, 9)}, 12},
		{"the next failed", []fleet.Job{failed("a", 0, 2), failed("c", 12, 14)}, 34},
		{"and the next", []fleet.Job{failed("d", 34, 36)}, 76},
		{"an agent from before takes a request", []fleet.Job{failed("d", 34, 36), running("held-old", 5)}, 76},
		{"a new agent takes a request", []fleet.Job{failed("d", 34, 36), running("held-new", 76)}, 0},
		{"a failure after that", []fleet.Job{failed("e", 80, 82), running("held-new", 76)}, 92},
		{"made together with one that took a request", []fleet.Job{failed("e", 80, 82), running("held-too", 80)}, 0},
		{"failed after its request", []fleet.Job{{UID: "held-f", Created: at(90), Ended: at(95), Failed: true}}, 0},
	} {
		b.observe(step.jobs, held)
		before, after := b.blocked(at(step.until-1)), b.blocked(at(step.until))
		if step.until == 0 {
			before = "-"
			after = b.blocked(start)
		}
		if before == "" || after != "" {
			t.Errorf("%s: blocked a second before: %q, then: %q, until %v", step.name, before, after, b.until)
		}
	}
}

func TestPauseAfter(t *testing.T) {
	for failures, want := range map[int]time.Duration{
		1: 10 * time.Second, 2: 20 * time.Second, 3: 40 * time.Second, 5: 160 * time.Second, 6: 5 * time.Minute, 1000: 5 * time.Minute,
	} {
		if got := pauseAfter(failures); got != want {
			t.Errorf("pauseAfter(%d) = %v, want %v", failures, got, want)
		}
	}
}
