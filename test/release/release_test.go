// Package release_test runs the release's script as the workflow does, but for what
// is compiled, and looks at what it makes.
package release_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"helm.sh/helm/v4/pkg/chart/v2/loader"
)

const digest = "sha256:1111111111111111111111111111111111111111111111111111111111111111"

// release runs the script, and returns what it printed.
func release(t *testing.T, args ...string) (string, error) {
	t.Helper()
	digests := t.TempDir()
	for _, image := range []string{"ado-agent-orchestrator", "agent"} {
		if err := os.WriteFile(filepath.Join(digests, image), []byte(digest+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("DIGESTS", digests)
	t.Setenv("SOURCE_DATE_EPOCH", "1700000000")
	return run(t, "../../.ci/release", args...)
}

// run returns what a program printed.
func run(t *testing.T, name string, args ...string) (string, error) {
	t.Helper()
	output, err := exec.CommandContext(t.Context(), name, args...).CombinedOutput()
	return string(output), err
}

func TestRefusedTags(t *testing.T) {
	for _, tag := range []string{"", "1.2.3", "v1.2", "v1.2.3.4", "v01.2.3", "v1.2.3-", "v1.2.3 -x", "main"} {
		if output, err := release(t, "notes", tag); err == nil {
			t.Errorf("%q is accepted as a version: %s", tag, output)
		}
	}
	if output, err := release(t, "check", "v987.6.5"); err == nil || !strings.Contains(output, "## 987.6.5") {
		t.Errorf("a version that the changelog does not have: %v, %s", err, output)
	}
}

func TestChart(t *testing.T) {
	for tag, prerelease := range map[string]string{"v1.2.3": "false", "v1.2.3-rc.1": "true"} {
		version := strings.TrimPrefix(tag, "v")
		folder := t.TempDir()
		if output, err := release(t, "chart", tag, folder); err != nil {
			t.Fatalf("%v: %s", err, output)
		}
		chart, err := loader.Load(filepath.Join(folder, "ado-agent-orchestrator-"+version+".tgz"))
		if err != nil {
			t.Fatal(err)
		}
		metadata := chart.Metadata
		if metadata.Version != version || metadata.AppVersion != version {
			t.Errorf("version %s and appVersion %s, want %s", metadata.Version, metadata.AppVersion, version)
		}
		for name, want := range map[string]string{
			"ado-agent-orchestrator.io/scaler-digest": digest,
			"ado-agent-orchestrator.io/agent-digest":  digest,
			"artifacthub.io/prerelease":               prerelease,
		} {
			if got := metadata.Annotations[name]; got != want {
				t.Errorf("annotation %s is %q, want %q", name, got, want)
			}
		}
		if images := metadata.Annotations["artifacthub.io/images"]; strings.Count(images, ":"+version+"\n") != 2 {
			t.Errorf("the images are not of version %s:\n%s", version, images)
		}
	}
}

func TestManifests(t *testing.T) {
	folder := t.TempDir()
	if output, err := release(t, "manifests", "v1.2.3", folder); err != nil {
		t.Fatalf("%v: %s", err, output)
	}
	images := map[string]int{}
	paths, err := filepath.Glob(filepath.Join(folder, "*.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range paths {
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(content)) {
			if image, found := strings.CutPrefix(strings.TrimSpace(line), "image: ghcr.io/"); found {
				images[image]++
			}
		}
	}
	const prefix, suffix = "ado-agent-orchestrator/", ":1.2.3@" + digest
	if len(images) != 2 || images[prefix+"ado-agent-orchestrator"+suffix] != 2 || images[prefix+"agent"+suffix] != 1 {
		t.Errorf("the manifests have the images %v", images)
	}
}

// TestSameArchive makes the chart twice.
func TestSameArchive(t *testing.T) {
	sums := map[string]bool{}
	for range 2 {
		folder := t.TempDir()
		if output, err := release(t, "chart", "v1.2.3", folder); err != nil {
			t.Fatalf("%v: %s", err, output)
		}
		content, err := os.ReadFile(filepath.Join(folder, "checksums.txt"))
		if err != nil {
			t.Fatal(err)
		}
		sums[string(content)] = true
	}
	if len(sums) != 1 {
		t.Errorf("the same input makes different archives: %v", sums)
	}
}
