package fleet

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/plan"
)

// TestStatusOfPod has changes of a pod by which nothing is decided be in view, and
// notify nobody: each would cost a decision.
func TestStatusOfPod(t *testing.T) {
	x := NewIndex(time.Minute)
	x.SetJob(Job{UID: "1", Namespace: "ado", Name: "build-bcdfg", ScaledJob: "build"})
	notified := 0
	x.OnChange(func(plan.Key) { notified++ })
	pod := Pod{Name: "build-bcdfg-22222", JobUID: "1"}
	x.SetPod(pod)
	if notified != 1 {
		t.Errorf("a new pod notifies %d times", notified)
	}
	pod.Status = PodStatus{Reason: "ImagePullBackOff", Message: "again"}
	x.SetPod(pod)
	if got := x.JobsOf(plan.Key{Namespace: "ado", Name: "build"})[0].Pods[0].Status; got != pod.Status {
		t.Errorf("got %+v", got)
	}
	if notified != 1 {
		t.Error("a change of the status notifies")
	}
	pod.Ended = true
	x.SetPod(pod)
	if notified != 2 {
		t.Error("the end of a pod does not notify")
	}
}

// TestPodsOfOthers forgets pods of Jobs that are not in view, even if no Job comes.
func TestPodsOfOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := NewIndex(time.Minute)
		for range 1000 {
			time.Sleep(time.Second)
			x.SetPod(Pod{Name: time.Now().String(), JobUID: time.Now().String()})
		}
		if n := len(x.orphans); n > 61 {
			t.Errorf("%d are kept", n)
		}
	})
}

// TestRefusals keeps the newest reason and the first time, of a bounded number of
// Jobs.
func TestRefusals(t *testing.T) {
	x := NewIndex(time.Minute)
	at := func(second int64) time.Time { return time.Unix(second, 0) }
	x.SetRefusal(Refusal{JobUID: "1", Message: "first", First: at(1), Last: at(1)})
	x.SetRefusal(Refusal{JobUID: "1", Message: "second", First: at(2), Last: at(3)})
	x.SetRefusal(Refusal{JobUID: "1", Message: "late", First: at(1), Last: at(2)})
	if got, ok := x.Refusal("1"); !ok || got != (Refusal{JobUID: "1", Message: "second", First: at(1), Last: at(3)}) {
		t.Errorf("got %+v, %v", got, ok)
	}
	for i := range int64(maxRefusals) {
		x.SetRefusal(Refusal{JobUID: at(i).String(), Last: at(i)})
	}
	if _, ok := x.Refusal("1"); ok {
		t.Error("the number of Jobs is not bounded")
	}
}

// TestReady forgets what KEDA says with the ScaledJob.
func TestReady(t *testing.T) {
	x := NewIndex(time.Minute)
	key := plan.Key{Namespace: "ado", Name: "build"}
	failed := Condition{Status: "False", Reason: "KEDAJobCreateFailed", Message: "quota"}
	x.SetReady(key, failed)
	if got := x.Ready(key); got != (Condition{}) {
		t.Errorf("of no ScaledJob in view: %+v", got)
	}
	x.SetScaledJob(NewScaledJob(key))
	x.SetReady(key, failed)
	if got := x.Ready(key); got != failed {
		t.Errorf("got %+v", got)
	}
	x.DeleteScaledJob(key)
	if got := x.Ready(key); got != (Condition{}) {
		t.Errorf("after the deletion: %+v", got)
	}
}
