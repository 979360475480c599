package faults

import (
	"slices"
	"testing"
	"time"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue/adotest"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/test/cluster"
)

// TestWrongZero has answers of 0 at second 10. The newest list that is known then is
// of second 8: the one of second 9 may be under way still.
func TestWrongZero(t *testing.T) {
	at := func(second int) time.Time { return time.Unix(int64(second), 0) }
	queued := func(second int) adotest.RequestState { return adotest.RequestState{ID: 1, QueueTime: at(second)} }
	unseen := adotest.RequestState{ID: 3, QueueTime: at(1), AssignTime: at(8).Add(1), FinishTime: at(9).Add(-1), Agent: "build-a-x"}
	again := queued(7)
	again.Attempts = 2
	taken := adotest.RequestState{ID: 2, QueueTime: at(1), AssignTime: at(6), FinishTime: at(9), Agent: "build-a-x"}
	cancelled := queued(7)
	cancelled.FinishTime = at(9)
	job := cluster.MadeJob{Name: "build-a", Created: at(5)}
	ended := job
	ended.Ended = at(6)
	for name, c := range map[string]struct {
		requests []adotest.RequestState
		jobs     []cluster.MadeJob
		value    int64
		want     bool
	}{
		"nothing is queued":                   {},
		"a request without a Job":             {requests: []adotest.RequestState{queued(7)}, want: true},
		"an answer that is not 0":             {requests: []adotest.RequestState{queued(7)}, value: 1},
		"a request that no list has":          {requests: []adotest.RequestState{queued(9)}},
		"a request that was cancelled":        {requests: []adotest.RequestState{cancelled}},
		"a request with a Job":                {requests: []adotest.RequestState{queued(7)}, jobs: []cluster.MadeJob{job}},
		"a request, and the Job of another":   {requests: []adotest.RequestState{queued(7), taken}, jobs: []cluster.MadeJob{job}, want: true},
		"a request whose Job ended long ago":  {requests: []adotest.RequestState{queued(7)}, jobs: []cluster.MadeJob{ended}, want: true},
		"one that came back":                  {requests: []adotest.RequestState{again}},
		"the Job of one that no list had":     {requests: []adotest.RequestState{queued(7), unseen}, jobs: []cluster.MadeJob{job}},
		"two requests with a Job":             {requests: []adotest.RequestState{queued(6), queued(7)}, jobs: []cluster.MadeJob{job}, want: true},
		"a request that was taken long since": {requests: []adotest.RequestState{taken}, jobs: []cluster.MadeJob{job}},
	} {
		t.Run(name, func(t *testing.T) {
			v := view{lists: []time.Time{at(7), at(8), at(9)}, requests: c.requests, jobs: c.jobs}
			wrong := v.wrongZero(Answer{Method: "GetMetrics", Begin: at(10), End: at(10), Value: c.value, Status: "0"})
			if (wrong != "") != c.want {
				t.Errorf("got %q, want a problem: %v", wrong, c.want)
			}
		})
	}
}

func TestMiscounts(t *testing.T) {
	for name, c := range map[string]struct {
		result Result
		want   int
	}{
		"none":         {Result{Recovered: time.Hour}, 0},
		"surplus":      {Result{Surplus: 1}, 1},
		"lost":         {Result{Lost: 1}, 1},
		"a wrong zero": {Result{Zeros: []string{"x"}}, 2},
	} {
		if got := c.result.Miscounts(); len(got) != c.want {
			t.Errorf("%s: got %q, want %d", name, got, c.want)
		}
	}
}

func TestLate(t *testing.T) {
	const bound = 5 * time.Second
	for name, c := range map[string]struct {
		result Result
		lag    time.Duration
		want   bool
	}{
		"in time":              {Result{Recovered: bound}, usualLag, false},
		"late":                 {Result{Recovered: bound + 1}, 0, true},
		"late, as all":         {Result{Recovered: bound + 3*time.Second}, usualLag + time.Second, false},
		"later than all":       {Result{Recovered: bound + 4*time.Second}, usualLag + time.Second, true},
		"within the pause":     {Result{Recovered: bound + time.Second, Pause: time.Second}, usualLag, false},
		"later than the pause": {Result{Recovered: bound + 2*time.Second, Pause: time.Second}, usualLag, true},
	} {
		if got := c.result.Late(bound, c.lag); (got != "") != c.want {
			t.Errorf("%s: got %q", name, got)
		}
	}
}

// TestMedian has a fault that was tried three times: the time has a second chance, a
// miscount of any try has none.
func TestMedian(t *testing.T) {
	tries := []Result{{Recovered: 9 * time.Second}, {Recovered: time.Second}, {Recovered: 2 * time.Second}}
	if got := Median(tries); got.Recovered != 2*time.Second || got.Recovery() != "2.0 s (median of 9.0, 1.0, 2.0)" || len(got.Miscounts()) != 0 {
		t.Errorf("got %v", got)
	}
	for i := range tries {
		worse := slices.Clone(tries)
		worse[i].Surplus = 1
		if got := Median(worse); got.Surplus != 1 || got.Recovered != 2*time.Second || len(got.Measured) != 3 {
			t.Errorf("a surplus Job in try %d: got %v", i, got)
		}
	}
}

func TestLag(t *testing.T) {
	results := make([]Result, 20)
	for i := range results {
		results[i].Lag = time.Duration(20-i) * time.Second
	}
	if got := Lag(results); got != 19*time.Second {
		t.Errorf("got %v, want 19 s", got)
	}
	if got := Lag(nil); got != 0 {
		t.Errorf("got %v of no results", got)
	}
}
