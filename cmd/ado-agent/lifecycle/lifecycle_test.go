package lifecycle_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue/adotest"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/cmd/ado-agent/lifecycle"
)

var limits = lifecycle.Limits{Idle: 10 * time.Second, Grace: 4 * time.Minute, Leave: 30 * time.Second}

func inBubble(t *testing.T, test func(t *testing.T)) {
	t.Helper()
	synctest.Test(t, test)
}

func (w *world) want(ending lifecycle.Ending, within time.Duration) {
	w.t.Helper()
	if r := w.finish(within); r.Ending != ending || r.Stays != nil {
		w.t.Errorf("got %+v, want ending %d", r, ending)
	}
	if agents := w.ado.Agents("linux"); len(agents) > 0 {
		w.t.Errorf("left in the pool: %+v", agents)
	}
}

func (w *world) wantRequest(id int64, state adotest.State, result string) {
	w.t.Helper()
	if r, _ := w.ado.Request(id); r.State != state || r.Result != result {
		w.t.Errorf("the job is %s, %q, want %s, %q", r.State, r.Result, state, result)
	}
}

func TestIdle(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		start := time.Now()
		w := newWorld(t, &network{}, limits)
		w.want(lifecycle.Idle, time.Minute)
		if took := time.Since(start); took != limits.Idle {
			t.Errorf("it took %v", took)
		}
		if w.marks != 0 {
			t.Error("it claims to have had a job")
		}
	})
}

func TestWithoutIdleTimeout(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		w := newWorld(t, &network{}, lifecycle.Limits{Grace: time.Minute, Leave: time.Minute})
		time.Sleep(48 * time.Hour)
		id := w.queue(adotest.Job{Duration: time.Hour})
		w.want(lifecycle.AfterJob, 2*time.Hour)
		w.wantRequest(id, adotest.Finished, "succeeded")
		if w.marks != 1 {
			t.Errorf("OnJob was called %d times", w.marks)
		}
	})
}

// A job that comes while the agent is about to leave is run, and the agent is
// enabled for it.
func TestJobMeetsIdleExit(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		net := &network{}
		w := newWorld(t, net, limits)
		id := int64(0)
		// Just before it is disabled.
		net.onArrival(onFirst(http.MethodPatch, func() { id = w.queue(adotest.Job{Duration: time.Hour}) }))
		w.want(lifecycle.AfterJob, 2*time.Hour)
		w.wantRequest(id, adotest.Finished, "succeeded")
		want := []string{"false", "true", "DELETE"}
		if got := net.calls(); len(got) != 3 || !slices.EqualFunc(got, want, strings.Contains) {
			t.Errorf("calls: %v", got)
		}
	})
}

func TestTerminated(t *testing.T) {
	for _, tt := range []struct {
		name   string
		job    time.Duration // 0: none
		hurry  time.Duration // after the signal, 0: never
		deaf   bool
		ending lifecycle.Ending
		result string
		after  time.Duration // the signal
	}{
		{"without a job", 0, 0, false, lifecycle.Terminated, "", 0},
		{"the job ends in time", 2 * time.Minute, 0, false, lifecycle.AfterJob, "succeeded", 119 * time.Second},
		{"the job is too long", time.Hour, 0, false, lifecycle.AfterJob, "canceled", 170 * time.Second}, // 4m less 40s and 30s
		{"a second signal", time.Hour, 5 * time.Second, false, lifecycle.AfterJob, "canceled", 5 * time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				w := newWorld(t, &network{}, limits)
				id := int64(0)
				if tt.job > 0 {
					id = w.queue(adotest.Job{Duration: tt.job})
				}
				time.Sleep(time.Second)
				w.end()
				start := time.Now()
				if tt.hurry > 0 {
					time.Sleep(tt.hurry)
					close(w.hurry)
				}
				w.want(tt.ending, time.Hour)
				if took := time.Since(start); took != tt.after {
					t.Errorf("it took %v, want %v", took, tt.after)
				}
				if id != 0 {
					w.wantRequest(id, adotest.Finished, tt.result)
				}
			})
		})
	}
}

func silent(a *agent) { a.silent = true }

// onFirst calls do when the first request of a method arrives.
func onFirst(method string, do func()) func(*http.Request) {
	done := false
	return func(r *http.Request) {
		if r.Method == method && !done {
			done = true
			do()
		}
	}
}

