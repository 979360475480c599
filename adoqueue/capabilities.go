package adoqueue

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode"
)

// Capabilities are what an agent offers: values by lower-case name.
type Capabilities map[string]string

// ParseCapabilities reads a list such as "docker, java=17": items are parted by
// commas, and a name without a value has the value "". Every mistake is
// reported.
func ParseCapabilities(list string) (Capabilities, error) {
	capabilities := Capabilities{}
	if strings.TrimSpace(list) == "" {
		return capabilities, nil
	}
	var mistakes []error
	for item := range strings.SplitSeq(list, ",") {
		name, value, _ := strings.Cut(item, "=")
		name = strings.ToLower(strings.TrimSpace(name))
		_, twice := capabilities[name]
		switch {
		case name == "":
			mistakes = append(mistakes, fmt.Errorf("item %q has no name", item))
		case strings.ContainsFunc(name, unicode.IsSpace):
			mistakes = append(mistakes, fmt.Errorf("name %q holds a space", name))
		case twice:
			mistakes = append(mistakes, fmt.Errorf("name %q stands there twice", name))
		}
		capabilities[name] = strings.TrimSpace(value)
	}
	if err := errors.Join(mistakes...); err != nil {
		return nil, err
	}
	return capabilities, nil
}

// Unmet gives those of the demands that an agent with these capabilities does
// not meet.
func (c Capabilities) Unmet(demands []Demand) []Demand {
	var unmet []Demand
	for _, d := range demands {
		if !d.MetBy(c) {
			unmet = append(unmet, d)
		}
	}
	return unmet
}

// String gives the capabilities in the form that ParseCapabilities reads,
// sorted by name.
func (c Capabilities) String() string {
	items := make([]string, 0, len(c))
	for _, name := range slices.Sorted(maps.Keys(c)) {
		if value := c[name]; value != "" {
			name += "=" + value
		}
		items = append(items, name)
	}
	return strings.Join(items, ",")
}
