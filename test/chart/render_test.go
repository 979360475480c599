// Package chart_test holds the Helm chart to what it promises: by its golden
// files, on a real API server, and by the agents that it creates.
package chart_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"helm.sh/helm/v4/pkg/chart/common"
	"helm.sh/helm/v4/pkg/chart/common/util"
	chart "helm.sh/helm/v4/pkg/chart/v2"
	"helm.sh/helm/v4/pkg/chart/v2/loader"
	"helm.sh/helm/v4/pkg/engine"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"
)

const (
	chartDir = "../../deploy/helm/ado-agent-orchestrator"
	notes    = "ado-agent-orchestrator/templates/NOTES.txt"
	testPod  = "ado-agent-orchestrator/templates/tests/query.yaml"
)

// release is what the chart is rendered for.
var release = common.ReleaseOptions{Name: "ado-agent-orchestrator", Namespace: "ado", Revision: 1, IsInstall: true}

func load(t *testing.T) *chart.Chart {
	t.Helper()
	loaded, err := loader.Load(chartDir)
	if err != nil {
		t.Fatal(err)
	}
	if err := loaded.Validate(); err != nil {
		t.Fatal(err)
	}
	return loaded
}

// files returns the chart's rendered files, or why it refuses the values. As with
// helm template, there is no cluster to look anything up in.
func files(t *testing.T, values map[string]any) (map[string]string, error) {
	t.Helper()
	return filesOf(t, values, release)
}

// filesOf returns the rendered files of another release.
func filesOf(t *testing.T, values map[string]any, of common.ReleaseOptions) (map[string]string, error) {
	t.Helper()
	loaded, err := shared()
	if err != nil {
		t.Fatal(err)
	}
	all, err := util.ToRenderValues(loaded, values, of, capabilities())
	if err != nil {
		return nil, err
	}
	return engine.Render(loaded, all)
}

// shared is the chart for tests that do not change it.
var shared = sync.OnceValues(func() (*chart.Chart, error) { return loader.Load(chartDir) })

// capabilities are those of a cluster with KEDA.
func capabilities() *common.Capabilities {
	known := *common.DefaultCapabilities
	known.APIVersions = append(slices.Clone(known.APIVersions), "keda.sh/v1alpha1")
	return &known
}

// manifests puts the objects of rendered files in one text.
func manifests(files map[string]string) string {
	var names []string
	for name, text := range files {
		if name != notes && !strings.HasSuffix(name, ".tpl") && strings.TrimSpace(text) != "" {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	var all strings.Builder
	for _, name := range names {
		text := strings.TrimPrefix(strings.TrimSpace(files[name]), "---\n")
		all.WriteString("---\n# Source: " + strings.TrimPrefix(name, "ado-agent-orchestrator/") + "\n" + text + "\n")
	}
	return all.String()
}

func objects(t *testing.T, manifests string) []*unstructured.Unstructured {
	t.Helper()
	var list []*unstructured.Unstructured
	for document := range strings.SplitSeq("\n"+manifests, "\n---\n") {
		object := &unstructured.Unstructured{}
		if err := yaml.UnmarshalStrict([]byte(document), &object.Object); err != nil {
			t.Fatalf("%v in\n%s", err, document)
		}
		if len(object.Object) > 0 {
			list = append(list, object)
		}
	}
	return list
}

// render renders values that the chart takes.
func render(t *testing.T, values map[string]any) []*unstructured.Unstructured {
	t.Helper()
	rendered, err := files(t, values)
	if err != nil {
		t.Fatal(err)
	}
	return objects(t, manifests(rendered))
}

// ofKind are the objects of one kind.
func ofKind(list []*unstructured.Unstructured, kind string) []*unstructured.Unstructured {
	return slices.DeleteFunc(slices.Clone(list), func(o *unstructured.Unstructured) bool { return o.GetKind() != kind })
}

func read(t *testing.T, path string) string {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

// parse reads values as they stand in a file.
func parse(t *testing.T, text string) map[string]any {
	t.Helper()
	values, err := loader.LoadValues(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return values
}

// examples are the value files of users, by name.
func examples(t *testing.T) map[string]map[string]any {
	t.Helper()
	paths, err := filepath.Glob("testdata/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]map[string]any{}
	for _, path := range paths {
		all[strings.TrimSuffix(filepath.Base(path), ".yaml")] = parse(t, read(t, path))
	}
	return all
}
