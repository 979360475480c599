package engine_test

import (
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/engine"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/fleet"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/plan"
)

// TestFallbackIsReported has callers that ask for count exact and cannot get it:
// without a view of Kubernetes, and from a namespace out of view.
func TestFallbackIsReported(t *testing.T) {
	for _, inCluster := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			url, err := adoqueue.ParseOrganizationURL("https://dev.azure.com/contoso")
			if err != nil {
				t.Fatal(err)
			}
			core, logs := observer.New(zap.InfoLevel)
			options := engine.Options{
				Organizations: []engine.Organization{{URL: url, Queue: queue{"linux": {
					Pool: adoqueue.Pool{ID: 1, Name: "linux"}, Requests: []*adoqueue.JobRequest{{ID: 1}}, RequestedAt: time.Now(),
				}}}},
				MaxAge: time.Second, Timeout: time.Second, Logger: zap.New(core),
			}
			if inCluster {
				options.Cluster = view{fleet.NewIndex(time.Minute)}
			}
			e := engine.New(options)
			defer e.Close()
			ask := func() engine.Answer {
				t.Helper()
				a, err := e.Answer(t.Context(), engine.Request{
					Key: plan.Key{Namespace: "elsewhere", Name: "build"}, Metadata: map[string]string{"poolName": "linux", "count": "exact"},
				})
				if err != nil {
					t.Fatal(err)
				}
				return a
			}
			if a := ask(); a.Value != 1 || a.Asked != "exact" || a.Used != "owned" {
				t.Errorf("got %+v, want 1 with owned in place of exact", a)
			}
			if n := logs.Len(); n != 0 {
				t.Errorf("logged %d lines at once; a new ScaledJob comes into view a moment later", n)
			}
			for range 10 {
				time.Sleep(5 * time.Second)
				ask()
			}
			if n := logs.FilterMessage("a trigger gets another count than it asks for").Len(); n != 1 {
				t.Errorf("logged %d times, want once", n)
			}
		})
	}
}
