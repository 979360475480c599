package explain

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/fleet"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/plan"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/trigger"
)

// TestPlaceholders compares the words about pools and ScaledJobs without an agent that
// jobs can be queued for.
func TestPlaceholders(t *testing.T) {
	p := &poolView{name: "Linux", agents: registered()}
	s := &scaledJobView{key: plan.Key{Namespace: "ado", Name: "build"}, placeholder: "placeholder-1"}
	if got, want := p.withoutAgents(), `no agent is registered in pool "Linux", so Azure DevOps fails each job at once`; got == nil || got.Sentence != want {
		t.Errorf("got %+v", got)
	}
	if got := s.withoutPlaceholder(p); got != nil {
		t.Errorf("what the pool says already is said again: %+v", got)
	}
	p.agents = registered(adoqueue.Agent{Name: "other"})
	const want = "the placeholder of ScaledJob ado/build is not registered, so that Azure DevOps may fail its jobs at once while no agent of it runs"
	if got := s.withoutPlaceholder(p); got == nil || got.Sentence != want {
		t.Errorf("got %+v", got)
	}
	p.agents = registered(adoqueue.Agent{Name: "placeholder-1"})
	for _, got := range []*Broken{p.withoutAgents(), s.withoutPlaceholder(p), (&poolView{}).withoutAgents(), s.withoutPlaceholder(&poolView{})} {
		if got != nil {
			t.Errorf("got %+v", got)
		}
	}
}

// TestNoneBroken has requests that are on their way, as far as anybody can say.
func TestNoneBroken(t *testing.T) {
	for name, v := range map[string]*view{
		"has an agent":                 counted(plan.ByBusyJob, func(v *view) { v.pool.reading.Err = errors.New("down") }),
		"has an agent of others":       counted(plan.ByOtherAgent, func(v *view) { v.scaledJob = nil }),
		"is another scaler's":          counted(plan.ByOtherShard, func(v *view) { v.scaledJob = nil }),
		"KEDA will ask soon":           counted(plan.ByNewJob, func(v *view) { v.scaledJob.member.PolledAt = at(15 * time.Second) }),
		"KEDA got the metric just now": counted(plan.ByNewJob, func(v *view) { v.reported = at(10 * time.Second) }),
		"KEDA has hung up":             counted(plan.ByNewJob, func(v *view) { v.scaledJob.member.Err = fmt.Errorf("list pools: %w", context.Canceled) }),
		"an agent came while this one registers": withPod(running(14*time.Second), func(v *view, _ *fleet.Pod) {
			v.pool.agents = registered(adoqueue.Agent{Name: "vm-1", Online: true, StatusChanged: at(time.Second)})
		}),
		"an agent of another shard came": withPod(running(20*time.Second), func(v *view, _ *fleet.Pod) {
			shard := adoqueue.Shard{Index: 1, Count: 2}
			v.scaledJob.member.Trigger = &trigger.Trigger{Requests: trigger.Selector{Shard: shard}}
			v.pool.agents = registered(adoqueue.Agent{Name: "other-hjklm-44444", Online: true, StatusChanged: at(time.Second)})
		}),
		"the Job has no pod yet": counted(plan.ByWaitingJob, func(v *view) { v.job = &jobView{created: at(30 * time.Second)} }),
		"the Job is out of view": counted(plan.ByWaitingJob, func(*view) {}),
		"pods are out of view":   counted(plan.ByWaitingJob, func(v *view) { v.job, v.pool.podsInView = &jobView{created: at(time.Hour)}, false }),
		"the pod was refused before, and pods are out of view": counted(plan.ByWaitingJob, func(v *view) {
			v.job, v.pool.podsInView = &jobView{created: at(time.Hour), refusal: &fleet.Refusal{Message: "quota", Last: at(3 * time.Minute)}}, false
		}),
		"containers are being created": withPod(fleet.PodStatus{Scheduled: at(2 * time.Minute), Reason: "ContainerCreating"}, nil),
		"an init container runs":       withPod(fleet.PodStatus{Scheduled: at(time.Hour)}, nil),
		"the agent configures itself": withPod(running(60*time.Second), func(v *view, _ *fleet.Pod) {
			v.pool.agents = registered(adoqueue.Agent{Name: "placeholder"})
		}),
		"the pod has ended": withPod(running(time.Hour), func(v *view, pod *fleet.Pod) {
			v.pool.agents, pod.Ended = registered(adoqueue.Agent{Name: "placeholder"}), true
		}),
		"nobody knows who is registered": withPod(running(time.Hour), nil),
		"another's agent was there before": withPod(running(20*time.Second), func(v *view, _ *fleet.Pod) {
			v.pool.agents = registered(adoqueue.Agent{Name: "vm-1", Online: true, StatusChanged: at(time.Minute)})
		}),
		"an agent of another pod came": withPod(running(20*time.Second), func(v *view, _ *fleet.Pod) {
			v.pool.agents = registered(adoqueue.Agent{Name: "build-hjklm-44444", Online: true, StatusChanged: at(time.Second)})
			v.pool.pods = map[string]bool{"build-hjklm-44444": true}
		}),
	} {
		if got := firstBroken(v); got != nil {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

// TestBrokenAfterItWasReached has KEDA stop to ask after it got the metric.
func TestBrokenAfterItWasReached(t *testing.T) {
	times := chainTimes{StepQueued: at(3), StepCounted: at(2), StepReported: at(1)}
	for _, l := range times.chain(&Broken{Step: StepReported}) {
		var want LinkStatus
		switch l.Step {
		case StepQueued, StepCounted, StepReported:
			want = Done
		case StepJob:
			want = Failed
		default:
			want = Pending
		}
		if l.Status != want {
			t.Errorf("%s is %s, want %s", l.Step, l.Status, want)
		}
	}
}
