package chart_test

import (
	"path/filepath"
	"testing"

	"helm.sh/helm/v4/pkg/chart/v2/lint"
	"helm.sh/helm/v4/pkg/chart/v2/lint/support"
)

// TestLint is helm lint --strict: of the chart for each of the examples, and of values
// that helm lint finds something in.
func TestLint(t *testing.T) {
	path, err := filepath.Abs(chartDir)
	if err != nil {
		t.Fatal(err)
	}
	cases := examples(t)
	cases["default"] = map[string]any{}
	cases["required"] = parse(t, basis)
	cases["switched off"] = map[string]any{"enabled": false}
	for name, values := range cases {
		t.Run(name, func(t *testing.T) {
			for _, message := range lint.RunAll(path, values, release.Namespace).Messages {
				if message.Severity >= support.WarningSev {
					t.Error(message)
				}
			}
		})
	}
	if lint.RunAll(path, parse(t, basis+"unknown: x"), release.Namespace).HighestSeverity < support.ErrorSev {
		t.Error("helm lint accepts anything")
	}
}
