//go:build !nodemo

package main

import (
	"time"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue/adotest"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/explain/page"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/fleet"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/plan"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/trigger"
)

const (
	demoNamespace = "demo"
	// demoAddress is how the triggers name the scaler.
	demoAddress = "demo"
)

// demoWay is one of the ways in which the demo scales the same jobs: a pool, and a
// ScaledJob with the pool's name.
type demoWay struct {
	pool, title, note string
	// builtIn is set if KEDA counts as its built-in scaler does unless its trigger says
	// otherwise. It polls this scaler all the same, so that the page shows the pool.
	builtIn bool
}

var demoWays = []demoWay{
	{pool: "linux", title: "This scaler", note: "It counts the jobs that no agent is on its way to, and the unfinished Jobs."},
	{
		pool: "linux-built-in", title: "KEDA's built-in rule", builtIn: true,
		note: "It counts all unfinished jobs of the pool, those with agents of another team included. This scaler only watches.",
	},
}

// demoPools are the names of the pools.
func demoPools() (names []string) {
	for _, way := range demoWays {
		names = append(names, way.pool)
	}
	return names
}

func (w demoWay) key() plan.Key { return plan.Key{Namespace: demoNamespace, Name: w.pool} }

// metadata is what KEDA sends of the trigger.
func (w demoWay) metadata() map[string]string {
	return map[string]string{trigger.ScalerAddress: demoAddress, "poolName": w.pool}
}

// demoView is Kubernetes as the scaler sees it, with the ScaledJobs.
func demoView(interval time.Duration) *fleet.Fleet {
	view := fleet.Simulated(time.Minute)
	view.ShowPods()
	for _, way := range demoWays {
		scaledJob := fleet.NewScaledJob(way.key(), way.metadata())
		scaledJob.PollingInterval = interval
		view.SetScaledJob(scaledJob)
	}
	return view
}

// contenders compares the ways by what has come of them so far.
func (k *demoKEDA) contenders() (all []page.Contender) {
	for _, way := range demoWays {
		k.mu.Lock()
		c := page.Contender{Name: way.title, Note: way.note, Pool: way.pool, Jobs: k.created[way.pool], Surplus: k.surplus[way.pool]}
		k.mu.Unlock()
		for _, r := range k.standIn.Requests(way.pool) {
			if !r.ReceiveTime.IsZero() && !ofOthers(&r) {
				c.Waits = append(c.Waits, r.ReceiveTime.Sub(r.QueueTime))
			}
			if r.State == adotest.Finished && !ofOthers(&r) {
				c.Done++
			}
		}
		all = append(all, c)
	}
	return all
}
