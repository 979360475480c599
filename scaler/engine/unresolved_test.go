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

// TestUnresolvedAfterStart has a scaler start while a Job of the ScaledJob a waits,
// whose pool and capabilities are in variables: nobody knows what it is for until
// KEDA asks for a, or is known not to. Meanwhile z gets no Job for a request that
// the Job may take.
func TestUnresolvedAfterStart(t *testing.T) {
	const address = "scaler:9090"
	for _, tt := range []struct {
		name      string
		asked     string // the capabilities that KEDA sends for a, "" if it does not ask
		want      int64  // what z gets then
		membersIn int
	}{
		{"others", "windows", 1, 2}, {"the same", "linux", 0, 2}, {"not asked for", "", 1, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				pool := &livePool{}
				pool.set(&adoqueue.JobRequest{ID: 1, Demands: []adoqueue.Demand{adoqueue.ParseDemand("linux")}})
				index := fleet.NewIndex(2 * time.Minute)
				a := fleet.NewScaledJob(plan.Key{Namespace: "ado", Name: "a"}, map[string]string{
					"scalerAddress": address, "poolNameFromEnv": "AZP_POOL", "capabilitiesFromEnv": "CAPABILITIES",
				})
				z := fleet.NewScaledJob(plan.Key{Namespace: "ado", Name: "z"}, map[string]string{
					"scalerAddress": address, "poolName": "linux", "capabilities": "linux",
				})
				a.PollingInterval, z.PollingInterval = 5*time.Second, 5*time.Second
				index.SetScaledJob(a)
				index.SetScaledJob(z)
				index.SetJob(fleet.Job{UID: "a-bcdfg", Namespace: "ado", Name: "a-bcdfg", ScaledJob: "a", Created: time.Now()})
				url, err := adoqueue.ParseOrganizationURL("https://dev.azure.com/contoso")
				if err != nil {
					t.Fatal(err)
				}
				e := engine.New(engine.Options{
					Organizations: []engine.Organization{{URL: url, Queue: pool}}, Cluster: view{index},
					MaxAge: time.Second, Timeout: time.Second, Logger: zap.NewNop(),
				})
				defer e.Close()
				ask := func(s *fleet.ScaledJob, metadata map[string]string) int64 {
					t.Helper()
					time.Sleep(time.Second)
					answer, err := e.Answer(t.Context(), engine.Request{Key: s.Key, Metadata: metadata, Half: engine.Metric})
					if err != nil {
						t.Fatal(err)
					}
					return answer.Value
				}
				for range 3 {
					if value := ask(z, z.Triggers[0]); value != 0 {
						t.Fatalf("z: %d, want 0 while the Job of a may be for it", value)
					}
				}
				if members := e.Members(); len(members) != 1 || members[0].Key != z.Key {
					t.Errorf("members %v, want z alone", members)
				}
				if tt.asked != "" {
					ask(a, map[string]string{"scalerAddress": address, "poolNameFromEnv": "linux", "capabilitiesFromEnv": tt.asked})
				} else {
					time.Sleep(time.Minute)
				}
				if value := ask(z, z.Triggers[0]); value != tt.want {
					t.Errorf("z: %d, want %d", value, tt.want)
				}
				if n := len(e.Members()); n != tt.membersIn {
					t.Errorf("%d members, want %d", n, tt.membersIn)
				}
			})
		})
	}
}

// TestUnresolvedWithoutValue has a variable that is empty or not there: KEDA leaves
// its key out, and so sends what the manifest says besides.
func TestUnresolvedWithoutValue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pool := &livePool{}
		pool.set(&adoqueue.JobRequest{ID: 1})
		index := fleet.NewIndex(2 * time.Minute)
		a := fleet.NewScaledJob(plan.Key{Namespace: "ado", Name: "a"}, map[string]string{
			"scalerAddress": "scaler:9090", "poolName": "linux", "priorityFromEnv": "PRIORITY",
		})
		a.PollingInterval = 5 * time.Second
		index.SetScaledJob(a)
		url, err := adoqueue.ParseOrganizationURL("https://dev.azure.com/contoso")
		if err != nil {
			t.Fatal(err)
		}
		e := engine.New(engine.Options{
			Organizations: []engine.Organization{{URL: url, Queue: pool}}, Cluster: view{index}, Address: "scaler:9090",
			MaxAge: time.Second, Timeout: time.Second, Logger: zap.NewNop(),
		})
		defer e.Close()
		sent := map[string]string{"scalerAddress": "scaler:9090", "poolName": "linux"}
		answer, err := e.Answer(t.Context(), engine.Request{Key: a.Key, Metadata: sent, Half: engine.Metric})
		if err != nil || answer.Value != 1 {
			t.Errorf("got %+v, %v, want 1", answer, err)
		}
		if n := len(e.Members()); n != 1 {
			t.Errorf("%d members, want 1", n)
		}
	})
}

// TestUnresolvedIdleAgents has no idle agent ended while the scaler does not know
// yet how many are wanted: KEDA knows, and has not asked since the start.
func TestUnresolvedIdleAgents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pool := &livePool{}
		pool.set()
		index := fleet.NewIndex(2 * time.Minute)
		a := fleet.NewScaledJob(plan.Key{Namespace: "ado", Name: "a"}, map[string]string{
			"scalerAddress": "scaler:9090", "poolName": "linux", "warm": "Mon 08:00-10:00 5", "minIdleFromEnv": "IDLE",
		})
		a.PollingInterval = 30 * time.Second
		index.SetScaledJob(a)
		index.SetJob(fleet.Job{UID: "a-bcdfg", Namespace: "ado", Name: "a-bcdfg", ScaledJob: "a", Created: time.Now(), Launcher: true})
		url, err := adoqueue.ParseOrganizationURL("https://dev.azure.com/contoso")
		if err != nil {
			t.Fatal(err)
		}
		e := engine.New(engine.Options{
			Organizations: []engine.Organization{{URL: url, Queue: pool}}, Cluster: view{index}, Address: "scaler:9090",
			MaxAge: time.Second, Timeout: time.Second, EndsIdle: true, Logger: zap.NewNop(),
		})
		defer e.Close()
		if groups, err := e.IdleGroups(t.Context()); err != nil || len(groups) != 0 {
			t.Errorf("got %+v, %v, want none yet", groups, err)
		}
		sent := map[string]string{"scalerAddress": "scaler:9090", "poolName": "linux", "warm": "Mon 08:00-10:00 5", "minIdleFromEnv": "1"}
		if _, err := e.Answer(t.Context(), engine.Request{Key: a.Key, Metadata: sent, Half: engine.Metric}); err != nil {
			t.Fatal(err)
		}
		if groups, err := e.IdleGroups(t.Context()); err != nil || len(groups) != 1 || groups[0].Needed != 1 {
			t.Errorf("got %+v, %v, want one that needs 1", groups, err)
		}
	})
}
