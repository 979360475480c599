package plan_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/plan"
)

// BenchmarkMake plans for a large pool: 1,000 queued requests with 200
// different lists of demands, 100 groups and 2,000 Jobs, of which half wait.
func BenchmarkMake(b *testing.B) {
	in := largeInput()
	b.ReportAllocs()
	for b.Loop() {
		plan.Make(in)
	}
}

func largeInput() plan.Input {
	const groups, jobs, queued = 100, 2000, 1000
	snapshot := &adoqueue.Snapshot{RequestedAt: epoch}
	in := plan.Input{Snapshot: snapshot}
	for g := range groups {
		// Each has one capability that no other has, one of ten and one of twenty.
		capabilities := adoqueue.Capabilities{
			fmt.Sprintf("own-%d", g): "", fmt.Sprintf("zone-%d", g%10): "", fmt.Sprintf("size-%d", g%20): "",
		}
		in.Groups = append(in.Groups, plan.Group{
			Key:          plan.Key{Namespace: "ado", Name: fmt.Sprintf("pool-%03d", g)},
			Serves:       func(r *adoqueue.JobRequest) bool { return len(capabilities.Unmet(r.Demands)) == 0 },
			Capabilities: len(capabilities), Priority: g % 3, MinIdle: g % 2, MaxReplicas: 25,
		})
	}
	for j := range jobs {
		agent := fmt.Sprintf("pool-%03d-aaaaa-%05d", j%groups, j)
		in.Jobs = append(in.Jobs, plan.Job{
			UID: fmt.Sprintf("uid-%d", j), Group: in.Groups[j%groups].Key,
			Agents: []string{agent}, Created: epoch.Add(-time.Duration(j) * time.Second),
		})
		if j >= jobs/2 {
			snapshot.Requests = append(snapshot.Requests, &adoqueue.JobRequest{
				ID: int64(j), State: adoqueue.Running, Agent: agent,
			})
		}
	}
	for i := range queued {
		demands := []adoqueue.Demand{
			adoqueue.ParseDemand("Agent.Version -gtVersion 3.225.0"),
			adoqueue.ParseDemand(fmt.Sprintf("zone-%d", i%10)),
		}
		switch i % 4 {
		case 0:
			demands = append(demands, adoqueue.ParseDemand(fmt.Sprintf("own-%d", i%groups)))
		case 1:
			demands = append(demands, adoqueue.ParseDemand(fmt.Sprintf("size-%d", i%20)))
		}
		snapshot.Requests = append(snapshot.Requests, &adoqueue.JobRequest{ID: int64(jobs + i), Demands: demands})
	}
	return in
}
