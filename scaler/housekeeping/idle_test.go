package housekeeping_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue/adotest"
)

// TestPeriods has agents there when a period begins, and gone within a minute
// after it. Without the right to delete Jobs they end by their idle timeout.
func TestPeriods(t *testing.T) {
	for _, test := range []struct {
		name      string
		forbidden bool
		foreign   bool
		wantAfter map[string]int // idle agents at a time
	}{
		{"ended", false, false, map[string]int{"00:58:00": 1, "01:00:00": 5, "01:59:59": 5, "02:01:00": 1, "02:30:00": 1}},
		{"not allowed", true, false, map[string]int{"00:58:00": 1, "01:00:00": 5, "02:01:00": 5, "02:31:00": 1}},
		{"another launcher", false, true, map[string]int{"00:58:00": 1, "01:00:00": 5, "02:01:00": 5, "02:31:00": 1}},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWarmWorld(t, map[string]string{"warm": "01:00-02:00 5", "minIdle": "1"})
				defer w.ado.Close()
				w.forbidden, w.foreign, w.idleTimeout = test.forbidden, test.foreign, 90*time.Minute
				if test.forbidden || test.foreign {
					w.idleTimeout = 20 * time.Minute
				}
				w.during(2*time.Hour+32*time.Minute, func() {
					want, ok := test.wantAfter[clock()]
					if got := w.idle(); ok && (got < want || got > want+1) { // one may just be replaced
						t.Errorf("at %s: %d idle agents, want %d", clock(), got, want)
					}
				})
				if len(w.killed) > 0 || (len(w.deleted) > 0) == (test.forbidden || test.foreign) {
					t.Errorf("deleted %v, killed %v", w.deleted, w.killed)
				}
			})
		})
	}
}

// TestReplacedByAge has agents replaced at an age: the next is there before one
// goes, and there is one more at most for each that is replaced.
func TestReplacedByAge(t *testing.T) {
	for name, podsOutOfView := range map[string]bool{"pods in view": false, "pods out of view": true} {
		t.Run(name, func(t *testing.T) { testReplacedByAge(t, podsOutOfView) })
	}
}

func testReplacedByAge(t *testing.T, podsOutOfView bool) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := newWarmWorld(t, map[string]string{"minIdle": "4", "warmMaxAge": "1h"})
		defer w.ado.Close()
		w.podsOutOfView = podsOutOfView
		began, most := time.Now(), 0
		w.during(6*time.Hour, func() {
			n := w.idle()
			most = max(most, n)
			if since := time.Since(began); since > time.Minute && n < 4 {
				t.Errorf("after %v there are %d idle agents", since, n)
			}
		})
		if most > 6 || len(w.deleted) < 20 || len(w.deleted) > 30 {
			t.Errorf("up to %d idle agents, %d were replaced", most, len(w.deleted))
		}
	})
}

// TestShareIsNotChurned has agents that are idle by a share of the busy ones stay
// for some time when jobs end: the next ones may need them.
func TestShareIsNotChurned(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWarmWorld(t, map[string]string{"warm": "00:00-24:00 1 +100% max 5"})
		defer w.ado.Close()
		w.during(2*time.Minute, nil)
		for range 4 {
			w.queue(2 * time.Minute)
		}
		w.during(4*time.Minute, nil)
		if n := w.idle(); n < 4 || len(w.deleted) > 0 {
			t.Errorf("%d idle agents while the jobs have just ended, and %d deleted", n, len(w.deleted))
		}
		w.during(10*time.Minute, nil)
		if n := w.idle(); n != 1 {
			t.Errorf("%d idle agents in the end", n)
		}
	})
}

