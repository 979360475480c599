package adotest

import (
	"regexp"
	"strconv"
	"strings"
)

// demandForm is the grammar of a demand in Microsoft's published SDK: a name,
// or a name, an operator and the rest of the line as its value.
var demandForm = regexp.MustCompile(`^(\S+)(?:\s+-(\S+)\s+(.*))?$`)

// versionCapability is the capability of the demand that the service adds.
const versionCapability = "Agent.Version"

// demand is a parsed demand. Text that does not parse has no name, and
// so matches no capability.
type demand struct{ name, operator, value string }

func parseDemands(texts []string) []demand {
	demands := make([]demand, len(texts))
	for i, text := range texts {
		if parts := demandForm.FindStringSubmatch(text); parts != nil {
			demands[i] = demand{strings.ToLower(parts[1]), parts[2], parts[3]}
		}
	}
	return demands
}

// meets reports whether capabilities (names in lower case) satisfy all demands.
// It shares no code with the product on purpose: the two check each other.
func meets(capabilities map[string]string, demands []demand) bool {
	for _, d := range demands {
		if !d.metBy(capabilities) {
			return false
		}
	}
	return true
}

func (d demand) metBy(capabilities map[string]string) bool {
	have, ok := capabilities[d.name]
	if !ok {
		return false
	}
	switch d.operator { // compared exactly, as in the SDK
	case "":
		return true
	case "equals":
		return strings.EqualFold(have, d.value)
	case "gtVersion": // the name says greater, the SDK means at least
		return !olderThan(have, d.value)
	default:
		return false
	}
}

// olderThan compares up to four numbers. Text that is no version is older than any.
func olderThan(have, want string) bool {
	h, w := versionOf(have), versionOf(want)
	for i := range h {
		if h[i] != w[i] {
			return h[i] < w[i]
		}
	}
	return false
}

func versionOf(text string) (numbers [4]int) {
	text, _, _ = strings.Cut(strings.TrimSpace(text), "-")
	fields := strings.Split(text, ".")
	if len(fields) > len(numbers) {
		return [4]int{}
	}
	for i, f := range fields {
		n, err := strconv.Atoi(f)
		if err != nil {
			return [4]int{}
		}
		numbers[i] = n
	}
	return numbers
}
