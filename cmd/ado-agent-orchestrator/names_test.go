package main

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/cmd/internal/setting"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/cmd/internal/setting/settingtest"
)

// foreign are names of others that documents mention.
var foreign = []string{
	"HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY", "SSL_CERT_FILE", "GIT_SSL_CAINFO", "NODE_EXTRA_CA_CERTS", // everybody's
	"VSO_AGENT_IGNORE", "VSTS_AGENT_INPUT_DISABLELOGUPLOADS", "AGENT_TOOLSDIRECTORY", "AZURE_DEVOPS_PAT", // Azure Pipelines'
	"WATCH_NAMESPACE",                                // KEDA's
	"NUGET_PACKAGES", "DOCKER_HOST", "BUILDKIT_HOST", // tools in the agent image
	"AGENT_VERSION", "AGENT_SHA256_AMD64", "AGENT_SHA256_ARM64", "AGENT_PACKAGE", // arguments of the image's build
	"CONTROL_PLANE_KEDA", "CONTROL_PLANE_KUBERNETES", "CONTROL_PLANE_CACHE", "NPM_TOKEN", // of tests, and an example
	"keda.sh", "ca.crt", "tls.crt", "tls.key", // not values, though they begin like some
	"--build-arg", "--target", "--once", "--help",
}

// TestDocumentedNames requires that variables, flags and values of the chart that
// documents mention exist.
func TestDocumentedNames(t *testing.T) {
	known := append(slices.Clone(foreign), ourNames(t)...)
	values := map[string]any{}
	content, err := os.ReadFile(root + "/deploy/helm/ado-agent-orchestrator/values.yaml")
	if err == nil {
		err = yaml.Unmarshal(content, &values)
	}
	if err != nil {
		t.Fatal(err)
	}
	code := regexp.MustCompile("`([^`\n]+)`")
	variable := regexp.MustCompile(`^([A-Z][A-Z0-9]*_[A-Z0-9_]+)(=.*)?$`)
	flag := regexp.MustCompile(`^(--[a-z][a-z-]*)([ =].*)?$`)
	value := regexp.MustCompile(`^([a-z][A-Za-z]*)(\.[A-Za-z]+)+$`)
	seen := 0
	for path, text := range documentTexts(t) {
		for _, match := range code.FindAllStringSubmatch(text, -1) {
			word := match[1]
			name := ""
			if found := variable.FindStringSubmatch(word); found != nil {
				name = found[1]
			} else if found := flag.FindStringSubmatch(word); found != nil {
				name = found[1]
			}
			if name != "" {
				seen++
				if !slices.Contains(known, name) {
					t.Errorf("%s: there is no %s", path, name)
				}
			}
			if found := value.FindStringSubmatch(word); found != nil {
				if _, ours := values[found[1]]; ours && !slices.Contains(foreign, word) {
					seen++
					if problem := unknownValue(values, word); problem != "" {
						t.Errorf("%s: %s", path, problem)
					}
				}
			}
		}
	}
	if seen < 200 {
		t.Errorf("found only %d names", seen)
	}
}

// documentTexts returns all documents, without code blocks.
func documentTexts(t *testing.T) map[string]string {
	t.Helper()
	block := regexp.MustCompile("(?ms)^ *```.*?\n *```")
	texts := map[string]string{}
	for _, pattern := range []string{"*.md", "docs/*.md", "linux/*.md", "deploy/helm/*/*.md", ".github/*.md"} {
		paths, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range paths {
			content, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			texts[path] = block.ReplaceAllString(string(content), "")
		}
	}
	return texts
}

// ourNames returns the variables and flags of all our programs.
func ourNames(t *testing.T) (names []string) {
	t.Helper()
	parser, err := newParser(&commandLine{})
	if err != nil {
		t.Fatal(err)
	}
	for _, command := range settingtest.Commands(parser.Model()) {
		for _, flag := range setting.Settings(command) {
			names = append(names, flag.Envs...)
		}
		for _, flag := range command.Flags {
			names = append(names, "--"+flag.Name)
		}
	}
	// The launcher's are in the table of its README, which a test keeps up to date.
	content, err := os.ReadFile(root + "/linux/README.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range regexp.MustCompile("(?m)^\\| `([A-Z_]+)` \\| (?:`(--[a-z-]+)`)?").FindAllStringSubmatch(string(content), -1) {
		names = append(names, row[1])
		if strings.HasPrefix(row[2], "--") {
			names = append(names, row[2])
		}
	}
	return names
}