// TestNewLeader has the scaler restart while agents are too many. They have the same
// time as without: little after a period, and more after a share has fallen.
func TestNewLeader(t *testing.T) {
	for name, test := range map[string]struct {
		warm    string
		restart time.Duration
		stay    time.Duration // after which all are there yet
		gone    time.Duration
	}{
		"after a period":         {"00:00-00:10 5", 10*time.Minute + 5*time.Second, 10*time.Minute + 14*time.Second, 11 * time.Minute},
		"after a share has gone": {"00:00-24:00 1 +100% max 5", 9 * time.Minute, 13*time.Minute + 30*time.Second, 15 * time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWarmWorld(t, map[string]string{"warm": test.warm})
				defer w.ado.Close()
				w.during(2*time.Minute, nil)
				for range 4 {
					w.queue(6 * time.Minute) // and those that come for the share stay idle
				}
				w.during(test.restart-2*time.Minute, nil)
				before := w.ended()
				restarted := time.Now()
				w.during(test.gone-test.restart, func() {
					if n := w.ended() - before; n > 0 && time.Since(restarted) < test.stay-test.restart {
						t.Fatalf("%d idle agents were ended too soon", n)
					}
				})
				if w.ended() == before {
					t.Error("no idle agent was ended")
				}
			})
		})
	}
}

// TestEditedAtOnce has a ScaledJob edited right after its first Jobs came, between two
// reconciliations: its agents leave as after any other edit.
func TestEditedAtOnce(t *testing.T) {
	for name, test := range map[string]struct {
		edited map[string]string
		want   int
	}{
		"fewer": {map[string]string{"minIdle": "1"}, 4},
		"none":  {nil, 5},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWarmWorld(t, map[string]string{"minIdle": "5"})
				defer w.ado.Close()
				seconds := 0
				w.during(time.Minute, func() {
					seconds++
					if seconds == 4 {
						w.ask(test.edited)
					}
				})
				if n := w.ended(); w.created != 5 || n != test.want {
					t.Errorf("%d of %d agents were ended, want %d of 5", n, w.created, test.want)
				}
			})
		})
	}
}

// TestAgentsNeverListed has the first list of agents never answered: idle agents end
// soon after all the same.
func TestAgentsNeverListed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWarmWorld(t, map[string]string{"minIdle": "5"})
		defer w.ado.Close()
		seconds := 0
		w.during(105*time.Second, func() {
			seconds++
			if seconds == 60 {
				w.ado.Inject(adotest.Fault{Operation: adotest.OpAgents, Times: 1, Delay: time.Hour})
				w.ask(map[string]string{"minIdle": "1"})
			}
		})
		if n := w.ended(); n != 4 {
			t.Errorf("%d idle agents were ended, want 4", n)
		}
	})
}

// TestHundredPeriods has more than a hundred changes of the period, jobs that come
// at random and a scaler that restarts now and then. No job is lost, and no agent
// is killed with a job.
func TestHundredPeriods(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWarmWorld(t, nil)
		defer w.ado.Close()
		for first := range 2 {
			var schedule strings.Builder // three hours with a change every three minutes
			for i := range 30 {
				minute := first*180 + i*6 + 3
				fmt.Fprintf(&schedule, "%02d:%02d-%02d:%02d 4 +50%% max 8;", minute/60, minute%60, (minute+3)/60, (minute+3)%60)
			}
			w.ask(map[string]string{"warm": schedule.String(), "warmMaxAge": "3m"})
			for left := 3 * time.Hour; left > 0; {
				part := min(left, time.Duration(600+w.random.IntN(4000))*time.Second)
				left -= part
				w.during(part, func() {
					if w.random.IntN(40) == 0 {
						w.queue(time.Duration(10+w.random.IntN(400)) * time.Second)
					}
				})
			}
		}
		w.during(20*time.Minute, nil)
		for _, id := range w.requests {
			if r, _ := w.ado.Request(id); r.State != adotest.Finished || r.Result != "succeeded" {
				t.Errorf("request %d: %+v", id, r)
			}
		}
		t.Logf("%d jobs, %d agents, %d of them ended", len(w.requests), w.created, len(w.deleted))
		if len(w.killed) > 0 {
			t.Errorf("killed with a job: %v", w.killed)
		}
		if n := w.created - len(w.requests); n > len(w.deleted) || n < len(w.deleted)-20 {
			t.Errorf("%d agents had no job, but %d were ended", n, len(w.deleted))
		}
		if len(w.requests) < 400 || len(w.deleted) < 100 {
			t.Error("too little has happened")
		}
	})
}
