package agent

import (
	"slices"
	"strings"
)

// inputPrefix begins the variables from which config takes its flags.
const inputPrefix = "VSTS_AGENT_INPUT_"

// ignoreVariable lists variables that the agent does not show as capabilities.
const ignoreVariable = "VSO_AGENT_IGNORE"

// Environment is what the agent, and with it every job, gets of an environment:
// all but the hidden variables, and those that only config has a use for. The
// agent shows its variables as capabilities to whoever may see the pool; the
// hidden and the private ones it is told to leave out. Case does not matter.
func Environment(environ, hidden, private []string) []string {
	ignored := slices.Concat(hidden, private)
	var kept []string
	for _, variable := range environ {
		name, value, _ := strings.Cut(variable, "=")
		switch {
		case strings.EqualFold(name, ignoreVariable):
			ignored = append(ignored, strings.FieldsFunc(value, func(r rune) bool { return r == ',' })...)
		case holds(hidden, name), isInput(name):
		default:
			kept = append(kept, variable)
		}
	}
	return append(kept, ignoreVariable+"="+strings.Join(distinct(ignored), ","))
}

// Inputs are the variables of an environment that config takes flags from: by
// them people give flags that the launcher does not know.
func Inputs(environ []string) []string {
	var inputs []string
	for _, variable := range environ {
		if isInput(variable) {
			inputs = append(inputs, variable)
		}
	}
	return inputs
}

func isInput(variable string) bool {
	return len(variable) >= len(inputPrefix) && strings.EqualFold(variable[:len(inputPrefix)], inputPrefix)
}

func holds(names []string, name string) bool {
	return slices.ContainsFunc(names, func(other string) bool { return strings.EqualFold(other, name) })
}

func distinct(names []string) []string {
	var kept []string
	for _, name := range names {
		if name = strings.TrimSpace(name); name != "" && !holds(kept, name) {
			kept = append(kept, name)
		}
	}
	return kept
}
