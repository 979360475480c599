package release_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// scripts returns what runs in CI and for a release, by path.
func scripts(t *testing.T) map[string]string {
	t.Helper()
	paths, err := filepath.Glob("../../.ci/*")
	if err != nil || len(paths) < 4 {
		t.Fatal(paths, err)
	}
	texts := workflows(t)
	for _, path := range paths {
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		texts[filepath.Base(path)] = string(content)
	}
	return texts
}

// TestPipes keeps out of pipes what ends before it has read everything: the program
// before it may then end by SIGPIPE, which pipefail makes a failure.
func TestPipes(t *testing.T) {
	early := regexp.MustCompile(`[^|]\|\s*(grep (-\w*[qm]|--quiet|--max-count)|head\b|read\b|sed .*\bq\b)`)
	for path, text := range scripts(t) {
		for line := range strings.Lines(text) {
			if early.MatchString(line) {
				t.Errorf("%s: ends before it has read everything: %s", path, strings.TrimSpace(line))
			}
		}
	}
}

// TestLongSection checks a version whose section is longer than a pipe holds.
func TestLongSection(t *testing.T) {
	root := repository(t)
	changelog := "# Changelog\n\n## 1.2.3\n\n" + strings.Repeat("- A feature that users notice.\n", 10_000) + "\n## 1.2.2\n\n- Older.\n"
	write(t, root+"/docs/CHANGELOG.md", changelog)
	write(t, root+"/deploy/artifacthub/ado-agent-orchestrator/artifacthub-pkg.yml", "version: 1.2.3\n")
	if output, err := run(t, root+"/.ci/release", "check", "v1.2.3"); err != nil {
		t.Errorf("%v: %s", err, output)
	}
}

// repository returns the root of a repository that has the release's script and what
// it reads.
func repository(t *testing.T) string {
	t.Helper()
	root := t.TempDir()
	for _, path := range []string{".ci/release", "docs/CHANGELOG.md", "deploy/manifests/minimal.yaml"} {
		content, err := os.ReadFile("../../" + path)
		if err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(root, path), string(content))
	}
	return root
}

// write creates a file that may be executed, and its folders.
func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o700); err != nil {
		t.Fatal(err)
	}
}
