package setting

import (
	"fmt"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
)

// NearMisses returns a warning for each variable of an environment that looks like
// a setting of the command but is none, such as AGENT_POOL for AGENT_POOLS. A
// variable that begins with one of the prefixes looks like a setting, too.
func NearMisses(command *kong.Node, environ []string, prefixes ...string) []string {
	var known, warnings []string
	for _, flag := range command.Flags {
		known = append(known, flag.Envs...)
	}
	for _, variable := range environ {
		name, _, _ := strings.Cut(variable, "=")
		if slices.Contains(known, name) || serviceLink(name) {
			continue
		}
		if meant := nearest(name, known, prefixes); meant != "" {
			warnings = append(warnings, fmt.Sprintf("the variable %s is not a setting; did you mean %s?", name, meant))
		}
	}
	slices.Sort(warnings)
	return warnings
}

// Ignored returns a warning for each variable of an environment that another command
// takes and the command does not, unless it has the default.
func Ignored(command, other *kong.Node, environ []string) []string {
	var known, warnings []string
	for _, flag := range command.Flags {
		known = append(known, flag.Envs...)
	}
	for _, variable := range environ {
		name, value, _ := strings.Cut(variable, "=")
		ignored := func(flag *kong.Flag) bool { return slices.Contains(flag.Envs, name) && value != flag.Default }
		if value != "" && !slices.Contains(known, name) && slices.ContainsFunc(other.Flags, ignored) {
			warnings = append(warnings, fmt.Sprintf("the variable %s has no effect in %s; it is a setting of %s", name, command.Name, other.Name))
		}
	}
	slices.Sort(warnings)
	return warnings
}

// nearest returns the known name that a name is likely to stand for or, if it has
// one of the prefixes, the names with the same; "" if there is none.
func nearest(name string, known, prefixes []string) string {
	best, least := "", 3
	for _, candidate := range known {
		if distance := editDistance(name, candidate); distance < least && len(candidate) >= 6 {
			best, least = candidate, distance
		}
	}
	for _, prefix := range prefixes {
		if best == "" && strings.HasPrefix(name, prefix) {
			others := func(candidate string) bool { return !strings.HasPrefix(candidate, prefix) }
			best = strings.Join(slices.DeleteFunc(slices.Clone(known), others), ", ")
		}
	}
	return best
}

// serviceLink reports whether Kubernetes sets a variable for a Service.
func serviceLink(name string) bool {
	return strings.HasSuffix(name, "_SERVICE_HOST") || strings.Contains(name, "_SERVICE_PORT") ||
		strings.HasSuffix(name, "_PORT") || strings.Contains(name, "_TCP")
}

// editDistance is how many letters must be added, removed or replaced to make one
// name of another.
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j+1]+1, row[j]+1)
		}
	}
	return row[len(b)]
}
