package components

import (
	"slices"
	"strings"
	"testing"
)

// TestKubernetesVersions has each version come from a module of that version.
func TestKubernetesVersions(t *testing.T) {
	source, err := sourceDir()
	if err != nil {
		t.Fatal(err)
	}
	for version := range kubernetesFolders {
		m, err := kubernetes(source, version)
		if err != nil {
			t.Fatal(err)
		}
		flags, err := m.flags(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(strings.Join(flags, " "), "version.gitVersion=v"+version+".") {
			t.Errorf("Kubernetes %s is built with %v", version, flags)
		}
		if slices.Contains(flags, "-tags=providerless") != (version == OldestKubernetes) {
			t.Errorf("Kubernetes %s is built with %v", version, flags)
		}
	}
	if _, err := kubernetes(source, "1.2"); err == nil || !strings.Contains(err.Error(), "1.29, 1.33, 1.36") {
		t.Errorf("error %v, want the versions that can be built", err)
	}
}
