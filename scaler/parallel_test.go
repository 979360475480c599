package scaler_test

import (
	"testing"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue/adotest"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/fleet"
)

// TestCapByParallelJobs has two pools in an organization with three parallel
// jobs, one of them in use.
func TestCapByParallelJobs(t *testing.T) {
	ado := adotest.Serve(t, adotest.Options{AllowUnmatched: true, ParallelJobs: 3})
	for _, pool := range []string{"Linux", "Windows"} {
		ado.AddPool(adotest.Pool{Name: pool})
		if _, err := ado.Queue(pool, adotest.Job{}); err != nil {
			t.Fatal(err)
		}
	}
	linux, windows := scaledJob("linux"), scaledJob("windows")
	windows.Triggers[0]["poolName"] = "Windows"
	kube := view([]*fleet.ScaledJob{linux, windows})
	run(t, ado, queue(t, ado), "somebody-else")
	b := start(t, benchOptions{cluster: kube, cap: true}, ado.URL())
	b.settle(t, asking(linux), 1)
	b.settle(t, asking(windows), 1)
	// The organization can run no more, whichever pool asks.
	queue(t, ado)
	for lists := ado.Count(adotest.OpJobRequests, 0); ado.Count(adotest.OpJobRequests, 0) < lists+4; {
		for _, s := range []*fleet.ScaledJob{linux, windows} {
			if value, err := b.metric(t.Context(), asking(s)); err != nil || value != 1 {
				t.Fatalf("%s: metric %v, %v, want 1", s.Key.Name, value, err)
			}
		}
	}

	unbounded := start(t, benchOptions{cluster: kube}, ado.URL())
	unbounded.settle(t, asking(linux), 2)
}

func TestNoCapWhereThereIsNoLimit(t *testing.T) {
	ado := adotest.Serve(t, adotest.Options{AllowUnmatched: true, Flavour: adotest.Server2019})
	ado.AddPool(adotest.Pool{Name: "Linux"})
	build := scaledJob("build")
	b := start(t, benchOptions{cluster: view([]*fleet.ScaledJob{build}), cap: true}, ado.URL())
	for n := range 3 {
		queue(t, ado)
		b.settle(t, asking(build), float64(n+1))
	}
	if n := b.logs.FilterMessage("agents are not bounded by the organization's parallel jobs, which cannot be read").Len(); n != 1 {
		t.Errorf("logged %d times, want once", n)
	}
}
