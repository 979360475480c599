package housekeeping_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/fleet"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/housekeeping"
)

// pods are those that have not started, by Job.
type pods struct {
	mu        sync.Mutex
	unstarted map[string]housekeeping.Unstarted
	asked     int
	deleted   []string
	err       error
}

func (p *pods) Unstarted(_ context.Context, _ string, jobs []fleet.Job) (list []housekeeping.Unstarted, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.asked++
	for _, job := range jobs {
		if u, ok := p.unstarted[job.Name]; ok {
			u.Job = job
			list = append(list, u)
		}
	}
	return list, p.err
}

func (p *pods) Delete(_ context.Context, job fleet.Job) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.err == nil {
		p.deleted = append(p.deleted, job.Name)
		delete(p.unstarted, job.Name)
	}
	return p.err
}

func (p *pods) start(job string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.unstarted, job)
}

func (p *pods) fail(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.err = err
}

// stick makes a Job whose pod does not start.
func (w *world) stick(p *pods, name, reason string) {
	w.job(name, nil)
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.unstarted == nil {
		p.unstarted = map[string]housekeeping.Unstarted{}
	}
	p.unstarted[name] = housekeeping.Unstarted{Since: time.Now(), Reason: reason, Message: "the message of " + name}
}

func stuckBubble(t *testing.T, test func(*testing.T, *world, *pods)) {
	t.Helper()
	bubble(t, func(t *testing.T, w *world) {
		p := &pods{}
		w.pods = p
		w.settings = housekeeping.Settings{StuckAfter: housekeeping.DefaultStuckAfter}
		w.serve("a", "docker", "b", "gpu")
		test(t, w, p)
	})
}

func (w *world) wantStuck(want string) {
	w.t.Helper()
	const name = "ado_agent_orchestrator_stuck_jobs"
	if want != "" {
		want = "# HELP " + name + " Jobs whose pods have not started for longer than the time set, by reason.\n# TYPE " + name + " gauge\n" + want
	}
	if err := testutil.GatherAndCompare(w.registry, strings.NewReader(want), name); err != nil {
		w.t.Error(err)
	}
}

func TestStuckJobs(t *testing.T) {
	stuckBubble(t, func(t *testing.T, w *world, p *pods) {
		stop := w.keep(t.Context())
		w.job("a-runs2", nil)
		w.stick(p, "a-bcdfg", "ImagePullBackOff")
		w.stick(p, "foreign-bcdfg", "ImagePullBackOff")
		pass(time.Minute + time.Second)
		w.stick(p, "a-hjklm", "ImagePullBackOff")
		w.stick(p, "b-bcdfg", "Unschedulable")
		pass(13 * time.Minute)
		if p.asked != 0 {
			t.Error("pods were asked for though all Jobs are young")
		}
		w.wantTold(0)
		pass(10 * time.Minute)
		w.wantTold(1, "Warning ado/a AgentsStuck: Jobs that do not start: 1, for the longest time a-bcdfg, since 2000-01-01T00:00:00Z; "+
			"ImagePullBackOff: the message of a-bcdfg")
		w.wantTold(1, "Warning ado/b AgentsStuck", "Unschedulable")
		w.wantTold(2)
		w.wantStuck(`ado_agent_orchestrator_stuck_jobs{name="a",namespace="ado",reason="ImagePullBackOff"} 2
ado_agent_orchestrator_stuck_jobs{name="b",namespace="ado",reason="Unschedulable"} 1
`)
		pass(time.Hour)
		w.wantTold(2, "ado/a AgentsStuck") // once an hour
		// Its node comes at last, and the Job of the other is deleted.
		p.start("b-bcdfg")
		w.job("a-bcdfg", ended)
		pass(time.Minute)
		w.wantStuck(`ado_agent_orchestrator_stuck_jobs{name="a",namespace="ado",reason="ImagePullBackOff"} 1
`)
		if len(p.deleted) != 0 {
			t.Errorf("deleted %v", p.deleted)
		}
		stop()
		w.wantStuck("")
	})
}

// TestYoungPod of an old Job has its time.
func TestYoungPod(t *testing.T) {
	stuckBubble(t, func(t *testing.T, w *world, p *pods) {
		w.job("a-bcdfg", nil)
		stop := w.keep(t.Context())
		defer stop()
		pass(time.Hour)
		w.stick(p, "a-bcdfg", "ImagePullBackOff")
		pass(14 * time.Minute)
		w.wantTold(0)
		pass(2 * time.Minute)
		w.wantTold(1, "AgentsStuck")
	})
}

func TestDeleteStuck(t *testing.T) {
	stuckBubble(t, func(t *testing.T, w *world, p *pods) {
		w.settings.DeleteStuck = true
		w.stick(p, "a-bcdfg", "ImagePullBackOff")
		w.job("a-runs2", nil)
		w.during(time.Hour)
		if !slices.Equal(p.deleted, []string{"a-bcdfg"}) {
			t.Errorf("deleted %v", p.deleted)
		}
		w.wantTold(1, "Normal ado/a StuckJobDeleted: deleted Job a-bcdfg, which did not start: ImagePullBackOff")
		if n, err := testutil.GatherAndCount(w.registry, "ado_agent_orchestrator_housekeeping_actions_total"); n != 1 {
			t.Errorf("%d counters, %v", n, err)
		}
	})
}

func TestDeleteStuckDryRun(t *testing.T) {
	stuckBubble(t, func(t *testing.T, w *world, p *pods) {
		w.settings.DeleteStuck, w.settings.DryRun = true, true
		w.stick(p, "a-bcdfg", "ImagePullBackOff")
		w.during(time.Hour)
		w.wantTold(1, "StuckJobDeleted: dry run: would delete Job a-bcdfg")
		if len(p.deleted) != 0 {
			t.Errorf("deleted %v", p.deleted)
		}
	})
}

// TestPodsFail logs once what fails on and on.
func TestPodsFail(t *testing.T) {
	stuckBubble(t, func(t *testing.T, w *world, p *pods) {
		w.settings.DeleteStuck = true
		w.stick(p, "a-bcdfg", "ImagePullBackOff")
		p.fail(errors.New("no such right"))
		stop := w.keep(t.Context())
		defer stop()
		pass(time.Hour)
		if n := w.logs.Len(); n != 2 { // and that the Job is stuck
			t.Errorf("%d lines in the log: %v", n, w.logs.All())
		}
		w.wantTold(1, "AgentsStuck") // what is known is told all the same
		p.fail(nil)
		pass(time.Minute)
		if len(p.deleted) != 1 {
			t.Errorf("deleted %v", p.deleted)
		}
	})
}
