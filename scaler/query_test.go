package scaler_test

import (
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/proto/externalscaler"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/fleet"
)

// TestQueryLeavesNothingBehind compares all metrics before and after queries that
// succeed and fail, and wants no log of them.
func TestQueryLeavesNothingBehind(t *testing.T) {
	ado := azureDevOps(t)
	build := scaledJob("build")
	registry := prometheus.NewRegistry()
	b := start(t, benchOptions{cluster: view([]*fleet.ScaledJob{build}), registry: registry}, ado.URL())
	scaler.NewMetrics(registry, b.engine)
	queue(t, ado)
	b.settle(t, asking(build), 1)
	logged := b.logs.Len()
	before := gathered(t, registry)
	queries := metadata.AppendToOutgoingContext(t.Context(), scaler.QueryHeader, "1")

	var header metadata.MD
	answer, err := b.client.GetMetrics(queries, &externalscaler.GetMetricsRequest{ScaledObjectRef: asking(build)}, grpc.Header(&header))
	if err != nil || answer.GetMetricValues()[0].GetMetricValue() != 1 || header.Get(scaler.CountHeader)[0] != "exact" || header.Get(scaler.NoteHeader) != nil {
		t.Errorf("%v, %v, %v", answer, header, err)
	}
	if active, err := b.client.IsActive(queries, asking(build)); err != nil || !active.GetResult() {
		t.Errorf("%v, %v", active, err)
	}
	other := ref("poolName", "Linux", "capabilities", "gpu")
	if _, err := b.client.GetMetrics(queries, &externalscaler.GetMetricsRequest{ScaledObjectRef: other}, grpc.Header(&header)); err != nil ||
		header.Get(scaler.CountHeader)[0] != "owned" || header.Get(scaler.NoteHeader)[0] != "the ScaledJob has other metadata" {
		t.Errorf("other metadata: %v, %v", header, err)
	}
	if _, err := b.client.IsActive(queries, ref("poolName", "none")); status.Code(err) != codes.NotFound {
		t.Errorf("a pool that does not exist: %v", err)
	}
	if after := gathered(t, registry); after != before {
		t.Errorf("the metrics have changed from %s to %s", before, after)
	}
	if n := b.logs.Len(); n != logged {
		t.Errorf("logged %v", b.logs.All()[logged:])
	}
}

// gathered returns all metrics as text.
func gathered(t *testing.T, registry *prometheus.Registry) string {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	for _, family := range families {
		for _, metric := range family.GetMetric() {
			text.WriteString(family.GetName() + " " + metric.String() + "\n")
		}
	}
	return text.String()
}
