package scaler_test

import (
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue/adotest"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/fleet"
)

// TestMetricsOfWhatIsInView wants series of ScaledJobs in view that got an answer,
// and of nobody else who asks.
func TestMetricsOfWhatIsInView(t *testing.T) {
	ado := azureDevOps(t)
	build, silent := scaledJob("build"), scaledJob("silent")
	kube := view([]*fleet.ScaledJob{build, silent})
	b := start(t, benchOptions{cluster: kube}, ado.URL())
	registry := prometheus.NewRegistry()
	scaler.NewMetrics(registry, b.engine)
	expect := func(step, want string) {
		t.Helper()
		if err := testutil.GatherAndCompare(registry, strings.NewReader(want), "ado_agent_orchestrator_metric_value"); err != nil {
			t.Errorf("%s: %v", step, err)
		}
	}
	expect("nobody asked", "")
	ado.Inject(adotest.Fault{Status: 503})
	_, _ = b.metric(t.Context(), asking(build))
	expect("no answer", "")
	ado.ClearFaults()
	queue(t, ado)
	b.settle(t, asking(build), 1)
	stranger := ref("poolName", "Linux")
	stranger.Name = "stranger"
	b.settle(t, stranger, 1)
	expect("an answer", `# HELP ado_agent_orchestrator_metric_value The value that KEDA last got for a ScaledJob and a pool.
# TYPE ado_agent_orchestrator_metric_value gauge
ado_agent_orchestrator_metric_value{name="build",namespace="ado",pool="Linux"} 1
`)
	kube.DeleteScaledJob(build.Key)
	expect("deleted", "")
}

// TestMetricsOfFailures counts the Jobs in a row that fail before they take a job,
// until an hour after the last one.
func TestMetricsOfFailures(t *testing.T) {
	ado := azureDevOps(t)
	build := scaledJob("build")
	kube := view([]*fleet.ScaledJob{build})
	b := start(t, benchOptions{cluster: kube}, ado.URL())
	registry := prometheus.NewRegistry()
	scaler.NewMetrics(registry, b.engine)
	expect := func(failures float64, held bool) {
		t.Helper()
		got, until := gauge(t, registry, "ado_agent_orchestrator_consecutive_start_failures"), gauge(t, registry, "ado_agent_orchestrator_backoff_until_timestamp_seconds")
		if got != failures || (until != 0) != held {
			t.Errorf("%v failures, held back until %v, want %v failures and held back: %v", got, until, failures, held)
		}
	}
	failed := func(ago time.Duration) {
		t.Helper()
		gone := job("build-bcdfg")
		gone.Created, gone.Ended, gone.Failed = time.Now().Add(-ago-time.Second), time.Now().Add(-ago), true
		kube.set(gone)
	}
	queue(t, ado)
	b.settle(t, asking(build), 1)
	expect(0, false)
	failed(2 * time.Hour)
	b.settle(t, asking(build), 1)
	expect(0, false)
	failed(time.Minute)
	b.settle(t, asking(build), 1)
	expect(2, false)
	failed(4 * time.Second)
	b.settle(t, asking(build), 0)
	expect(3, true)
}
