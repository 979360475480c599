package agent

import (
	"regexp"
	"slices"
	"strings"
)

// inputPrefix begins the variables from which config takes its flags.
const inputPrefix = "VSTS_AGENT_INPUT_"

// ignoreVariable lists variables that the agent does not show as capabilities.
// On Linux it is compared with case.
const ignoreVariable = "VSO_AGENT_IGNORE"

// Visibility says what an agent, its jobs and the pool see of an environment. The
// case of names does not matter.
type Visibility struct {
	// Hidden variables reach neither the agent nor its jobs.
	Hidden []string
	// Private variables reach jobs, but not the pool: the agent shows its
	// variables as capabilities to whoever may see the pool.
	Private []string
	// ShowSecrets lets variables reach the pool whose names say that they hold a
	// secret.
	ShowSecrets bool
}

// Environment returns what the agent, and with it every job, gets of an
// environment. That leaves out what only config has a use for.
func (v Visibility) Environment(environ []string) []string {
	var kept, ignored []string
	noProxy, hasNoProxy := "", false
	for _, variable := range environ {
		name, value, _ := strings.Cut(variable, "=")
		switch {
		case strings.EqualFold(name, ignoreVariable):
			ignored = append(ignored, strings.Split(value, ",")...)
			continue
		case holds(v.Hidden, name), isInput(name):
			continue
		case name == "no_proxy":
			hasNoProxy = true
		case name == "NO_PROXY":
			noProxy = value
		}
		kept = append(kept, variable)
		if v.private(name, value) {
			ignored = append(ignored, name)
		}
	}
	if !hasNoProxy && noProxy != "" {
		kept = append(kept, "no_proxy="+noProxy) // the only spelling that the agent reads
	}
	if ignored = distinct(ignored); len(ignored) > 0 {
		kept = append(kept, ignoreVariable+"="+strings.Join(ignored, ","))
	}
	return kept
}

func (v Visibility) private(name, value string) bool {
	return holds(v.Private, name) || login.MatchString(value) || !v.ShowSecrets && secretName.MatchString(name)
}

var (
	// login is a password in a URL.
	login = regexp.MustCompile(`://[^/\s:@]*:([^/\s]+)@`)
	// secretName is the name of a variable that holds a secret.
	secretName = regexp.MustCompile(`(?i)TOKEN|SECRET|PASSW|PASSPHRASE|CREDENTIAL|PRIVATE|SIGNATURE|CONN(ECTION)?_?STR|KEYS?(_|$)|(^|_)(PAT|PWD|PASS|SAS|AUTH|COOKIE)(_|$)`)
)

// Passwords returns the passwords that stand in URLs of an environment.
func Passwords(environ []string) []string {
	var found []string
	for _, variable := range environ {
		for _, match := range login.FindAllStringSubmatch(variable, -1) {
			found = append(found, match[1])
		}
	}
	return found
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

// distinct keeps names that differ in case alone, as the agent does.
func distinct(names []string) []string {
	var kept []string
	for _, name := range names {
		if name = strings.TrimSpace(name); name != "" && !slices.Contains(kept, name) {
			kept = append(kept, name)
		}
	}
	return kept
}
