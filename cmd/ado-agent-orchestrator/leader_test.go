package main

import "testing"

// TestLeaseName is about two programs in one namespace: they must not wait for
// each other unless they do the same.
func TestLeaseName(t *testing.T) {
	t.Setenv("ORG_PAT", "s3cr3t")
	name := func(pools string) string {
		t.Helper()
		line := &commandLine{}
		parser, err := newParser(line)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := parser.Parse([]string{
			"run", "--org-url=https://dev.azure.com/contoso", "--agent-pools=" + pools, "--job-image=agent:1",
		}); err != nil {
			t.Fatal(err)
		}
		s, err := line.Run.settings()
		if err != nil {
			t.Fatal(err)
		}
		return s.leaseName()
	}
	if name("linux,windows") != name("Linux, windows") {
		t.Error("replicas have leases of their own")
	}
	if name("linux") == name("windows") {
		t.Error("programs that serve other pools share a lease")
	}
}
