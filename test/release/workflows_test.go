package release_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

// workflow is what is asked of a workflow here.
type workflow struct {
	Permissions map[string]string
	Jobs        map[string]struct {
		Uses    string
		Timeout int `json:"timeout-minutes"`
		Steps   []struct {
			Uses, Run, Shell string
			With             map[string]any
		}
	}
	Defaults struct{ Run struct{ Shell string } }
}

func workflows(t *testing.T) map[string]string {
	t.Helper()
	paths, err := filepath.Glob("../../.github/workflows/*.yml")
	if err != nil || len(paths) < 2 {
		t.Fatal(paths, err)
	}
	texts := map[string]string{}
	for _, path := range paths {
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		texts[filepath.Base(path)] = string(content)
	}
	return texts
}

// TestPinnedActions requires each action by the hash of a commit, with the version
// in a comment, which dependabot updates.
func TestPinnedActions(t *testing.T) {
	use := regexp.MustCompile(`uses: (\S+)( # v\d+\.\d+\.\d+\b)?`)
	pinned := regexp.MustCompile(`^[\w-]+/[\w./-]+@[0-9a-f]{40}$`)
	found := 0
	for name, text := range workflows(t) {
		for _, match := range use.FindAllStringSubmatch(text, -1) {
			found++
			if !strings.HasPrefix(match[1], "./") && (!pinned.MatchString(match[1]) || match[2] == "") {
				t.Errorf("%s: %s is not pinned with its version", name, match[1])
			}
		}
	}
	if found < 10 {
		t.Errorf("found only %d actions", found)
	}
}

// TestWorkflows requires few rights, bounds of time, and pipes that fail.
func TestWorkflows(t *testing.T) {
	for name, text := range workflows(t) {
		var w workflow
		if err := yaml.Unmarshal([]byte(text), &w); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if len(w.Permissions) != 1 || w.Permissions["contents"] != "read" {
			t.Errorf("%s: by default its jobs have the rights %v", name, w.Permissions)
		}
		for id, job := range w.Jobs {
			if job.Uses == "" && job.Timeout == 0 {
				t.Errorf("%s: job %s has no timeout", name, id)
			}
			for _, step := range job.Steps {
				if strings.Contains(step.Run, "|") && w.Defaults.Run.Shell != "bash" && step.Shell != "bash" {
					t.Errorf("%s: a failure in a pipe is lost: %s", name, step.Run)
				}
			}
		}
	}
}

// TestReleaseSteps requires that what is published is built, scanned and signed in
// this order, and that all of it is signed.
func TestReleaseSteps(t *testing.T) {
	text := workflows(t)["release.yml"]
	at := 0
	for _, step := range []string{
		"uses: ./.github/workflows/ci.yml", ".ci/release check", "sbom: true", ".ci/release scan", ".ci/release sign",
		".ci/release all", ".ci/release tag", "helm push", "cosign sign --yes \"$REGISTRY/charts/", "cosign sign-blob --yes --bundle dist/checksums.txt.sigstore.json",
		".ci/release publish",
	} {
		next := strings.Index(text[at:], step)
		if next < 0 {
			t.Fatalf("the workflow has no %q after what precedes it", step)
		}
		at += next
	}
}

// TestImagesWithoutTags keeps images without a tag until they have been scanned.
func TestImagesWithoutTags(t *testing.T) {
	var w workflow
	if err := yaml.Unmarshal([]byte(workflows(t)["release.yml"]), &w); err != nil {
		t.Fatal(err)
	}
	builds := 0
	for _, step := range w.Jobs["images"].Steps {
		if !strings.HasPrefix(step.Uses, "docker/build-push-action@") {
			continue
		}
		builds++
		outputs, _ := step.With["outputs"].(string)
		if step.With["tags"] != nil || step.With["push"] != nil || !strings.Contains(outputs, ",push-by-digest=true,") {
			t.Errorf("an image is pushed by a tag: %v", step.With)
		}
	}
	if builds != 1 {
		t.Errorf("the job has %d builds", builds)
	}
}

// TestReleaseWithoutCache builds what is published from nothing but its commit and
// the modules of go.sum: earlier runs write the caches of builds.
func TestReleaseWithoutCache(t *testing.T) {
	var w workflow
	if err := yaml.Unmarshal([]byte(workflows(t)["release.yml"]), &w); err != nil {
		t.Fatal(err)
	}
	for id, job := range w.Jobs {
		for _, step := range job.Steps {
			restores := strings.HasPrefix(step.Uses, "actions/cache") || step.With["cache-from"] != nil
			if strings.HasPrefix(step.Uses, "actions/setup-go@") {
				restores = step.With["cache"] != false
			}
			if restores {
				t.Errorf("job %s restores a cache: %s", id, step.Uses)
			}
		}
	}
}
