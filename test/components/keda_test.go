package components

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestCRDs has the CRDs of a release differ from those they are made from as
// KEDA's own patches say.
func TestCRDs(t *testing.T) {
	t.Setenv(CacheVariable, t.TempDir())
	crds, err := KEDACRDs(t.Context(), "2.14.1")
	if err != nil {
		t.Fatal(err)
	}
	for dir, preserves := range map[string]bool{crds.Released: true, crds.Generated: false} {
		content, err := os.ReadFile(filepath.Join(dir, "keda.sh_scaledjobs.yaml"))
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(content), "x-kubernetes-preserve-unknown-fields: true") != preserves {
			t.Errorf("%s: unknown fields are kept: %v, want %v", dir, !preserves, preserves)
		}
	}
	if _, err := KEDACRDs(t.Context(), "1.0.0"); err == nil || !strings.Contains(err.Error(), "2.14.1, 2.15.1") {
		t.Errorf("error %v, want the versions that can be had", err)
	}
}
