package chart_test

import (
	"os"
	"strings"
	"testing"

	"helm.sh/helm/v4/pkg/strvals"
)

// installation is what the README's commands install.
type installation struct {
	secret, key string // with the token
	values      map[string]any
}

// followed reads the commands of the README's installation section, which are at
// most six: two images, KEDA, a namespace, a Secret and the chart.
func followed(t *testing.T) installation {
	t.Helper()
	i := installation{values: map[string]any{}}
	commands := installCommands(t)
	if len(commands) > 6 {
		t.Fatalf("the README's installation takes %d commands, more than 6", len(commands))
	}
	for _, words := range commands {
		command := strings.Join(words, " ")
		switch {
		case strings.HasPrefix(command, "docker build --push "):
			// .ci/images builds both images, and the pods run here as processes.
		case strings.HasPrefix(command, "helm install keda keda "), command == "kubectl create namespace "+release.Namespace:
			// Both are there.
		case strings.HasPrefix(command, "kubectl --namespace "+release.Namespace+" create secret generic "):
			i.secret = words[6]
			i.key, _, _ = strings.Cut(strings.TrimPrefix(words[7], "--from-file="), "=")
		case strings.HasPrefix(command, "helm install "+release.Name+" "):
			for n, word := range words {
				if word != "--set" {
					continue
				}
				if err := strvals.ParseInto(words[n+1], i.values); err != nil {
					t.Fatal(err)
				}
			}
		default:
			t.Errorf("this command is not followed: %s", command)
		}
	}
	return i
}

// installCommands are the words of the first commands in the section.
func installCommands(t *testing.T) (commands [][]string) {
	t.Helper()
	text, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(text), "## Install\n")
	_, block, _ := strings.Cut(section, "```sh\n")
	block, _, found := strings.Cut(block, "```")
	if !found {
		t.Fatal("the section Install has no commands")
	}
	for line := range strings.SplitSeq(strings.TrimSpace(strings.ReplaceAll(block, "\\\n", " ")), "\n") {
		commands = append(commands, strings.Fields(strings.NewReplacer("'", "", `"`, "").Replace(line)))
	}
	return commands
}
