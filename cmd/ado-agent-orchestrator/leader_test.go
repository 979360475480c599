package main

import "testing"

// TestLeaseName is about two programs in one namespace: they must not wait for
// each other unless they do the same.
func TestLeaseName(t *testing.T) {
	name := func(pools string) string {
		t.Helper()
		flags := runCommand{
			commonFlags: commonFlags{
				Org:          organizationFlags{URL: "https://dev.azure.com/contoso", PAT: "s3cr3t"},
				PollingDelay: "1000", StaleFor: "30s", Timeout: "10s", Election: on, LogLevel: "info", LogFormat: "json",
			},
			agentFlags: agentFlags{
				Pools: pools, Image: "agent:1", Namespace: "ado", Prefix: "agent-job-",
				TTL: "10m", IdleTimeout: "10m", GracePeriod: "1h", Min: "0", MinIdle: "0", Max: "100",
			},
		}
		s, err := flags.check()
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
