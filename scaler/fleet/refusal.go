package fleet

import (
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue/safetext"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/plan"
)

// maxRefusals bounds how many Jobs are remembered whose pods were refused: they may
// be anybody's.
const maxRefusals = 4096

// Refusal is why the pods of a Job cannot be created: a quota, or an admission
// rule.
type Refusal struct {
	JobUID  string
	Message string
	// First and Last are when it was refused.
	First, Last time.Time
}

// Condition is what KEDA says of whether a ScaledJob is ready. Its texts are
// printable lines of bounded length.
type Condition struct {
	// Status is "True", "False" or "Unknown", "" if KEDA has said nothing yet.
	Status, Reason, Message string
}

func refusalOf(event *corev1.Event) Refusal {
	first, last := event.FirstTimestamp.Time, event.LastTimestamp.Time
	if first.IsZero() {
		first = event.EventTime.Time
	}
	if last.IsZero() {
		last = first
	}
	return Refusal{JobUID: string(event.InvolvedObject.UID), Message: safetext.Line(event.Message), First: first, Last: last}
}

func readyOf(u *unstructured.Unstructured) Condition {
	conditions, _, _ := unstructured.NestedSlice(u.Object, "status", "conditions")
	for _, item := range conditions {
		fields, _ := item.(map[string]any)
		if fields["type"] != "Ready" {
			continue
		}
		text := func(key string) string {
			value, _ := fields[key].(string)
			return safetext.Line(value)
		}
		return Condition{Status: text("status"), Reason: text("reason"), Message: text("message")}
	}
	return Condition{}
}

// SetReady sets what KEDA says of a ScaledJob. No change is notified: nothing is
// decided by it.
func (x *Index) SetReady(key plan.Key, ready Condition) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if _, known := x.scaledJobs[key]; known {
		x.ready[key] = ready
	}
}

// Ready returns what KEDA says of a ScaledJob.
func (x *Index) Ready(key plan.Key) Condition {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.ready[key]
}

// SetRefusal sets why the pods of a Job cannot be created. Of several reasons the
// newest counts.
func (x *Index) SetRefusal(r Refusal) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if known, ok := x.refusals.Get(r.JobUID); ok {
		before := known.(Refusal)
		if before.Last.After(r.Last) {
			return
		}
		r.First = earlier(before.First, r.First)
	}
	x.refusals.Add(r.JobUID, r)
}

// Refusal returns why the pods of a Job could not be created last; ok is false if
// nothing is known. They may have been created since.
func (x *Index) Refusal(jobUID string) (r Refusal, ok bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	known, ok := x.refusals.Get(jobUID)
	if !ok {
		return Refusal{}, false
	}
	return known.(Refusal), true
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}
