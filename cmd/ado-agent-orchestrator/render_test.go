package main

import (
	"strings"
	"testing"
)

// TestRenderForOlderKEDA has what an older KEDA does not have reported, and made
// up for.
func TestRenderForOlderKEDA(t *testing.T) {
	const labels, annotations = "template.metadata.labels: omitted", "template.metadata.annotations: omitted"
	for _, tt := range []struct {
		name, version, crd string
		omits              bool
		log                []string
		exit               int
	}{
		{name: "newest"},
		{name: "2.16", version: "2.16.0"},
		{name: "2.15", version: "2.15.1", omits: true, log: []string{labels, annotations, "PodDisruptionBudget ado-agent-orchestrator-agents"}},
		{name: "CRD", crd: "testdata/crd-closed.yaml", omits: true, log: []string{labels, annotations, "PodDisruptionBudget"}},
		{name: "too old", version: "2.13", log: []string{"KEDA_VERSION (--keda-version): KEDA 2.13 is too old"}, exit: 1},
		{name: "no CRD", crd: "testdata/settings.yaml", log: []string{"testdata/settings.yaml: must hold the CustomResourceDefinition"}, exit: 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			args := []string{"render"}
			if tt.version != "" {
				args = append(args, "--keda-version", tt.version)
			}
			if tt.crd != "" {
				args = append(args, "--keda-crd", tt.crd)
			}
			got, log, exit := output(t, append([]string{"SCALER_ADDRESS=scaler:9090", namedSecret}, older...), args...)
			if exit != tt.exit || len(tt.log) == 0 && log != "" {
				t.Fatalf("exit %d: %s", exit, log)
			}
			for _, want := range tt.log {
				if !strings.Contains(log, want) {
					t.Errorf("the log lacks %q: %s", want, log)
				}
			}
			if exit != 0 {
				return
			}
			if kept := strings.Contains(got, "safe-to-evict"); kept == tt.omits {
				t.Errorf("pods are annotated: %v", kept)
			}
			if protected := strings.Contains(got, "kind: PodDisruptionBudget"); protected != tt.omits {
				t.Errorf("there is a PodDisruptionBudget: %v", protected)
			}
		})
	}
}
