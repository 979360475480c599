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

// greeter is a module that is quickly built.
func greeter(t *testing.T, greeting string) (module, installation) {
	t.Helper()
	in := installation{source: t.TempDir(), cache: t.TempDir()}
	for name, content := range map[string]string{
		"go.mod":  "module example.com/greeter\n\ngo 1.26.0\n",
		"go.sum":  "",
		"main.go": "package main\n\nfunc main() { print(\"" + greeting + "\") }\n",
	} {
		if err := os.WriteFile(filepath.Join(in.source, name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return module{name: "greeter", programs: []program{{"greet", "example.com/greeter", "1 second"}}}, in
}

func TestInstallBuildsOnce(t *testing.T) {
	t.Parallel()
	m, in := greeter(t, "hello")
	var group errgroup.Group
	progress := make([]bytes.Buffer, 4)
	for i := range progress {
		group.Go(func() error {
			in := in
			in.progress = &progress[i]
			dir, err := m.install(t.Context(), in)
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
	t.Parallel()
	m, in := greeter(t, "hello")
	keys := make(map[string]bool)
	for _, change := range []func(){
		func() {},
		func() { m.programs = append(m.programs, program{name: "another"}) },
		func() {
			if err := os.WriteFile(filepath.Join(in.source, "go.sum"), []byte("changed"), 0o644); err != nil {
				t.Fatal(err)
			}
		},
	} {
		change()
		for _, flags := range [][]string{nil, {"-race"}} {
			key, err := m.key(t.Context(), in.source, flags)
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
	t.Parallel()
	m, in := greeter(t, "\") syntax error")
	in.progress = t.Output()
	if _, err := m.install(t.Context(), in); err == nil || !strings.Contains(err.Error(), "main.go") {
		t.Errorf("error %v, want the compiler's", err)
	}
	// All but the lock, whose name ends so.
	left, err := filepath.Glob(filepath.Join(in.cache, "*[^k]"))
	if err != nil || len(left) > 0 {
		t.Errorf("the cache holds %v (error %v)", left, err)
	}
}
