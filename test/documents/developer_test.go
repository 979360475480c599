package documents_test

import (
	"context"
	"encoding/json"
	"flag"
	"maps"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/test/components"
)

var runSlow = flag.Bool("slow", false, "run the commands that take minutes to hours, as the workflow does each week")

// slow are commands of developers that only TestSlowCommands runs, in the parts of the
// workflow.
var slow = map[string][]string{
	"quick": {
		"go test -bench . -run '^$' ./...",
		"go test -run '^$' -bench Round ./scaler/engine",
		"go test ./docs ./cmd/ado-agent-orchestrator",
		".ci/release all v0.0.0-dry dist",
	},
	"e2e": {
		"CONTROL_PLANE_KEDA=2.14.1 go -C test test -short ./e2e",
		"PAGE_SCREENSHOTS=/tmp/pictures go -C test test ./page",
		`go -C test test ./page -run TestPicture -picture "$PWD/docs/images/demo.png"`,
		"go -C test test -v -run '^TestWarmAgents$' ./e2e",
	},
	"matrix": {
		"go -C test run ./cmd/matrix -write",
		"go -C test run ./cmd/matrix -kubernetes 1.29 -write",
		"go -C test run ./cmd/matrix -kubernetes 1.33",
	},
	"measure": {
		"go -C test run ./cmd/exactness",
		"go -C test run ./cmd/exactness -parallel 6",
		"go -C test run ./cmd/performance",
		"go -C test run ./cmd/performance -scaled-jobs 100 -pools 10 -jobs 200 -duration 20s",
	},
	"faults": {
		"go -C test run ./cmd/reliability -write ../docs/reliability.md",
		"go -C test run ./cmd/reliability -only 'sign-in' -dir logs",
		"go -C test run ./cmd/soak",
	},
}

var (
	// ofDeveloper is a command that is run in a clone of this repository.
	ofDeveloper = regexp.MustCompile(`^([A-Z_]+=\S+ )?(go |\.ci/)`)
	note        = regexp.MustCompile(` +#.*`)
)

// later returns why a developer's command is not run now, "" if it is.
func later(t *testing.T, command string) string {
	t.Helper()
	command = note.ReplaceAllString(command, "")
	for _, commands := range slow {
		if slices.Contains(commands, command) {
			return "takes long; TestSlowCommands runs it"
		}
	}
	ci, err := os.ReadFile(root + "/.ci/run")
	must(t, err)
	for line := range strings.Lines(string(ci)) {
		if line = strings.TrimSpace(line) + " "; strings.HasPrefix(line, "run "+command+" ") {
			return "is run by .ci/run"
		}
	}
	return ""
}

// place is where commands run.
type place struct {
	dir string
	env []string
}

// newCheckout returns a clone of this repository, with its changes and the environment
// of a developer.
func newCheckout(t *testing.T) place {
	t.Helper()
	c := place{dir: t.TempDir()}
	list := exec.CommandContext(t.Context(), "bash", "-euo", "pipefail", "-c",
		`git clone --quiet . "$0" && git ls-files -zcmo --exclude-standard --deduplicate | tar --null --files-from - --create | tar --extract --directory "$0"`, c.dir)
	list.Dir = root
	output, err := list.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, output)
	}
	output, err = exec.CommandContext(t.Context(), "go", "env", "-json", "GOCACHE").Output()
	must(t, err)
	var cache struct{ GOCACHE string }
	must(t, json.Unmarshal(output, &cache))
	kept, err := components.CacheDir()
	must(t, err)
	c.env = append(os.Environ(),
		// A lab that runs elsewhere on this machine is not touched.
		"XDG_CACHE_HOME="+t.TempDir(), "GOCACHE="+cache.GOCACHE, components.CacheVariable+"="+kept)
	return c
}

// TestSlowCommands runs what takes long, if that is asked for.
func TestSlowCommands(t *testing.T) {
	found := map[string]bool{}
	for _, document := range documents {
		for _, i := range read(t, document) {
			found[note.ReplaceAllString(i.command, "")] = true
		}
	}
	for part, commands := range slow {
		for _, command := range commands {
			if !found[command] {
				t.Errorf("no document has the command %s", command)
			}
		}
		t.Run(part, func(t *testing.T) {
			if !*runSlow {
				t.Skip("without -slow")
			}
			c := newCheckout(t)
			for _, command := range commands {
				output, err := bash(context.WithoutCancel(t.Context()), c, command).CombinedOutput()
				t.Logf("$ %s", command)
				if err != nil {
					t.Errorf("%v\n%s", err, output)
				}
			}
		})
	}
}

// TestWeeklyParts wants the workflow to run all parts, since nothing else does.
func TestWeeklyParts(t *testing.T) {
	content, err := os.ReadFile(root + "/.github/workflows/ci.yml")
	must(t, err)
	var workflow struct {
		Jobs map[string]struct {
			Strategy struct{ Matrix struct{ Part []string } }
		}
	}
	must(t, yaml.Unmarshal(content, &workflow))
	if got := slices.Sorted(slices.Values(workflow.Jobs["printed"].Strategy.Matrix.Part)); !slices.Equal(got, slices.Sorted(maps.Keys(slow))) {
		t.Errorf("the workflow runs %v", got)
	}
}
