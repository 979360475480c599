package documents_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

const root = "../.."

// item is something to do that a document prints: a command, or a file in YAML.
type item struct {
	section string
	command string
	yaml    string
}

var (
	heading    = regexp.MustCompile(`^#{1,6} (.*)`)
	fence      = regexp.MustCompile("^ *```(\\w*)$")
	inlineCode = regexp.MustCompile("`((?:kubectl|helm|az|go|GOOS=\\w+ go) [^`]+)`")
)

// read returns what a document prints, in its order.
func read(t *testing.T, path string) []item {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(root, path))
	if err != nil {
		t.Fatal(err)
	}
	return parse(string(content))
}

func parse(document string) (items []item) {
	section, language := "", ""
	var block []string
	inside := false
	for line := range strings.Lines(document) {
		line = strings.TrimSuffix(line, "\n")
		switch match := fence.FindStringSubmatch(line); {
		case match != nil && !inside:
			inside, language, block = true, match[1], nil
		case match != nil:
			inside = false
			items = append(items, blockItems(section, language, block)...)
		case inside:
			block = append(block, line)
		default:
			if match := heading.FindStringSubmatch(line); match != nil {
				section = match[1]
			}
			for _, match := range inlineCode.FindAllStringSubmatch(line, -1) {
				if len(strings.Fields(match[1])) > 2 { // else it only names a command
					items = append(items, item{section: section, command: match[1]})
				}
			}
		}
	}
	return items
}

func blockItems(section, language string, lines []string) (items []item) {
	switch language {
	case "yaml":
		return []item{{section: section, yaml: strings.Join(lines, "\n") + "\n"}}
	case "sh":
		for _, command := range commands(lines) {
			items = append(items, item{section: section, command: command})
		}
	}
	return items
}

// commands joins lines that end in a backslash.
func commands(lines []string) (list []string) {
	begun := ""
	for _, line := range lines {
		line = begun + strings.TrimSpace(line)
		if rest, continues := strings.CutSuffix(line, `\`); continues {
			begun = rest
			continue
		}
		begun = ""
		if line != "" && !strings.HasPrefix(line, "#") {
			list = append(list, line)
		}
	}
	return list
}

func TestParse(t *testing.T) {
	items := parse("# A\nSee `helm test` and `kubectl get x --output yaml`.\n## B\n```sh\na \\\n  b # c\n# d\ne\n```\n\n```yaml\nx: 1\n```\n" +
		"```mermaid\nz\n```\n")
	want := []item{
		{section: "A", command: "kubectl get x --output yaml"},
		{section: "B", command: "a b # c"},
		{section: "B", command: "e"},
		{section: "B", yaml: "x: 1\n"},
	}
	if len(items) != len(want) {
		t.Fatalf("%+v", items)
	}
	for i := range want {
		if items[i] != want[i] {
			t.Errorf("%d: %+v, want %+v", i, items[i], want[i])
		}
	}
}
