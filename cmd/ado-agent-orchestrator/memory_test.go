package main

import (
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// TestGarbageIsBounded reads the part of garbage from the metrics.
func TestGarbageIsBounded(t *testing.T) {
	env := []string{"ORG_URL=https://dev.azure.com/contoso", "ORG_PAT=x", "GRPC_ADDR=127.0.0.1:0", "HTTP_ADDR=127.0.0.1:0", "KUBE=off"}
	for set, want := range map[string]string{"": "50", "GOGC=80": "80"} {
		p := started(t, program(t, append(env, set), "serve"))
		_, line, _ := strings.Cut(p.get(t, "/metrics"), "\ngo_gc_gogc_percent ")
		if value, _, _ := strings.Cut(line, "\n"); value != want {
			t.Errorf("%q: GOGC is %s, want %s", set, value, want)
		}
		if exit, log := p.stop(t); exit != 0 {
			t.Errorf("exit %d:\n%s", exit, log)
		}
	}
}

// TestMemoryLimitFollowsTheContainer runs the program in a separate cgroup.
func TestMemoryLimitFollowsTheContainer(t *testing.T) {
	const limit = 256 << 20
	group := cgroup(t, limit)
	env := []string{"ORG_URL=https://dev.azure.com/contoso", "ORG_PAT=x", "GRPC_ADDR=127.0.0.1:0", "HTTP_ADDR=127.0.0.1:0", "KUBE=off"}
	for _, test := range []struct {
		set  string
		want int
	}{{"", limit / 10 * 9}, {"GOMEMLIMIT=100MiB", 100 << 20}} {
		command := program(t, append(env, test.set), "serve")
		command.Args = []string{"sh", "-c", `echo $$ > "$0" && exec "$1" serve`, filepath.Join(group, "cgroup.procs"), command.Path}
		command.Path = "/bin/sh"
		p := started(t, command)
		_, line, _ := strings.Cut(p.get(t, "/metrics"), "\ngo_gc_gomemlimit_bytes ")
		value, _, _ := strings.Cut(line, "\n")
		got, err := strconv.ParseFloat(value, 64)
		if err != nil || math.Abs(got-float64(test.want)) > 100 {
			t.Errorf("%q: the limit is %s, want %d", test.set, value, test.want)
		}
		if exit, log := p.stop(t); exit != 0 {
			t.Errorf("exit %d:\n%s", exit, log)
		}
	}
}

// cgroup returns the folder of a new cgroup with a limit, of either version.
func cgroup(t *testing.T, limit int) string {
	t.Helper()
	for _, file := range []string{"/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/cgroup.subtree_control"} {
		if _, err := os.Stat(file); err != nil {
			continue
		}
		group, err := os.MkdirTemp(filepath.Dir(file), "ado-agent-orchestrator-test-") //nolint:usetesting // cgroups are made there only
		if err != nil {
			break
		}
		t.Cleanup(func() { _ = os.Remove(group) })
		name := "memory.limit_in_bytes"
		if filepath.Base(file) != name {
			name = "memory.max"
		}
		if err := os.WriteFile(filepath.Join(group, name), []byte(strconv.Itoa(limit)), 0o600); err != nil {
			break
		}
		return group
	}
	t.Skip("cgroups cannot be made here")
	return ""
}
