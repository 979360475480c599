package migrate

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue/memtest"
)

var update = flag.Bool("update", false, "rewrite the golden files")

var options = Options{ScalerAddress: "ado-agent-orchestrator.ado.svc:9090", AgentImage: "registry.example.com/agent"}

// TestGolden migrates manifests as people write them. The golden file has the
// report before the manifests.
func TestGolden(t *testing.T) {
	inputs, err := filepath.Glob("testdata/*.yaml")
	if err != nil || len(inputs) < 5 {
		t.Fatalf("there are %d manifests (error %v)", len(inputs), err)
	}
	for _, input := range inputs {
		name := strings.TrimSuffix(filepath.Base(input), ".yaml")
		t.Run(name, func(t *testing.T) {
			manifests, err := os.ReadFile(input)
			if err != nil {
				t.Fatal(err)
			}
			migrated, reports, err := Migrate(manifests, options)
			if err != nil {
				t.Fatal(err)
			}
			if got := report(reports); strings.Contains(got, "s3cr3t") {
				t.Errorf("the report has a secret: %s", got)
			}
			same(t, filepath.Join("testdata", "golden", name+".yaml"), report(reports)+string(migrated))
			if again, _, err := Migrate(migrated, options); !errors.Is(err, ErrNothing) {
				t.Errorf("migrated again, with error %v, it becomes\n%s", err, again)
			}
		})
	}
}

func report(reports []Report) string {
	var b strings.Builder
	for _, r := range reports {
		fmt.Fprintf(&b, "# %s\n", r.Object)
		for _, change := range r.Changes {
			fmt.Fprintf(&b, "#   changed %s\n", change)
		}
		for _, decision := range r.Decisions {
			fmt.Fprintf(&b, "#   decide %s\n", decision)
		}
	}
	return b.String()
}

func same(t *testing.T, path, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got; -update accepts it):\n%s", path, diff)
	}
}

// TestAuthentication has triggers name the certificates towards the scaler.
func TestAuthentication(t *testing.T) {
	manifests, err := os.ReadFile("testdata/deployment.yaml")
	if err != nil {
		t.Fatal(err)
	}
	with := options
	with.Authentication = "scaler-tls"
	migrated, _, err := Migrate(manifests, with)
	if err != nil {
		t.Fatal(err)
	}
	if text := string(migrated); strings.Count(text, "authenticationRef") != 1 || !strings.Contains(text, "name: scaler-tls") {
		t.Errorf("it became\n%s", text)
	}
}

// TestWithoutPool has a person name the pool that no key names.
func TestWithoutPool(t *testing.T) {
	_, reports, err := Migrate([]byte("kind: ScaledJob\nspec: {triggers: [{type: azure-pipelines, metadata: {pool: linux}}]}\n"), options)
	if err != nil {
		t.Fatal(err)
	}
	if got := report(reports); !strings.Contains(got, "spec.triggers[0].metadata.poolName: set it, since the trigger names no pool") {
		t.Errorf("the report is\n%s", got)
	}
}

func TestRefused(t *testing.T) {
	for manifests, want := range map[string]string{
		"":                              "no ScaledJob or ScaledObject has a trigger",
		"kind: ScaledJob":               "no ScaledJob or ScaledObject has a trigger",
		"a: 1\n---\nb: [1\n":            "the document that begins at line 3: yaml: line",
		"name: {{ .Release.Name }}\n":   "templates of Helm",
		"kind: ScaledJob\n\tspec: {}\n": "the document that begins at line 1",
	} {
		if _, _, err := Migrate([]byte(manifests), options); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: error %v, want %q", manifests, err, want)
		}
	}
}

// FuzzMigrate looks for manifests that end the program.
func FuzzMigrate(f *testing.F) {
	inputs, err := filepath.Glob("testdata/*.yaml")
	if err != nil {
		f.Fatal(err)
	}
	for _, input := range inputs {
		manifests, err := os.ReadFile(input)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(manifests)
	}
	f.Fuzz(func(t *testing.T, manifests []byte) {
		var migrated []byte
		var err error
		memtest.Within(t, len(manifests), 20<<10, func() { migrated, _, err = Migrate(manifests, options) })
		if err == nil {
			if _, _, err := Migrate(migrated, options); err != nil && !errors.Is(err, ErrNothing) {
				t.Errorf("it cannot be read back: %v\n%s", err, migrated)
			}
		}
	})
}
