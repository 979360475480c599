package chart_test

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
	"helm.sh/helm/v4/pkg/chart/v2/loader"
)

// value is one that values.yaml documents.
type value struct{ key, preset, meaning string }

// documented lists the values below a mapping. A key without documented values below it
// is one value.
func documented(t *testing.T, mapping *yaml.Node, prefix string) (list []value) {
	t.Helper()
	for pair := range slices.Chunk(mapping.Content, 2) {
		key, node := prefix+pair[0].Value, pair[1]
		below := node.Kind == yaml.MappingNode && len(node.Content) > 0 && !isValue(pair[0], node)
		if below {
			list = append(list, documented(t, node, key+".")...)
			continue
		}
		meaning := sentence(pair[0].HeadComment)
		if meaning == "" {
			t.Errorf("values.yaml says nothing of %s", key)
		}
		list = append(list, value{key, preset(t, node), meaning})
	}
	return list
}

// isValue reports whether a mapping is documented as a whole: it has a comment,
// and those below it have none.
func isValue(key, mapping *yaml.Node) bool {
	return key.HeadComment != "" && mapping.Content[0].HeadComment == ""
}

func sentence(comment string) string {
	text := strings.TrimSpace(regexp.MustCompile(`(?m)^# ?`).ReplaceAllString(comment, ""))
	text = strings.ReplaceAll(text, "\n- ", "<br>")
	return strings.Join(strings.Fields(text), " ")
}

// preset is a default, in one line.
func preset(t *testing.T, node *yaml.Node) string {
	t.Helper()
	var decoded any
	if err := node.Decode(&decoded); err != nil {
		t.Fatal(err)
	}
	if decoded == "" {
		return ""
	}
	text, err := json.Marshal(decoded)
	if err != nil {
		t.Fatal(err)
	}
	return "`" + strings.Trim(string(text), `"`) + "`"
}

func valuesOf(t *testing.T) []value {
	t.Helper()
	var document yaml.Node
	if err := yaml.Unmarshal([]byte(read(t, filepath.Join(chartDir, "values.yaml"))), &document); err != nil {
		t.Fatal(err)
	}
	return documented(t, document.Content[0], "")
}

// TestTable keeps the table of the chart's README.
func TestTable(t *testing.T) {
	const begin, end = "<!-- values: made by go test ./chart -update -->\n", "<!-- /values -->"
	path := filepath.Join(chartDir, "README.md")
	before, rest, found := strings.Cut(read(t, path), begin)
	_, after, closed := strings.Cut(rest, end)
	if !found || !closed {
		t.Fatalf("%s has no %q and %q", path, begin, end)
	}
	var table strings.Builder
	table.WriteString("| Value | Default | Meaning |\n| --- | --- | --- |\n")
	for _, v := range valuesOf(t) {
		fmt.Fprintf(&table, "| `%s` | %s | %s |\n", v.key, v.preset, strings.ReplaceAll(v.meaning, "|", `\|`))
	}
	same(t, path, before+begin+table.String()+end+after)
}

// TestSchemaIsDocumented finds what may be set but is documented nowhere.
func TestSchemaIsDocumented(t *testing.T) {
	var schema map[string]any
	if err := json.Unmarshal([]byte(read(t, filepath.Join(chartDir, "values.schema.json"))), &schema); err != nil {
		t.Fatal(err)
	}
	values, err := loader.LoadValues(strings.NewReader(read(t, filepath.Join(chartDir, "values.yaml"))))
	if err != nil {
		t.Fatal(err)
	}
	delete(schema["properties"].(map[string]any), "global") // Helm's own
	compare(t, "", schema, schema, values)

	// The comment of agentPools lists the keys that only its items have.
	definitions := schema["definitions"].(map[string]any)
	text := read(t, filepath.Join(chartDir, "values.yaml"))
	agents := properties(definitions["agents"])
	for key := range properties(definitions["agentPool"]) {
		if _, common := agents[key]; !common && !strings.Contains(text, "\n# - `"+key+"`: ") {
			t.Errorf("values.yaml says nothing of agentPools[].%s", key)
		}
	}
}

func properties(schema any) map[string]any {
	found, _ := schema.(map[string]any)["properties"].(map[string]any)
	return found
}

// compare looks for properties of the schema that have no default.
func compare(t *testing.T, path string, root, schema, values map[string]any) {
	t.Helper()
	if ref, ok := schema["$ref"].(string); ok {
		schema = root["definitions"].(map[string]any)[strings.TrimPrefix(ref, "#/definitions/")].(map[string]any)
	}
	for key, property := range properties(schema) {
		value, ok := values[key]
		if !ok && !slices.Contains(examplesOnly, path+key) {
			t.Errorf("values.yaml says nothing of %s%s", path, key)
		}
		if below, ok := value.(map[string]any); ok && len(below) > 0 && !slices.Contains(ofKubernetes, path+key) {
			compare(t, path+key+".", root, property.(map[string]any), below)
		}
	}
}

// examplesOnly are properties of values that are documented as a whole.
var examplesOnly = []string{"resources.claims"}

// ofKubernetes are values whose fields Kubernetes documents.
var ofKubernetes = []string{"podSecurityContext", "securityContext"}
