package page

import (
	"strings"
	"testing"
	"time"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/explain"
)

// start is when the pictures of these tests begin.
var start = time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)

func after(seconds int) time.Time { return start.Add(time.Duration(seconds) * time.Second) }

// reached is a chain with the seconds at which steps were reached.
func reached(seconds map[explain.Step]int) (chain []explain.Link) {
	for _, step := range explain.Steps() {
		link := explain.Link{Step: step, Status: explain.Pending}
		if second, ok := seconds[step]; ok {
			link.At, link.Status = after(second), explain.Done
		}
		chain = append(chain, link)
	}
	return chain
}

func TestWaitIsDividedIntoPhases(t *testing.T) {
	seconds := func(s ...int) (d [5]time.Duration) {
		for i, each := range s {
			d[i] = time.Duration(each) * time.Second
		}
		return d
	}
	for _, test := range []struct {
		name  string
		steps map[explain.Step]int
		want  [5]time.Duration
	}{
		{"all steps", map[explain.Step]int{
			explain.StepQueued: 0, explain.StepCounted: 1, explain.StepReported: 2, explain.StepJob: 4, explain.StepScheduled: 5,
			explain.StepStarted: 8, explain.StepRegistered: 12, explain.StepAssigned: 13, explain.StepRunning: 15,
		}, seconds(1, 3, 4, 4, 3)},
		{"no pods in view", map[explain.Step]int{
			explain.StepQueued: 0, explain.StepCounted: 1, explain.StepJob: 4, explain.StepAssigned: 13,
		}, seconds(1, 3, 0, 0, 9)},
		{"an agent that was there before", map[explain.Step]int{
			explain.StepQueued: 10, explain.StepCounted: 11, explain.StepJob: 4, explain.StepRegistered: 8, explain.StepAssigned: 12,
		}, seconds(1, 0, 0, 0, 1)},
		{"an agent of others", map[explain.Step]int{explain.StepQueued: 0, explain.StepRunning: 3}, seconds(0, 0, 0, 0, 3)},
	} {
		if got := spentOf(reached(test.steps)); got != test.want {
			t.Errorf("%s: %v, want %v", test.name, got, test.want)
		}
	}
}

func TestWaitsPicture(t *testing.T) {
	pool := explain.Pool{}
	for i := range 20 {
		pool.Requests = append(pool.Requests, explain.Request{Progress: explain.Served, Chain: reached(map[explain.Step]int{
			explain.StepQueued: 10, explain.StepCounted: 11, explain.StepRunning: 11 + i,
		})})
	}
	pool.Requests = append(pool.Requests, explain.Request{Progress: explain.Coming, Chain: reached(map[explain.Step]int{explain.StepQueued: 1})})
	v := waitsOf(&pool, window{after(0), after(60)})
	if want := "20 jobs got an agent in the last 60 s: half waited up to 11 s, 95 % up to 20 s."; v.Sentence != want {
		t.Errorf("got %s", v.Sentence)
	}
	if len(v.Legend) != 2 || v.Legend[0].Name != "decision" || v.Legend[0].Mean != "1 s" || v.Legend[1].Mean != "9.5 s" {
		t.Errorf("legend %+v", v.Legend)
	}
	// Seconds 11 to 30 are the parts 5 to 15 of 30 for a minute.
	if len(v.Bars) != 11 || !strings.HasPrefix(v.Bars[0].Title, "1 job, until 12:00:12: 1 s on average (decision 1 s)") {
		t.Errorf("%d bars, the first is %+v", len(v.Bars), v.Bars[0])
	}
	if v := waitsOf(&pool, window{after(100), after(160)}); v != nil {
		t.Errorf("nothing in the window gives %+v", v)
	}
}

func TestSupplyPicture(t *testing.T) {
	steps := map[explain.Step]int{explain.StepQueued: 10, explain.StepRunning: 20, explain.StepFinished: 40}
	pool := explain.Pool{
		Requests: []explain.Request{
			{Progress: explain.Finished, Chain: reached(steps)},
			{Progress: explain.Coming, Chain: reached(map[explain.Step]int{explain.StepQueued: 15})},
			{Progress: explain.Finished, Outcome: "other agent", Chain: reached(steps)},
		},
		ScaledJobs: []explain.ScaledJob{{Namespace: "ado", Name: "still", Unfinished: 1}, {Namespace: "ado", Name: "build", Unfinished: 2}},
		Decisions: []explain.Decision{ // the newest first
			{At: after(41), ScaledJobs: []explain.DecisionPart{{ScaledJob: "ado/build", Waiting: 2}}},
			{At: after(16), ScaledJobs: []explain.DecisionPart{{ScaledJob: "ado/build", Waiting: 1, Busy: 1, Draining: 1}}},
			{At: after(12), ScaledJobs: []explain.DecisionPart{{ScaledJob: "ado/build", Waiting: 1}}},
		},
	}
	v := supplyOf(&pool, window{after(0), after(60)})
	want := "Now 1 job waiting, 0 running, and 3 Kubernetes Jobs. In the last 60 s at most 2 jobs and 4 Kubernetes Jobs."
	if v.Sentence != want {
		t.Errorf("got %s, want %s", v.Sentence, want)
	}
	// 2 of 5 at 12 s, 4 of 5 at 16 s, 3 of 5 at 41 s.
	if want := "M40 136H150V85.6H186.7V35.2H415.8V60.4H590"; v.Jobs != want {
		t.Errorf("Jobs %s, want %s", v.Jobs, want)
	}
	if want := "M40 136H223.3V110.8H406.7V136H590V136H40Z"; v.Running != want {
		t.Errorf("running %s, want %s", v.Running, want)
	}
	if v := supplyOf(&explain.Pool{}, window{after(0), after(60)}); v != nil {
		t.Errorf("nothing gives %+v", v)
	}
}

// TestSupplyBeforeTheDecisions has more requests than decisions are kept for.
func TestSupplyBeforeTheDecisions(t *testing.T) {
	pool := explain.Pool{
		Requests: []explain.Request{{Progress: explain.Finished, Chain: reached(map[explain.Step]int{
			explain.StepQueued: 5, explain.StepJob: 10, explain.StepRunning: 12, explain.StepFinished: 20,
		})}},
		Decisions: []explain.Decision{{At: after(30), ScaledJobs: []explain.DecisionPart{{ScaledJob: "ado/build", Waiting: 1}}}},
	}
	v := supplyOf(&pool, window{after(0), after(60)})
	if want := "M40 136H131.7V10H223.3V136H315V10H590"; v.Jobs != want {
		t.Errorf("Jobs %s, want %s", v.Jobs, want)
	}
}

func TestDurations(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0 s", 400 * time.Millisecond: "0.4 s", 7 * time.Second: "7 s", 9960 * time.Millisecond: "10 s", 99 * time.Second: "99 s", 100 * time.Second: "2 min",
		time.Hour: "60 min", 3 * time.Hour: "3 h", 72 * time.Hour: "3 days",
	} {
		if got := duration(d); got != want {
			t.Errorf("%v is %q, want %q", d, got, want)
		}
	}
	if got := distance(-time.Minute); got != "in 60 s" {
		t.Errorf("a minute ahead is %q", got)
	}
}
