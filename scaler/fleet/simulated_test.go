package fleet_test

import (
	"testing"
	"time"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/fleet"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/plan"
)

func TestSimulated(t *testing.T) {
	f := fleet.Simulated(time.Minute)
	defer f.Stop()
	key := plan.Key{Namespace: "demo", Name: "linux"}
	f.SetScaledJob(fleet.NewScaledJob(key))
	f.SetJob(fleet.Job{UID: "1", Namespace: "demo", Name: "linux-1", ScaledJob: "linux", Created: time.Now()})
	f.Warn("demo", "linux", "Reason", "nobody reads this")
	if jobs := f.JobsOf(key); len(jobs) != 1 || f.OutOfDate() != nil {
		t.Errorf("Jobs %+v, out of date: %v", jobs, f.OutOfDate())
	}
}
