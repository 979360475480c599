package chart_test

import (
	"flag"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"helm.sh/helm/v4/pkg/chart/common/util"
	"helm.sh/helm/v4/pkg/engine"
	appsv1 "k8s.io/api/apps/v1"
)

var update = flag.Bool("update", false, "write the golden files and the table of values")

// certificate is what the chart creates each time.
var certificate = regexp.MustCompile(`(?m)^( {2}(?:ca\.crt|tls\.crt|tls\.key): )[A-Za-z0-9+/=]+$`)

const dashboardFile = "files/dashboard.json"

var (
	lineStart = regexp.MustCompile(`(?m)^`)
	lineEnd   = regexp.MustCompile(`(?m)[ \t]+$`)
)

// golden is what a golden file holds: all that is rendered, but for certificates
// and the dashboard.
func golden(t *testing.T, rendered map[string]string) string {
	t.Helper()
	text := manifests(rendered) + "---\n# Source: templates/NOTES.txt\n" + lineStart.ReplaceAllString(strings.TrimSpace(rendered[notes]), "# ")
	text = certificate.ReplaceAllString(text, "${1}made")
	dashboard := lineStart.ReplaceAllString(strings.TrimSpace(read(t, filepath.Join(chartDir, dashboardFile))), "    ")
	text = strings.ReplaceAll(text, dashboard, "    "+dashboardFile)
	return lineEnd.ReplaceAllString(text, "") + "\n"
}

func TestGolden(t *testing.T) {
	all := examples(t)
	if len(all) < 5 {
		t.Fatalf("there are only %d examples", len(all))
	}
	for _, name := range slices.Sorted(maps.Keys(all)) {
		t.Run(name, func(t *testing.T) {
			rendered, err := files(t, all[name])
			if err != nil {
				t.Fatal(err)
			}
			same(t, filepath.Join("testdata", "golden", name+".yaml"), golden(t, rendered))
		})
	}
}

// TestReleased has a released chart know the digests of its images, which count
// for these images alone.
func TestReleased(t *testing.T) {
	const digest = "sha256:1111111111111111111111111111111111111111111111111111111111111111"
	released := load(t)
	released.Metadata.Annotations["ado-agent-orchestrator.io/scaler-digest"] = digest
	released.Metadata.Annotations["ado-agent-orchestrator.io/agent-digest"] = digest
	for _, test := range []struct{ values, scaler, agent string }{
		{"agentPools: [{pool: linux}]", "ghcr.io/ado-agent-orchestrator/ado-agent-orchestrator@" + digest, "ghcr.io/ado-agent-orchestrator/agent@" + digest},
		{
			"image: {repository: mirror/scaler}\nagents: {image: mirror/agent:1}\nagentPools: [{pool: linux}]",
			"mirror/scaler@" + digest, "mirror/agent:1",
		},
		{
			"image: {tag: dev}\nagentPools: [{pool: linux, image: own/agent}]",
			"ghcr.io/ado-agent-orchestrator/ado-agent-orchestrator:dev", "own/agent",
		},
	} {
		values, err := util.ToRenderValues(released, parse(t, basis+test.values), release, capabilities())
		if err != nil {
			t.Fatal(err)
		}
		rendered, err := engine.Render(released, values)
		if err != nil {
			t.Fatal(err)
		}
		list := objects(t, manifests(rendered))
		scaler := typedAs(t, ofKind(list, "Deployment")[0], &appsv1.Deployment{}).Spec.Template.Spec.Containers[0].Image
		agent := scaledJobs(t, list)[0].Spec.JobTargetRef.Template.Spec.Containers[0].Image
		if scaler != test.scaler || agent != test.agent {
			t.Errorf("%s\ngives %s and %s", test.values, scaler, agent)
		}
	}
}

// same compares a text with a file, or writes the file.
func same(t *testing.T, path, text string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	if want := read(t, path); text != want {
		t.Errorf("%s is not up to date; see what changes by go test ./chart -update\n%s", path, text)
	}
}
