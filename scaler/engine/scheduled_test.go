package engine_test

import (
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/engine"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/fleet"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/plan"
)

// TestScheduled has pods scaled by the schedule alone, ten minutes ahead and while
// Azure DevOps does not answer.
func TestScheduled(t *testing.T) {
	url, err := adoqueue.ParseOrganizationURL("https://dev.azure.com/contoso")
	if err != nil {
		t.Fatal(err)
	}
	for _, inView := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			index := fleet.NewIndex(2 * time.Minute)
			e := engine.New(engine.Options{
				Organizations: []engine.Organization{{URL: url, Queue: &slowQueue{delay: time.Hour}}}, Cluster: view{index},
				MaxAge: time.Second, Timeout: time.Second, Logger: zap.NewNop(),
			})
			defer e.Close()
			key := plan.Key{Namespace: "ado", Name: "nodes"}
			begins := time.Now().Add(20 * time.Minute).UTC()
			metadata := map[string]string{
				"scalerAddress": "scaler:9090", "poolName": "linux", "count": "scheduled", "minIdle": "1",
				"warm": begins.Format("15:04-") + begins.Add(time.Hour).Format("15:04") + " 3 +20%",
			}
			if inView {
				index.SetScaledObject(&fleet.ScaledObject{Key: key, Triggers: []fleet.ObjectTrigger{{Metadata: metadata}}})
			}
			ask := func(want int64) {
				t.Helper()
				a, err := e.Answer(t.Context(), engine.Request{Key: key, Metadata: metadata, Half: engine.Whole})
				if err != nil || a.Value != want || !a.Active || a.Used != "scheduled" {
					t.Errorf("in view %t at %s: got %+v, %v, want %d", inView, time.Now().UTC(), a, err, want)
				}
			}
			ask(1)
			time.Sleep(10*time.Minute - time.Second)
			ask(1)
			time.Sleep(time.Second)
			ask(3)
		})
	}
}
