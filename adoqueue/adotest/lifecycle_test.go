package adotest

import (
	"testing"
	"testing/synctest"
	"time"
)

// state fails the test unless a request is in a state.
func wantState(t *testing.T, ado *Server, id int64, state State, result, agent string) RequestState {
	t.Helper()
	got, ok := ado.Request(id)
	if !ok || got.State != state || got.Result != result || got.Agent != agent {
		t.Errorf("request %d: got %s %q on %q, want %s %q on %q", id, got.State, got.Result, got.Agent, state, result, agent)
	}
	return got
}

func TestSteps(t *testing.T) {
	ado := withPool(t, Options{}, Agent{Name: "a"}, Agent{Name: "b"})
	queue := func() int64 { return must1(ado.Queue("linux", Job{}))(t) }

	cancelled := queue()
	check(t, ado.Cancel(cancelled))
	if r := wantState(t, ado, cancelled, Finished, "canceled", ""); !r.AssignTime.IsZero() {
		t.Errorf("assigned at %v", r.AssignTime)
	}

	abandoned := queue()
	check(t, ado.Assign(abandoned, "a"))
	check(t, ado.Receive(abandoned))
	wantState(t, ado, abandoned, Running, "", "a")
	check(t, ado.Abandon(abandoned))
	wantState(t, ado, abandoned, Finished, "abandoned", "a")

	moved := queue()
	check(t, ado.Assign(moved, "a"))
	check(t, ado.Redispatch(moved))
	wantState(t, ado, moved, Queued, "", "")
	check(t, ado.Assign(moved, "b"))
	wantState(t, ado, moved, Assigned, "", "b")
	check(t, ado.Cancel(moved))
	wantState(t, ado, moved, Finished, "canceled", "b")

	again := must1(ado.Retry(abandoned))(t)
	first, second := wantState(t, ado, abandoned, Finished, "abandoned", "a"), wantState(t, ado, again, Queued, "", "")
	if first.JobID != second.JobID || again <= abandoned {
		t.Errorf("retry %d of %d: job %s of %s", again, abandoned, second.JobID, first.JobID)
	}
	if got := ado.Requests("linux"); len(got) != 4 || got[3].ID != again {
		t.Errorf("got %+v", got)
	}
}

func TestWrongSteps(t *testing.T) {
	ado := withPool(t, Options{}, Agent{Name: "a"})
	one, two := must1(ado.Queue("linux", Job{}))(t), must1(ado.Queue("linux", Job{}))(t)
	for name, step := range map[string]func() error{
		"receive a queued one":    func() error { return ado.Receive(one) },
		"finish a queued one":     func() error { return ado.Finish(one, "succeeded") },
		"abandon a queued one":    func() error { return ado.Abandon(one) },
		"move a queued one":       func() error { return ado.Redispatch(one) },
		"assign to nobody":        func() error { return ado.Assign(one, "nobody") },
		"assign what is not":      func() error { return ado.Assign(99, "a") },
		"retry an unfinished one": func() error { _, err := ado.Retry(one); return err },
	} {
		if step() == nil {
			t.Error(name + " worked")
		}
	}
	check(t, ado.Assign(one, "a"))
	if ado.Assign(one, "a") == nil || ado.Assign(two, "a") == nil {
		t.Error("assigned twice")
	}
	check(t, ado.Finish(one, ""))
	if ado.Cancel(one) == nil || ado.Finish(one, "") == nil {
		t.Error("ended twice")
	}
}

