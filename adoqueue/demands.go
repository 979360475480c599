package adoqueue

import (
	"regexp"
	"strconv"
	"strings"
)

// Operator is how a demand compares a capability.
type Operator int

// The operators of Azure DevOps. Users write the first two; -gtVersion comes
// from the service and from tasks that need a minimum version.
const (
	Exists  Operator = iota // Name
	Equals                  // Name -equals Value
	AtLeast                 // Name -gtVersion Value, which means >= there
	Unknown                 // anything else: it is never met
)

// agentVersion is what nearly every request demands. The service brings agents
// up to the version it needs, so it never decides where a job can run.
const agentVersion = "Agent.Version"

// demandForm is the grammar of a demand: the name holds no space, the value is
// the rest of the line.
var demandForm = regexp.MustCompile(`^(\S+)(?:\s+-(\S+)\s+(.*))?$`)

// Demand is one thing a job needs of its agent.
type Demand struct {
	Name     string
	Operator Operator
	Value    string
	text     string
}

// ParseDemand reads a demand as Azure DevOps writes it. It accepts any text:
// what it does not understand becomes a demand with the operator Unknown.
func ParseDemand(text string) Demand {
	text = strings.TrimSpace(text)
	d := Demand{Operator: Unknown, text: text}
	parts := demandForm.FindStringSubmatch(text)
	if parts == nil {
		return d
	}
	d.Name, d.Value = parts[1], strings.TrimSpace(parts[3])
	switch parts[2] {
	case "":
		d.Operator = Exists
	case "equals":
		d.Operator = Equals
	case "gtVersion":
		d.Operator = AtLeast
	}
	return d
}

// String gives the demand as Azure DevOps wrote it.
func (d Demand) String() string { return d.text }

// MetBy tells whether an agent with these capabilities meets the demand. Names
// and values are compared ignoring case. Agent.Version is always met.
func (d Demand) MetBy(capabilities Capabilities) bool {
	if strings.EqualFold(d.Name, agentVersion) {
		return true
	}
	value, ok := capabilities[strings.ToLower(d.Name)]
	if !ok {
		return false
	}
	switch d.Operator {
	case Exists:
		return true
	case Equals:
		return strings.EqualFold(value, d.Value)
	case AtLeast:
		return versionAtLeast(value, d.Value)
	default:
		return false
	}
}

// versionAtLeast compares dotted versions; what follows the first hyphen does
// not count. A capability that is no version is lower than any.
func versionAtLeast(have, want string) bool {
	haveParts, ok := versionParts(have)
	if !ok {
		return false
	}
	wantParts, ok := versionParts(want)
	if !ok {
		return false
	}
	for i := range haveParts {
		if haveParts[i] != wantParts[i] {
			return haveParts[i] > wantParts[i]
		}
	}
	return true
}

func versionParts(text string) (parts [4]uint64, ok bool) {
	text, _, _ = strings.Cut(strings.TrimSpace(text), "-")
	fields := strings.Split(text, ".")
	if len(fields) > len(parts) {
		return parts, false
	}
	for i, field := range fields {
		n, err := strconv.ParseUint(field, 10, 64)
		if err != nil {
			return parts, false
		}
		parts[i] = n
	}
	return parts, true
}
