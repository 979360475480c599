package chart_test

import (
	"encoding/json"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/prometheus/promql/parser"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// TestQueries parses the queries of alerts and dashboard, and looks for their
// metrics, with their labels, among those that docs/metrics.md lists: a test of the
// program holds that list to what is exposed.
func TestQueries(t *testing.T) {
	list := render(t, examples(t)["monitored"])
	queries := append(alertQueries(t, list), dashboardQueries(t, list)...)
	if len(queries) < 15 {
		t.Fatalf("there are only %d", len(queries))
	}
	known := documentedMetrics(t)
	for _, query := range queries {
		expr, err := parser.NewParser(parser.Options{}).ParseExpr(query)
		if err != nil {
			t.Errorf("%s: %v", query, err)
			continue
		}
		selectors := 0
		parser.Inspect(expr, func(node parser.Node, _ []parser.Node) error {
			selector, ok := node.(*parser.VectorSelector)
			if !ok {
				return nil
			}
			selectors++
			labels, ok := known[strings.TrimSuffix(strings.TrimSuffix(selector.Name, "_bucket"), "_count")]
			if !ok {
				t.Errorf("docs/metrics.md knows no metric %s", selector.Name)
			}
			for _, matcher := range selector.LabelMatchers {
				if matcher.Name != "__name__" && matcher.Name != "le" && !slices.Contains(labels, matcher.Name) {
					t.Errorf("%s has no label %s", selector.Name, matcher.Name)
				}
			}
			return nil
		})
		if selectors == 0 {
			t.Errorf("%s names no metric", query)
		}
	}
}

// documentedMetrics returns the labels of the metrics in docs/metrics.md, and of some
// that others define.
func documentedMetrics(t *testing.T) map[string][]string {
	t.Helper()
	known := map[string][]string{
		"up":                        {"namespace", "job"},
		"grpc_server_handled_total": {"grpc_service", "grpc_method", "grpc_code"},
	}
	for _, match := range regexp.MustCompile("(?m)^\\| `(ado_\\w+)(?:\\{([^}]*)\\})?` \\|").FindAllStringSubmatch(read(t, "../../docs/metrics.md"), -1) {
		known[match[1]] = strings.Split(match[2], ",")
	}
	if len(known) < 10 {
		t.Fatalf("docs/metrics.md lists %d metrics", len(known))
	}
	return known
}

// TestDocumentedAlerts compares the alerts with those that docs/metrics.md lists.
func TestDocumentedAlerts(t *testing.T) {
	page := read(t, "../../docs/metrics.md")
	documented := map[string]string{}
	for _, match := range regexp.MustCompile("(?m)^\\| `(A\\w+)` \\| (\\w+) \\|").FindAllStringSubmatch(page, -1) {
		documented[match[1]] = match[2]
	}
	exist := map[string]string{}
	for name, rule := range alertRules(t) {
		exist[name] = rule.Labels["severity"]
	}
	if diff := cmp.Diff(exist, documented); diff != "" {
		t.Errorf("docs/metrics.md lists other alerts: %s", diff)
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
		Templating struct {
			List []struct{ Type, Query string }
		}
		Panels []struct {
			Title   string
			Targets []struct{ Expr string }
		}
	}
	if err := json.Unmarshal([]byte(text), &dashboard); err != nil {
		t.Fatal(err)
	}
	// Grafana inserts these.
	variables := strings.NewReplacer("$__rate_interval", "5m", "$organization", ".*", "$pool", ".*", "$scaledjob", ".*", "$phase", ".*")
	for _, variable := range dashboard.Templating.List {
		match := regexp.MustCompile(`^label_values\((.*), (\w+)\)$`).FindStringSubmatch(variables.Replace(variable.Query))
		if variable.Type == "query" && match == nil {
			t.Errorf("cannot read the variable's query %s", variable.Query)
		}
		if match != nil {
			queries = append(queries, "count by ("+match[2]+") ("+match[1]+")")
		}
	}
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