func TestAutoAssign(t *testing.T) {
	ado := withPool(t, Options{AutoAssign: true, ParallelJobs: 3},
		Agent{Name: "placeholder", Offline: true, Capabilities: map[string]string{"gpu": "1", "big": "1"}},
		Agent{Name: "disabled", Disabled: true, Capabilities: map[string]string{"gpu": "1"}},
		Agent{Name: "plain"})
	gpu := must1(ado.Queue("linux", Job{Demands: []string{"gpu"}}))(t)
	plain := must1(ado.Queue("linux", Job{}))(t)
	wantState(t, ado, gpu, Queued, "", "")
	wantState(t, ado, plain, Assigned, "", "plain")

	check(t, ado.SetAgentEnabled("linux", "disabled", true))
	wantState(t, ado, gpu, Assigned, "", "disabled")

	low := must1(ado.Queue("linux", Job{}))(t)
	high := must1(ado.Queue("linux", Job{Priority: 5}))(t)
	check(t, ado.Finish(plain, ""))
	wantState(t, ado, high, Assigned, "", "plain")
	wantState(t, ado, low, Queued, "", "")

	check(t, ado.SetAgentOnline("linux", "placeholder", true))
	wantState(t, ado, low, Assigned, "", "placeholder")

	limited := must1(ado.Queue("linux", Job{}))(t)
	must1(ado.AddAgent("linux", Agent{Name: "more"}))(t)
	wantState(t, ado, limited, Queued, "", "") // three parallel jobs are in use
	public := must1(ado.Queue("linux", Job{Public: true}))(t)
	wantState(t, ado, public, Assigned, "", "more")

	usage := get(t, ado, tasks+"resourceusage?parallelismTag=Private&poolIsHosted=false&includeRunningRequests=true&api-version=7.2-preview.2").object(t)
	if usage["usedCount"] != 3.0 || usage["resourceLimit"].(map[string]any)["totalCount"] != 3.0 || len(usage["runningRequests"].([]any)) != 3 {
		t.Errorf("got %v", usage)
	}
}

func TestAgentThatRunsOnce(t *testing.T) {
	ado := withPool(t, Options{AutoAssign: true}, Agent{Name: "once", Once: true})
	first := must1(ado.Queue("linux", Job{}))(t)
	wantState(t, ado, first, Assigned, "", "once")
	check(t, ado.Finish(first, ""))
	second := must1(ado.Queue("linux", Job{}))(t)
	wantState(t, ado, second, Queued, "", "")
	must1(ado.AddAgent("linux", Agent{Name: "next", Once: true}))(t)
	wantState(t, ado, second, Assigned, "", "next")
}

func TestPlayedAgent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ado := withPool(t, Options{AutoAssign: true, ReceiveDelay: 2 * time.Second}, Agent{Name: "a"})
		id := must1(ado.Queue("linux", Job{Duration: 30 * time.Minute, Result: "failed"}))(t)
		queued := time.Now()
		wantState(t, ado, id, Assigned, "", "a")
		time.Sleep(2*time.Second + 1)
		r := wantState(t, ado, id, Running, "", "a")
		if got := r.LockedUntil.Sub(r.ReceiveTime); got != 10*time.Minute {
			t.Errorf("locked for %v", got)
		}
		time.Sleep(25 * time.Minute) // renewed every minute
		if r := wantState(t, ado, id, Running, "", "a"); time.Until(r.LockedUntil) < 9*time.Minute {
			t.Errorf("locked for %v more", time.Until(r.LockedUntil))
		}
		time.Sleep(5 * time.Minute)
		r = wantState(t, ado, id, Finished, "failed", "a")
		if got := r.FinishTime.Sub(queued); got != 30*time.Minute+2*time.Second {
			t.Errorf("took %v", got)
		}
	})
}

func TestLockLapses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ado := withPool(t, Options{}, Agent{Name: "runs"}, Agent{Name: "assigned"}, Agent{Name: "returns"})
		var id [3]int64
		for i, name := range []string{"runs", "assigned", "returns"} {
			id[i] = must1(ado.Queue("linux", Job{Duration: time.Hour}))(t)
			check(t, ado.Assign(id[i], name))
			if name != "assigned" {
				check(t, ado.Receive(id[i]))
			}
		}
		time.Sleep(90 * time.Second)
		for _, name := range []string{"runs", "assigned", "returns"} {
			check(t, ado.SetAgentOnline("linux", name, false))
		}
		if err := ado.RemoveAgent("linux", "runs"); err == nil {
			t.Error("removed an agent that holds a request")
		}
		time.Sleep(8 * time.Minute)
		check(t, ado.SetAgentOnline("linux", "returns", true))
		wantState(t, ado, id[0], Running, "", "runs")
		time.Sleep(90 * time.Second) // the last renewal was a minute after the start
		synctest.Wait()
		wantState(t, ado, id[0], Finished, "abandoned", "runs")
		wantState(t, ado, id[1], Queued, "", "")
		wantState(t, ado, id[2], Running, "", "returns")
		time.Sleep(50 * time.Minute)
		wantState(t, ado, id[2], Finished, "succeeded", "returns")
	})
}
