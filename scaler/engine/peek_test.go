package engine_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/engine"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/fleet"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/plan"
)

// TestPeekIsNoPoll has a person ask for the ScaledJob a, which KEDA does not poll,
// while KEDA polls z on the same pool.
func TestPeekIsNoPoll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		queue, index, a, z := twoOnAPool()
		url, err := adoqueue.ParseOrganizationURL("https://dev.azure.com/contoso")
		if err != nil {
			t.Fatal(err)
		}
		e := engine.New(engine.Options{
			Organizations: []engine.Organization{{URL: url, Queue: queue}}, Cluster: view{index}, Address: "scaler:9090",
			MaxAge: time.Second, Timeout: time.Second, Logger: zap.NewNop(),
		})
		defer e.Close()
		peek := func(key plan.Key, metadata map[string]string, value int64, count, note string) {
			t.Helper()
			queue.renew()
			answer, got, err := e.Peek(t.Context(), engine.Request{Key: key, Metadata: metadata})
			if err != nil || answer.Value != value || answer.Used != count || !strings.Contains(got, note) || (got == "") != (note == "") {
				t.Errorf("%s %v: %+v, note %q, %v, want %d by %s, note %q", key.Name, metadata, answer, got, err, value, count, note)
			}
		}
		peek(a.Key, a.Triggers[0], 1, "exact", "")
		peek(a.Key, nil, 1, "exact", "")
		peek(z.Key, z.Triggers[0], 0, "exact", "")
		if statuses := e.Statuses(); len(statuses) != 0 {
			t.Errorf("it counts as answered to KEDA: %+v", statuses)
		}
		for range 15 {
			queue.renew()
			if _, err := e.Answer(t.Context(), engine.Request{Key: z.Key, Metadata: z.Triggers[0], Half: engine.Metric}); err != nil {
				t.Fatal(err)
			}
			peek(z.Key, nil, z1(e, z), "exact", "")
			time.Sleep(5 * time.Second)
			_, _, _ = e.Peek(t.Context(), engine.Request{Key: a.Key, Metadata: a.Triggers[0]})
		}
		peek(a.Key, a.Triggers[0], 0, "exact", "the ScaledJob is not asked for by KEDA")
		peek(z.Key, nil, 1, "exact", "")
		peek(a.Key, map[string]string{"poolName": "linux", "capabilities": "gpu"}, 1, "owned", "the ScaledJob has other metadata")
		peek(plan.Key{Namespace: "ado", Name: "b"}, map[string]string{"poolName": "linux"}, 1, "owned", "no ScaledJob in view has this name")
		peek(z.Key, nil, 1, "exact", "")
		_, _, err = e.Peek(t.Context(), engine.Request{Key: plan.Key{Namespace: "default", Name: "a"}})
		if err == nil || !strings.Contains(err.Error(), "no ScaledJob default/a is in view; check its name and namespace") {
			t.Errorf("in another namespace, without metadata: %v", err)
		}
	})
}

// z1 is the metric that KEDA got last for z.
func z1(e *engine.Engine, z *fleet.ScaledJob) int64 {
	for _, s := range e.Statuses() {
		if s.Key == z.Key {
			return s.Answer.Value
		}
	}
	return -1
}
