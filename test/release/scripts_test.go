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
		texts[filepath.Base(path)] = read(t, path)
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
		write(t, filepath.Join(root, path), read(t, "../../"+path))
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

// TestFuzzAsInCI compares the executions that are said to be those of CI.
func TestFuzzAsInCI(t *testing.T) {
	inCI := regexp.MustCompile(`run \.ci/fuzz (\d+)\n`).FindStringSubmatch(scripts(t)["run"])
	if inCI == nil {
		t.Fatal("CI does not fuzz")
	}
	documents := scripts(t)["fuzz"] + read(t, "../../docs/develop.md")
	said := regexp.MustCompile(`\.ci/fuzz (\d+) .*as in CI`).FindAllStringSubmatch(documents, -1)
	for _, match := range said {
		if match[1] != inCI[1] {
			t.Errorf("%q, but CI runs %s", match[0], inCI[1])
		}
	}
	if len(said) != 2 {
		t.Errorf("the executions of CI are named %d times, want 2", len(said))
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}
