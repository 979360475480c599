package engine

import (
	"testing"
	"time"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/fleet"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/plan"
)

// TestAheadIsBounded has a ScaledJob that KEDA is to ask for every 68 years.
func TestAheadIsBounded(t *testing.T) {
	m := &member{scaledJob: &fleet.ScaledJob{PollingInterval: (1<<31 - 1) * time.Second}, group: &plan.Group{}}
	if ahead := (&pool{}).ahead(m); ahead != maxAhead {
		t.Errorf("got %v, want %v", ahead, maxAhead)
	}
}

// TestFormerMembersAreForgotten has a pool remember nothing of a ScaledJob that
// serves it no more.
func TestFormerMembersAreForgotten(t *testing.T) {
	r := newRacing(t)
	r.SetScaledJob(fleet.NewScaledJob(buildKey, buildMetadata()))
	if _, err := r.engine.Answer(t.Context(), Request{Key: buildKey, Metadata: buildMetadata(), Half: Whole}); err != nil {
		t.Fatal(err)
	}
	p := r.engine.pools[poolRef{organization: r.engine.parsing.Organizations[0], name: "linux"}]
	p.startupsOf(buildKey).add(time.Minute)
	r.DeleteScaledJob(buildKey)
	p.unknown.reported = map[plan.Key]bool{buildKey: true}
	snapshot, _ := oneQueued{}.Snapshot(t.Context(), adoqueue.PoolRef{}, 0)
	for range 2 { // it is deleted, and then gone
		if _, err := r.engine.decide(t.Context(), p, snapshot); err != nil {
			t.Fatal(err)
		}
	}
	if len(p.backoffs) != 0 || len(p.startups) != 0 || len(p.unknown.reported) != 0 {
		t.Errorf("%d back-offs, %d start-ups and %d warnings are remembered", len(p.backoffs), len(p.startups), len(p.unknown.reported))
	}
}
