package chart_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/version"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/test/components"
)

// TestOnOldestKubernetes looks for fields that the oldest Kubernetes which the
// chart is for does not know, in all that the chart renders and in the plain
// manifests. kubectl and helm refuse such fields. The newest Kubernetes is that of
// the tests on a cluster; what both know, those in between do too.
func TestOnOldestKubernetes(t *testing.T) {
	oldest := version.MustParseGeneric(components.OldestKubernetes)
	if want := fmt.Sprintf("kubeVersion: \">=%d.%d.0-0\"\n", oldest.Major(), oldest.Minor()); !strings.Contains(read(t, chartDir+"/Chart.yaml"), want) {
		t.Errorf("the chart is not for %d.%d and later", oldest.Major(), oldest.Minor())
	}
	dir, err := components.KubernetesSchemas(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	k := &openAPI{t: t, dir: dir, documents: map[string]map[string]node{}}
	checked := map[string]int{}
	check := func(name string, list []*unstructured.Unstructured) {
		for _, object := range list {
			if k.check(name, object) {
				checked[object.GetKind()]++
			}
		}
	}
	for name, values := range examples(t) {
		check(name, render(t, values))
	}
	for _, name := range []string{"minimal.yaml", "older.yaml"} {
		check(name, objects(t, read(t, manifestsDir+name)))
	}
	for _, kind := range []string{"Deployment", "ScaledJob", "NetworkPolicy", "Role", "PodDisruptionBudget", "Pod", "Service"} {
		if checked[kind] == 0 {
			t.Errorf("no %s was checked: %v", kind, checked)
		}
	}
}

// openAPI is what a version of Kubernetes knows.
type openAPI struct {
	t         *testing.T
	dir       string
	documents map[string]map[string]node // schemas by the file, and by their reference
}

// node is a schema.
type node struct {
	Ref        string                    `json:"$ref"`
	AllOf      []node                    `json:"allOf"`
	Properties map[string]node           `json:"properties"`
	Items      *node                     `json:"items"`
	Values     *node                     `json:"additionalProperties"`
	Kinds      []schema.GroupVersionKind `json:"x-kubernetes-group-version-kind"`
}

const reference = "#/components/schemas/"

// document returns the schemas of a group and version, nil if there are none.
func (k *openAPI) document(of schema.GroupVersion) map[string]node {
	k.t.Helper()
	file := fmt.Sprintf("apis__%s__%s_openapi.json", of.Group, of.Version)
	if of.Group == "" {
		file = fmt.Sprintf("api__%s_openapi.json", of.Version)
	}
	if known, ok := k.documents[file]; ok {
		return known
	}
	content, err := os.ReadFile(filepath.Join(k.dir, file))
	if os.IsNotExist(err) {
		k.documents[file] = nil
		return nil
	}
	if err != nil {
		k.t.Fatal(err)
	}
	var read struct {
		Components struct {
			Schemas map[string]node `json:"schemas"`
		} `json:"components"`
	}
	if err := json.Unmarshal(content, &read); err != nil {
		k.t.Fatal(err)
	}
	k.documents[file] = read.Components.Schemas
	return k.documents[file]
}

// check reports an object's unknown fields. It returns false for one of a group
// that is not Kubernetes' own; the Job in a ScaledJob is.
func (k *openAPI) check(name string, object *unstructured.Unstructured) bool {
	k.t.Helper()
	kind, value := object.GroupVersionKind(), any(object.Object)
	if kind.Kind == "ScaledJob" {
		job, _, err := unstructured.NestedMap(object.Object, "spec", "jobTargetRef")
		if err != nil {
			k.t.Fatal(err)
		}
		kind, value = schema.GroupVersionKind{Group: "batch", Version: "v1", Kind: "Job"}, map[string]any{"spec": job}
	}
	document := k.document(kind.GroupVersion())
	for _, n := range document {
		if slices.Contains(n.Kinds, kind) {
			for _, field := range unknown(document, n, value, "") {
				k.t.Errorf("%s: %s %s: Kubernetes %s does not know %s", name, object.GetKind(), object.GetName(), components.OldestKubernetes, field)
			}
			return true
		}
	}
	if !strings.Contains(kind.Group, ".") || strings.HasSuffix(kind.Group, ".k8s.io") {
		k.t.Errorf("%s: Kubernetes %s does not know %s", name, components.OldestKubernetes, kind)
	}
	return false
}

// unknown returns the paths of fields of a value that a schema does not have.
func unknown(document map[string]node, of node, value any, path string) (fields []string) {
	for of.Ref != "" || len(of.AllOf) == 1 {
		if of.Ref == "" {
			of = of.AllOf[0]
			continue
		}
		of = document[strings.TrimPrefix(of.Ref, reference)]
	}
	switch value := value.(type) {
	case []any:
		for i, item := range value {
			if of.Items != nil {
				fields = append(fields, unknown(document, *of.Items, item, fmt.Sprintf("%s[%d]", path, i))...)
			}
		}
	case map[string]any:
		for _, name := range slices.Sorted(maps.Keys(value)) {
			below, ok := of.Properties[name]
			if !ok && of.Values == nil {
				fields = append(fields, path+"."+name)
				continue
			}
			if !ok {
				below = *of.Values
			}
			fields = append(fields, unknown(document, below, value[name], path+"."+name)...)
		}
	}
	return fields
}
