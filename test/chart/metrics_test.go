package chart_test

import (
	"encoding/json"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/VictoriaMetrics/metricsql"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// TestQueries parses the queries of alerts and dashboard. docs/operations.md has
// to list their metrics.
func TestQueries(t *testing.T) {
	list := render(t, examples(t)["monitored"])
	queries := append(alertQueries(t, list), dashboardQueries(t, list)...)
	if len(queries) < 15 {
		t.Fatalf("there are only %d", len(queries))
	}
	documented := read(t, "../../docs/operations.md")
	metric := regexp.MustCompile(`(ado_agent_orchestrator|grpc_server)_\w+`)
	for _, query := range queries {
		if _, err := metricsql.Parse(query); err != nil {
			t.Errorf("%s: %v", query, err)
		}
		names := metric.FindAllString(query, -1)
		if len(names) == 0 {
			t.Errorf("%s names no metric", query)
		}
		for _, name := range names {
			if name != "grpc_server_handled_total" && !strings.Contains(documented, strings.TrimSuffix(name, "_bucket")) {
				t.Errorf("docs/operations.md does not list the metric %s", name)
			}
		}
	}
}

func alertQueries(t *testing.T, list []*unstructured.Unstructured) (queries []string) {
	t.Helper()
	groups, _, err := unstructured.NestedSlice(ofKind(list, "PrometheusRule")[0].Object, "spec", "groups")
	if err != nil {
		t.Fatal(err)
	}
	for _, group := range groups {
		for _, rule := range group.(map[string]any)["rules"].([]any) {
			queries = append(queries, rule.(map[string]any)["expr"].(string))
		}
	}
	return queries
}

func dashboardQueries(t *testing.T, list []*unstructured.Unstructured) (queries []string) {
	t.Helper()
	configMap := ofKind(list, "ConfigMap")[0]
	text, _, _ := unstructured.NestedString(configMap.Object, "data", "ado-agent-orchestrator.json")
	if want := read(t, filepath.Join(chartDir, dashboardFile)); strings.TrimSpace(text) != strings.TrimSpace(want) {
		t.Error("the ConfigMap does not hold the dashboard as it is in its file")
	}
	var dashboard struct {
		Panels []struct {
			Title   string
			Targets []struct{ Expr string }
		}
	}
	if err := json.Unmarshal([]byte(text), &dashboard); err != nil {
		t.Fatal(err)
	}
	// What Grafana puts in.
	variables := strings.NewReplacer("$__rate_interval", "5m", "$organization", ".*", "$pool", ".*")
	for _, panel := range dashboard.Panels {
		if panel.Title == "" || len(panel.Targets) == 0 {
			t.Errorf("a panel %q asks for nothing", panel.Title)
		}
		for _, target := range panel.Targets {
			queries = append(queries, variables.Replace(target.Expr))
		}
	}
	return queries
}
