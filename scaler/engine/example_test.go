package engine_test

import (
	"context"
	"fmt"
	"time"

	"go.uber.org/zap"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/engine"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/fleet"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/plan"
)

// An Engine matches the queue of a pool with the Jobs in Kubernetes. The number of
// Jobs that KEDA creates is the value minus its unfinished Jobs.
func ExampleEngine_Answer() {
	// Two jobs are queued, and one Job is there whose agent has not come yet.
	pool := adoqueue.Pool{ID: 1, Name: "linux"}
	azure := queue{"linux": {Pool: pool, RequestedAt: time.Now(), Requests: []*adoqueue.JobRequest{{ID: 1}, {ID: 2}}}}
	key := plan.Key{Namespace: "ado", Name: "linux-agents"}
	metadata := map[string]string{"scalerAddress": "scaler:9090", "poolName": "linux"}
	kubernetes := fleet.NewIndex(time.Minute)
	kubernetes.SetScaledJob(fleet.NewScaledJob(key, metadata))
	kubernetes.SetJob(fleet.Job{
		UID: "1", Namespace: key.Namespace, Name: "linux-agents-bcdfg", ScaledJob: key.Name, Created: time.Now(),
	})

	organization, err := adoqueue.ParseOrganizationURL("https://dev.azure.com/contoso")
	if err != nil {
		panic(err)
	}
	e := engine.New(engine.Options{
		Organizations: []engine.Organization{{URL: organization, Queue: azure}},
		Cluster:       view{kubernetes},
		MaxAge:        time.Minute,
		Timeout:       time.Second,
		Logger:        zap.NewNop(),
	})
	defer e.Close()

	answer, err := e.Answer(context.Background(), engine.Request{Key: key, Metadata: metadata})
	if err != nil {
		panic(err)
	}
	fmt.Println("count:", answer.Used)
	fmt.Println("value:", answer.Value, "with 1 unfinished Job, so 1 is missing")
	// Output:
	// count: exact
	// value: 2 with 1 unfinished Job, so 1 is missing
}
