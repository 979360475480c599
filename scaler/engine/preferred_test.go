package engine

import (
	"context"
	"testing"
	"time"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/fleet"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/plan"
)

// preferring records whether the last snapshot was one that must not wait for others.
type preferring struct {
	oneQueued

	preferred *bool
}

func (p preferring) Snapshot(ctx context.Context, ref adoqueue.PoolRef, maxAge time.Duration) (*adoqueue.Snapshot, error) {
	*p.preferred = adoqueue.IsPreferred(ctx)
	return p.oneQueued.Snapshot(ctx, ref, maxAge)
}

// TestScaledJobsInViewArePreferred has callers whom nobody knows name pools as often
// as they like: those of ScaledJobs in view are read first.
func TestScaledJobsInViewArePreferred(t *testing.T) {
	r := newRacing(t)
	preferred := false
	for _, o := range r.engine.organizations {
		o.queue = preferring{preferred: &preferred}
	}
	r.SetScaledJob(fleet.NewScaledJob(buildKey, buildMetadata()))
	other := buildMetadata()
	other["poolName"] = "windows"
	for _, c := range []struct {
		name    string
		request Request
		want    bool
	}{
		{"a ScaledJob in view", Request{Key: buildKey, Metadata: buildMetadata(), Half: Whole}, true},
		{"its name for another pool", Request{Key: buildKey, Metadata: other, Half: Whole}, false},
		{"its pool under another name", Request{Key: plan.Key{Namespace: "attacker", Name: "x"}, Metadata: buildMetadata(), Half: Whole}, false},
	} {
		preferred = false
		if _, err := r.engine.Answer(t.Context(), c.request); err != nil {
			t.Fatal(err)
		}
		if preferred != c.want {
			t.Errorf("%s: preferred: %v, want %v", c.name, preferred, c.want)
		}
	}
}
