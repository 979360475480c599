package adoqueue

import (
	"regexp"
	"strconv"
	"strings"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue/safetext"
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

// demandForm is the grammar of a demand: the name holds no space, the value is
// the rest of the line.
var demandForm = regexp.MustCompile(`^(\S+)(?:\s+-(\S+)\s+(.*))?$`)

// Demand is one thing a job needs of its agent, made by ParseDemand.
type Demand struct {
	Name     string
	Operator Operator
	Value    string
	text     string
	key      string // Name in lower case
}

// ParseDemand reads a demand as Azure DevOps writes it. It accepts any text: one
// that it does not understand becomes a demand with the operator Unknown.
func ParseDemand(text string) Demand {
	text = strings.TrimSpace(safetext.Printable(text))
	d := Demand{Operator: Unknown, text: text}
	parts := demandForm.FindStringSubmatch(text)
	if parts == nil {
		return d
	}
	d.Name, d.Value = parts[1], strings.TrimSpace(parts[3])
	d.key = strings.ToLower(d.Name)
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

// String returns the demand as Azure DevOps wrote it.
func (d Demand) String() string { return d.text }

// MetBy reports whether an agent with these capabilities meets the demand. Names
// and values are compared ignoring case. The capabilities that every agent has,
// such as Agent.OS, need not be stated: see Capabilities.WithSystem.
func (d Demand) MetBy(capabilities Capabilities) bool {
	value, has, known := capabilities.value(d.key)
	switch {
	case !has:
		return false
	case d.Operator == Exists:
		return true
	case !known:
		return d.Operator == AtLeast && d.key == agentVersion
	case d.Operator == Equals:
		return strings.EqualFold(value, d.Value)
	case d.Operator == AtLeast:
		return versionAtLeast(value, d.Value)
	default:
		return false
	}
}

// Names returns the name that the demand requires the agent or its machine to
// have, if it requires one.
func (d Demand) Names() (agent string, ok bool) {
	pins := d.key == "agent.name" || d.key == "agent.computername"
	return d.Value, pins && d.Operator == Equals
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
