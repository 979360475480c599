package engine_test

import (
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/engine"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/fleet"
)

// TestUnknownAgents has a Job wait while an agent of no Job in view runs a request.
// One that is named after a pod of the ScaledJob is no reason to warn: its Job was
// deleted, and it finishes first.
func TestUnknownAgents(t *testing.T) {
	for agent, warnings := range map[string]int{"aca-agent-7f3c2": 1, "build-hjklm-bcdfg": 0} {
		t.Run(agent, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWarmPool(t, false, map[string]string{"minIdle": "1"})
				w.engine.Close()
				var messages []string
				url, err := adoqueue.ParseOrganizationURL("https://dev.azure.com/contoso")
				if err != nil {
					t.Fatal(err)
				}
				w.engine = engine.New(engine.Options{
					Organizations: []engine.Organization{{URL: url, Queue: w.queue}}, Cluster: events{w.index, &messages},
					MaxAge: time.Second, Timeout: time.Second, Logger: zap.NewNop(),
				})
				defer w.engine.Close()
				w.index.SetJob(fleet.Job{UID: "1", Namespace: "ado", Name: "build-bcdfg", ScaledJob: "build", Created: time.Now()})
				time.Sleep(5 * time.Minute)
				w.queue.last = &adoqueue.Snapshot{Pool: w.queue.last.Pool, RequestedAt: time.Now(), Requests: []*adoqueue.JobRequest{
					{ID: 1, State: adoqueue.Running, Agent: agent, AssignTime: time.Now()},
				}}
				_, err = w.engine.Answer(t.Context(), engine.Request{Key: w.scaledJob.Key, Metadata: w.scaledJob.Triggers[0], Half: engine.Metric})
				if err != nil || len(messages) != warnings {
					t.Errorf("got %q, %v, want %d warnings", messages, err, warnings)
				}
			})
		})
	}
}
