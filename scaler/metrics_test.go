package scaler_test

import (
	"strings"
	"testing"

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
