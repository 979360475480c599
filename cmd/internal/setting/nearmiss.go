package setting

import (
	"fmt"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
)

// NearMisses returns a warning for each variable of an environment that looks like
// a setting of the command but is none, such as AGENT_POOL for AGENT_POOLS. otherNames
// are names that people expect settings to have, with what the settings are called.
func NearMisses(command *kong.Node, environ []string, otherNames map[string]string) []string {
	var known, warnings []string
	for _, flag := range command.Flags {
		known = append(known, flag.Envs...)
	}
	for _, variable := range environ {
		name, value, _ := strings.Cut(variable, "=")
		if slices.Contains(known, name) || serviceLink(name, value) {
			continue
		}
		meant := otherNames[strings.ToUpper(name)]
		if !slices.Contains(known, meant) {
			meant = Nearest(name, slices.DeleteFunc(slices.Clone(known), tooShort))
		}
		if meant != "" {
			warnings = append(warnings, fmt.Sprintf("the variable %s is not a setting; did you mean %s?", name, meant))
		}
	}
	slices.Sort(warnings)
	return warnings
}

// tooShort reports whether a name is like many others, as KUBE and STATUS are.
func tooShort(name string) bool { return len(name) < 7 }

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

// Nearest returns the known name that a name is likely to stand for, "" if there is
// none. Case and missing underscores do not matter.
func Nearest(name string, known []string) string {
	best, least := "", maxDistance+1
	for _, candidate := range known {
		if distance := wordDistance(strings.ToUpper(name), strings.ToUpper(candidate)); distance < least {
			best, least = candidate, distance
		}
	}
	return best
}

// maxDistance is how many letters a misspelt name may be off.
const maxDistance = 2

// wordDistance is by how many letters the words of two names differ. It is more than
// maxDistance if a word differs by more than a third or in its first letter, which
// people rarely miss: POD_NAMESPACE is not JOB_NAMESPACE, CI_FILE not CA_FILE, and
// gpu not cpu.
func wordDistance(name, known string) (distance int) {
	words, knownWords := strings.Split(name, "_"), strings.Split(known, "_")
	if strings.Join(words, "") == strings.Join(knownWords, "") {
		return 0
	}
	if len(words) != len(knownWords) {
		return maxDistance + 1
	}
	for i, word := range knownWords {
		d := editDistance(words[i], word)
		if d > len(word)/3 || words[i][0] != word[0] {
			return maxDistance + 1
		}
		distance += d
	}
	return distance
}

// serviceLink reports whether Kubernetes sets a variable for a Service, such as
// HTTP_PORT=tcp://10.0.0.1:80 for one that is called http.
func serviceLink(name, value string) bool {
	return strings.HasSuffix(name, "_PORT") && strings.Contains(value, "://")
}

// editDistance is how many letters must be added, removed, replaced or swapped with
// the next one to make one name of another.
func editDistance(a, b string) int {
	rows := make([][]int, len(a)+1)
	for i := range rows {
		rows[i] = make([]int, len(b)+1)
		rows[i][0] = i
	}
	for j := range rows[0] {
		rows[0][j] = j
	}
	for i := 1; i <= len(a); i++ {
		for j := 1; j <= len(b); j++ {
			cost := rows[i-1][j-1]
			if a[i-1] != b[j-1] {
				cost++
			}
			cost = min(cost, rows[i-1][j]+1, rows[i][j-1]+1)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				cost = min(cost, rows[i-2][j-2]+1)
			}
			rows[i][j] = cost
		}
	}
	return rows[len(a)][len(b)]
}
