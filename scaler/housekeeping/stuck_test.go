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

// pods implements housekeeping.Pods.
type pods struct {
	mu        sync.Mutex
	unstarted map[string]housekeeping.Unstarted
	listed    int
	deleted   []string
	err       error
}

func (p *pods) Unstarted(_ context.Context, _ string, jobs []fleet.Job) (list []housekeeping.Unstarted, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.listed++
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

// stick adds a Job whose pod does not start.
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
		want = "# HELP " + name + " Jobs whose pods have not started within STUCK_AFTER, by reason.\n# TYPE " + name + " gauge\n" + want
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
		if p.listed != 0 {
			t.Error("pods were listed although all Jobs are young")
		}
		w.wantEvents(0)
		pass(10 * time.Minute)
		w.wantEvents(1, "Warning ado/a AgentPodNotStarted: Jobs whose pods have not started: 1, the oldest is a-bcdfg, "+
			"waiting since 2000-01-01T00:00:00Z: ImagePullBackOff: the message of a-bcdfg")
		w.wantEvents(1, "Warning ado/b AgentPodNotStarted", "Unschedulable")
		w.wantEvents(2)
		w.wantStuck(`ado_agent_orchestrator_stuck_jobs{name="a",namespace="ado",reason="ImagePullBackOff"} 2
ado_agent_orchestrator_stuck_jobs{name="b",namespace="ado",reason="Unschedulable"} 1
`)
		pass(time.Hour)
		w.wantEvents(2, "ado/a AgentPodNotStarted") // once an hour
		// The pod of b starts, and a Job of a ends.
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

// TestYoungPod checks that the time counts from the creation of the pod, not of
// the Job.
func TestYoungPod(t *testing.T) {
	stuckBubble(t, func(t *testing.T, w *world, p *pods) {
		w.job("a-bcdfg", nil)
		stop := w.keep(t.Context())
		defer stop()
		pass(time.Hour)
		w.stick(p, "a-bcdfg", "ImagePullBackOff")
		pass(14 * time.Minute)
		w.wantEvents(0)
		pass(2 * time.Minute)
		w.wantEvents(1, "AgentPodNotStarted")
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
		w.wantEvents(1, "Normal ado/a StuckJobDeleted: deleted Job a-bcdfg, which has not started: ImagePullBackOff")
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
		w.wantEvents(1, "StuckJobDeleted: dry run: would delete Job a-bcdfg")
		if len(p.deleted) != 0 {
			t.Errorf("deleted %v", p.deleted)
		}
	})
}

// TestPodsFail checks that consecutive failures are logged once.
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
		w.wantEvents(1, "AgentPodNotStarted") // despite the error
		p.fail(nil)
		pass(time.Minute)
		if len(p.deleted) != 1 {
			t.Errorf("deleted %v", p.deleted)
		}
	})
}
