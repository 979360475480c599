package components

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sync/errgroup"
)

// greeter is a module that is quickly built, into a separate cache.
func greeter(t *testing.T, greeting string) (m module, folder string) {
	t.Helper()
	t.Setenv(CacheVariable, t.TempDir())
	source := t.TempDir()
	folder = filepath.Join(source, "greeter")
	if err := os.Mkdir(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string]string{
		"go.mod":  "module example.com/greeter\n\ngo 1.26.0\n",
		"go.sum":  "",
		"main.go": "package main\n\nfunc main() { print(\"" + greeting + "\") }\n",
	} {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return pinned(source, "greeter", program{"greet", "example.com/greeter", "1 second"}), folder
}

func TestInstallBuildsOnce(t *testing.T) {
	m, _ := greeter(t, "hello")
	var group errgroup.Group
	progress := make([]bytes.Buffer, 4)
	for i := range progress {
		group.Go(func() error {
			dir, err := m.install(t.Context(), &progress[i])
			if err != nil {
				return err
			}
			if out, err := exec.Command(filepath.Join(dir, "greet")).CombinedOutput(); err != nil || string(out) != "hello" {
				t.Errorf("the program printed %q (error %v)", out, err)
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
	builds := 0
	for i := range progress {
		builds += strings.Count(progress[i].String(), "built greet in ")
	}
	if builds != 1 {
		t.Errorf("it was built %d times", builds)
	}
}

func TestKeyFollowsTheModule(t *testing.T) {
	m, folder := greeter(t, "hello")
	keys := make(map[string]bool)
	for _, change := range []func(){
		func() {},
		func() { m.programs = append(m.programs, program{name: "another"}) },
		func() {
			if err := os.WriteFile(filepath.Join(folder, "go.sum"), []byte("changed"), 0o644); err != nil {
				t.Fatal(err)
			}
		},
	} {
		change()
		for _, flags := range [][]string{nil, {"-race"}} {
			key, err := m.key(t.Context(), flags)
			if err != nil {
				t.Fatal(err)
			}
			keys[key] = true
		}
	}
	if len(keys) != 6 {
		t.Errorf("6 builds have the keys %v", keys)
	}
}

func TestFailedBuildLeavesNothing(t *testing.T) {
	m, _ := greeter(t, "\") syntax error")
	if _, err := m.install(t.Context(), t.Output()); err == nil || !strings.Contains(err.Error(), "main.go") {
		t.Errorf("error %v, want the compiler's", err)
	}
	// All but the lock, whose name ends so.
	left, err := filepath.Glob(filepath.Join(os.Getenv(CacheVariable), "*[^k]"))
	if err != nil || len(left) > 0 {
		t.Errorf("the cache holds %v (error %v)", left, err)
	}
}
