package adoqueue

import (
	"maps"
	"strings"
)

// systemCapabilities are the capabilities that every agent has, whatever it is
// said to have, with the value that is assumed if none is stated: "" is a value
// that nobody knows before the agent runs.
var systemCapabilities = map[string]string{
	"agent.name":           "",
	"agent.version":        "",
	"agent.os":             osNames[defaultOS],
	"agent.osarchitecture": architectureNames[defaultArchitecture],
	"agent.osversion":      "",
	"agent.computername":   "",
	"agent.homedirectory":  "",
}

// Agent.Version is nearly always demanded. Unless it is stated, any minimum is
// met: Azure DevOps updates agents to the version that a job needs.
const agentVersion = "agent.version"

const (
	defaultOS           = "linux"
	defaultArchitecture = "amd64"
)

// The agent's names of systems, by the names of Go and Kubernetes.
var (
	osNames           = map[string]string{"linux": "Linux", "windows": "Windows_NT", "darwin": "Darwin"}
	architectureNames = map[string]string{"amd64": "X64", "arm64": "ARM64", "386": "X86", "arm": "ARM"}
)

// SystemDefaults describes the machines that agents will run on.
type SystemDefaults struct {
	// OS and Architecture are the names of Go and of the labels
	// kubernetes.io/os and kubernetes.io/arch, such as "linux" and "arm64"; ""
	// is linux and amd64. Other names are compared as they are.
	OS, Architecture string
}

// WithSystem returns the capabilities completed with those that follow from the
// machine: Agent.OS and Agent.OSArchitecture, unless they are stated.
func (c Capabilities) WithSystem(defaults SystemDefaults) Capabilities {
	completed := maps.Clone(c)
	if completed == nil {
		completed = Capabilities{}
	}
	fill := func(name, value string, names map[string]string) {
		if completed[name] != "" || value == "" {
			return
		}
		if known, ok := names[strings.ToLower(value)]; ok {
			value = known
		}
		completed[name] = value
	}
	fill("agent.os", defaults.OS, osNames)
	fill("agent.osarchitecture", defaults.Architecture, architectureNames)
	return completed
}

// value returns what an agent with these capabilities has under a name in lower
// case. known is false if the agent has the capability with a value that cannot
// be foreseen.
func (c Capabilities) value(name string) (value string, has, known bool) {
	value, has = c[name]
	assumed, system := systemCapabilities[name]
	if value != "" || !system {
		return value, has, true
	}
	return assumed, true, assumed != ""
}
