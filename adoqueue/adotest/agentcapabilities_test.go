package adotest

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// These tests hold the stand-in's agent to what Microsoft's shows in the pool.

// The scan finds programs, and facts about the agent.
func TestCapabilitiesAreScanned(t *testing.T) {
	ado := agentServer(t, Options{})
	d := unpack(t, ado)
	bin := t.TempDir()
	for _, name := range []string{"mvn", "node"} {
		check(t, os.WriteFile(filepath.Join(bin, name), []byte("#!/bin/sh\n"), 0o700)) // run by nobody
	}
	d.env = append(d.env, "PATH="+bin+":"+os.Getenv("PATH"), "TERM=xterm", "VSTS_AGENT_INPUT_WORK=_work")
	d.wantExit(d.configure(ado))(0, "")
	have := get(t, ado, agentsPath+"/1?includeCapabilities=true").object(t)["systemCapabilities"].(map[string]any)
	for name, want := range map[string]any{
		"maven": filepath.Join(bin, "mvn"), "node.js": filepath.Join(bin, "node"), "sh": must1(exec.LookPath("sh"))(t),
		"Agent.HomeDirectory": d.dir, "InteractiveSession": "True", "TERM": nil, "VSTS_AGENT_INPUT_WORK": nil, "mvn": nil,
	} {
		if have[name] != want {
			t.Errorf("%s: got %v, want %v", name, have[name], want)
		}
	}
}

// VSO_AGENT_IGNORE, with commas, hides variables as they are spelled.
func TestVariablesAreIgnoredWithCase(t *testing.T) {
	ado := agentServer(t, Options{})
	d := unpack(t, ado)
	d.env = append(d.env, "VSO_AGENT_IGNORE=Hidden, OTHER", "Hidden=1", "HIDDEN=1", "hidden=1", "OTHER=1", "other=1")
	d.wantExit(d.configure(ado))(0, "Successfully added")
	system := ado.Agents("linux")[0].System
	for name, shown := range map[string]bool{"Hidden": false, "HIDDEN": true, "hidden": true, "OTHER": false, "other": true} {
		if _, has := system[name]; has != shown {
			t.Errorf("%s shows: %v, want %v", name, has, shown)
		}
	}
}

func TestLongValuesAreNoCapabilities(t *testing.T) {
	ado := agentServer(t, Options{})
	d := unpack(t, ado)
	d.env = append(d.env, "LONG="+strings.Repeat("x", 1024), "SHORT="+strings.Repeat("x", 1023))
	d.wantExit(d.configure(ado))(0, "Successfully added")
	system := ado.Agents("linux")[0].System
	if _, has := system["LONG"]; has || system["SHORT"] == "" {
		t.Errorf("LONG shows: %v, SHORT has %d characters", has, len(system["SHORT"]))
	}
}