// An agent that was asked to end and is promised a job, which goes elsewhere
// before the agent hears of it, neither waits for it nor takes another.
func TestTerminatedWithAPromise(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		net := &network{}
		w := newWorld(t, net, limits, silent)
		first := int64(0)
		net.onArrival(onFirst(http.MethodPatch, func() { first = w.queue(adotest.Job{}) }))
		time.Sleep(time.Second)
		w.end()
		time.Sleep(time.Second)
		synctest.Wait()
		w.wantRequest(first, adotest.Assigned, "")
		if err := w.ado.Redispatch(first); err != nil {
			t.Fatal(err)
		}
		second := w.queue(adotest.Job{})
		w.want(lifecycle.Terminated, 10*time.Second)
		w.wantRequest(first, adotest.Queued, "")
		w.wantRequest(second, adotest.Queued, "")
	})
}

// An idle agent whose promised job is cancelled is idle again.
func TestIdleWithAPromise(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		net := &network{}
		w := newWorld(t, net, limits, silent)
		first := int64(0)
		net.onArrival(onFirst(http.MethodPatch, func() { first = w.queue(adotest.Job{}) }))
		time.Sleep(limits.Idle + time.Second)
		synctest.Wait()
		if a := w.ado.Agents("linux")[0]; a.Request != first || a.Disabled {
			t.Errorf("got %+v", a)
		}
		if err := w.ado.Cancel(first); err != nil {
			t.Fatal(err)
		}
		w.want(lifecycle.Idle, limits.Idle)
	})
}

func TestEndings(t *testing.T) {
	for _, tt := range []struct {
		name   string
		agent  func(*agent)
		job    bool
		ending lifecycle.Ending
		stays  string
	}{
		{"ends by itself", func(a *agent) { a.quits = true }, false, lifecycle.Alone, ""},
		{"fails", func(a *agent) { a.quits, a.code = true, 3 }, false, lifecycle.Failed, ""},
		// Azure DevOps holds the job to be running until its lock lapses.
		{"crashes in its job", func(a *agent) { a.crash = time.Minute }, true, lifecycle.Crashed, "is running a job"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				w := newWorld(t, &network{}, limits, tt.agent)
				if tt.job {
					w.queue(adotest.Job{Duration: time.Hour})
				}
				r := w.finish(time.Minute + limits.Leave)
				if r.Ending != tt.ending || r.ExitCode != w.agent.code {
					t.Errorf("got %+v", r)
				}
				if tt.stays == "" && r.Stays != nil || tt.stays != "" && (r.Stays == nil || !strings.Contains(r.Stays.Error(), tt.stays)) {
					t.Errorf("stays: %v", r.Stays)
				}
			})
		})
	}
}

// An agent that does not heed the signal is killed.
func TestDeafAgent(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		w := newWorld(t, &network{}, limits, func(a *agent) { a.silent, a.deaf = true, true })
		time.Sleep(time.Second)
		w.end()
		w.want(lifecycle.Terminated, 41*time.Second)
	})
}

// Somebody who removes the agent ends it.
func TestRemovedByOthers(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		w := newWorld(t, &network{}, limits, silent)
		time.Sleep(time.Second)
		if err := w.ado.RemoveAgent("linux", podName); err != nil {
			t.Fatal(err)
		}
		w.want(lifecycle.Idle, limits.Idle)
	})
}

// While Azure DevOps does not answer, an idle agent goes on listening, and one
// that was asked to end does so at the end of the grace period.
func TestAzureDevOpsIsOut(t *testing.T) {
	outage := adotest.Fault{Operation: adotest.OpAgents, Status: http.StatusServiceUnavailable}
	t.Run("idle", func(t *testing.T) {
		inBubble(t, func(t *testing.T) {
			w := newWorld(t, &network{}, limits)
			w.ado.Inject(outage)
			time.Sleep(time.Hour)
			id := w.queue(adotest.Job{Duration: time.Hour})
			time.Sleep(time.Minute)
			w.ado.ClearFaults()
			w.want(lifecycle.AfterJob, time.Hour)
			w.wantRequest(id, adotest.Finished, "succeeded")
		})
	})
	t.Run("terminated", func(t *testing.T) {
		inBubble(t, func(t *testing.T) {
			w := newWorld(t, &network{}, limits)
			w.ado.Inject(outage)
			time.Sleep(time.Second)
			w.end()
			r := w.finish(limits.Grace)
			if r.Ending != lifecycle.Terminated || r.Stays == nil {
				t.Errorf("got %+v", r)
			}
		})
	})
}
