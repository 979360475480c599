package chart_test

import (
	"bytes"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"
)

// TestDefaultsFile keeps the file from which the templates take the defaults of values
// that are null: Helm removes these, and templates cannot read values.yaml.
func TestDefaultsFile(t *testing.T) {
	var document yaml.Node
	if err := yaml.Unmarshal([]byte(read(t, filepath.Join(chartDir, "values.yaml"))), &document); err != nil {
		t.Fatal(err)
	}
	structure(document.Content[0])
	text := bytes.NewBufferString("# The defaults of values.yaml, for values that are null. Mappings that are documented\n" +
		"# as a whole are empty here. Made by go test ./chart -update.\n")
	encoder := yaml.NewEncoder(text)
	encoder.SetIndent(2)
	if err := encoder.Encode(document.Content[0]); err != nil {
		t.Fatal(err)
	}
	same(t, filepath.Join(chartDir, "files", "defaults.yaml"), text.String())
}

// structure removes comments, and empties mappings that are documented as a whole:
// if one of their fields is null, it is to be left out.
func structure(mapping *yaml.Node) {
	for pair := range slices.Chunk(mapping.Content, 2) {
		key, node := pair[0], pair[1]
		whole := node.Kind == yaml.MappingNode && (len(node.Content) == 0 || isValue(key, node))
		*key = yaml.Node{Kind: key.Kind, Tag: key.Tag, Value: key.Value}
		switch {
		case whole:
			*node = yaml.Node{Kind: yaml.MappingNode, Style: yaml.FlowStyle}
		case node.Kind == yaml.MappingNode:
			structure(node)
		}
	}
}

// TestNull has values that are null mean their defaults.
func TestNull(t *testing.T) {
	base := basis + "agentPools: [{pool: linux}]\nmetrics: {serviceMonitor: {enabled: true}, prometheusRule: {enabled: true}, dashboard: {enabled: true}}\n"
	want, err := files(t, parse(t, base))
	if err != nil {
		t.Fatal(err)
	}
	// These say what base does, or are documented as a whole and then empty.
	differ := []string{
		"organization.url", "organization.existingSecret", "organization.existingSecretKey", "agentPools", "resources", "podSecurityContext", "securityContext",
		"metrics.serviceMonitor.enabled", "metrics.prometheusRule.enabled", "metrics.dashboard.enabled", "metrics.dashboard.labels",
	}
	tried := 0
	for _, v := range valuesOf(t) {
		if slices.Contains(differ, v.key) {
			continue
		}
		tried++
		values := parse(t, base)
		put(values, v.key, nil)
		got, err := files(t, values)
		if err != nil {
			t.Errorf("%s: null: %v", v.key, err)
			continue
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: null is not the default: %s", v.key, diff)
		}
	}
	if tried < 100 {
		t.Errorf("only %d values were tried", tried)
	}
}

// TestNullInPools has values that are null in an item of agentPools mean those of
// agents, however Helm treats them.
func TestNullInPools(t *testing.T) {
	want, err := files(t, parse(t, basis+"agentPools: [{pool: linux}]"))
	if err != nil {
		t.Fatal(err)
	}
	tried := 0
	for _, v := range valuesOf(t) {
		path, ok := strings.CutPrefix(v.key, "agents.")
		if !ok {
			continue
		}
		for {
			tried++
			pool := map[string]any{"pool": "linux"}
			put(pool, path, nil)
			values := parse(t, basis)
			values["agentPools"] = []any{pool}
			got, err := files(t, values)
			if diff := cmp.Diff(want, got); err != nil || diff != "" {
				t.Errorf("agentPools[0].%s: null: %v %s", path, err, diff)
			}
			end := strings.LastIndex(path, ".")
			if end < 0 {
				break
			}
			path = path[:end]
		}
	}
	if tried < 50 {
		t.Errorf("only %d values were tried", tried)
	}
}

// TestNullInLists has other values that are null be unset.
func TestNullInLists(t *testing.T) {
	for null, unset := range map[string]string{
		"organizations: [{url: 'https://dev.azure.com/a', existingSecret: x, existingSecretKey: null, auth: null}]": "organizations: [{url: 'https://dev.azure.com/a', existingSecret: x}]",
		"organizations: [{url: 'https://dev.azure.com/a', existingSecret: x, auth: {kind: null, tenantID: null}}]":  "organizations: [{url: 'https://dev.azure.com/a', existingSecret: x}]",
		basis + "agentPools: [{pool: a, name: null, paused: null, organizationURL: null, nodeSelector: {x: null}}]": basis + "agentPools: [{pool: a}]",
		basis + "agents: {podTemplate: {spec: {schedulerName: x}}}\nagentPools: [{pool: a, podTemplate: {spec: {schedulerName: null}}}]": basis +
			"agents: {podTemplate: {spec: {schedulerName: x}}}\nagentPools: [{pool: a}]",
		basis + "global: {imageRegistry: null, imagePullSecrets: null}": basis,
	} {
		want, err := files(t, parse(t, unset))
		if err != nil {
			t.Fatal(err)
		}
		got, err := files(t, parse(t, null))
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("%s: %v %s", null, err, diff)
		}
	}
}

// TestNullMappings has mappings that are null or empty mean their defaults too.
func TestNullMappings(t *testing.T) {
	values := parse(t, read(t, filepath.Join(chartDir, "values.yaml")))
	want, err := files(t, parse(t, basis))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range slices.Sorted(maps.Keys(mappings(values, ""))) {
		if path == "organization" || slices.Contains([]string{"resources", "podSecurityContext", "securityContext"}, strings.Split(path, ".")[0]) {
			continue
		}
		for _, empty := range []any{nil, map[string]any{}} {
			values := parse(t, basis)
			put(values, path, empty)
			got, err := files(t, values)
			if err != nil {
				t.Errorf("%s: %v: %v", path, empty, err)
			} else if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%s: %v is not the default: %s", path, empty, diff)
			}
		}
	}
}

// mappings are the paths of all mappings below one.
func mappings(mapping map[string]any, prefix string) map[string]bool {
	found := map[string]bool{}
	for key, value := range mapping {
		if below, ok := value.(map[string]any); ok {
			found[prefix+key] = true
			maps.Copy(found, mappings(below, prefix+key+"."))
		}
	}
	return found
}

// put sets the value at a path of names separated by dots.
func put(values map[string]any, path string, value any) {
	names := strings.Split(path, ".")
	for _, name := range names[:len(names)-1] {
		below, ok := values[name].(map[string]any)
		if !ok {
			below = map[string]any{}
			values[name] = below
		}
		values = below
	}
	values[names[len(names)-1]] = value
}
