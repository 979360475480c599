package main

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/cmd/internal/setting"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/cmd/internal/setting/settingtest"
)

//go:generate go test -run ^TestDocumentedSettings$ -update .

// TestDocumentedSettings compares the tables of docs/settings.md with the settings.
func TestDocumentedSettings(t *testing.T) {
	parser, err := newParser(&commandLine{})
	if err != nil {
		t.Fatal(err)
	}
	const path = "../../docs/settings.md"
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	want, err := setting.Document(string(content), parser.Model())
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	if *update {
		writeFile(t, path, want)
		return
	}
	if diff := cmp.Diff(want, string(content)); diff != "" {
		t.Errorf("%s is not up to date; run go generate: %s", path, diff)
	}
	for name := range variables(t) {
		if !strings.Contains(want, "`"+name+"`") {
			t.Errorf("%s does not mention %s", path, name)
		}
	}
}

// variables are the settings of serve and run that everybody may know, with their
// defaults.
func variables(t *testing.T) map[string]string {
	t.Helper()
	parser, err := newParser(&commandLine{})
	if err != nil {
		t.Fatal(err)
	}
	defaults := map[string]string{}
	for _, command := range settingtest.Commands(parser.Model()) {
		if command.Name != "serve" && command.Name != "run" {
			continue
		}
		for _, flag := range setting.Settings(command) {
			if !flag.Hidden {
				defaults[flag.Envs[0]] = flag.Default
			}
		}
	}
	return defaults
}

// TestChartSettings compares what the chart sets with the settings that there
// are, and its values with their defaults.
func TestChartSettings(t *testing.T) {
	const chart = "../../deploy/helm/ado-agent-orchestrator/"
	known := variables(t)
	values := map[string]any{}
	content, err := os.ReadFile(chart + "values.yaml")
	if err == nil {
		err = yaml.Unmarshal(content, &values)
	}
	if err != nil {
		t.Fatal(err)
	}
	set := regexp.MustCompile(`- name: ([A-Z_]+)\n +value: (.*)`)
	value := regexp.MustCompile(`^\{\{ \$?\.Values\.settings\.(\w+)`)
	found := 0
	for _, file := range []string{"templates/_scaler.tpl", "templates/_organizations.tpl"} {
		content, err := os.ReadFile(chart + file)
		if err != nil {
			t.Fatal(err)
		}
		for _, match := range set.FindAllStringSubmatch(string(content), -1) {
			preset, ok := known[match[1]]
			if !ok {
				t.Errorf("%s sets %s, which is not a setting", file, match[1])
			}
			if path := value.FindStringSubmatch(match[2]); path != nil {
				found++
				text, _ := yaml.Marshal(values["settings"].(map[string]any)[path[1]])
				if got := strings.TrimSpace(string(text)); got != preset {
					t.Errorf("settings.%s is %s by default, %s is %s", path[1], got, match[1], preset)
				}
			}
		}
	}
	if all := len(values["settings"].(map[string]any)); found != all {
		t.Errorf("%d of %d settings in values.yaml are set", found, all)
	}
}
