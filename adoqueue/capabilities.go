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

// ParseCapabilities reads a comma-separated list such as "docker, java=17". A name
// without a value has the value "". Every mistake is reported.
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
			mistakes = append(mistakes, fmt.Errorf("duplicate name %q", name))
		}
		capabilities[name] = strings.TrimSpace(value)
	}
	if err := errors.Join(mistakes...); err != nil {
		return nil, err
	}
	return capabilities, nil
}

// UnmarshalText reads what ParseCapabilities reads.
func (c *Capabilities) UnmarshalText(text []byte) error {
	parsed, err := ParseCapabilities(string(text))
	if err == nil {
		*c = parsed
	}
	return err
}

// Unmet returns those of the demands that an agent with these capabilities does
// not meet. A job pinned to an agent's name is met by none, unless the name is
// stated.
func (c Capabilities) Unmet(demands []Demand) []Demand { return c.UnmetIfNamed(demands, nil) }

// UnmetIfNamed is Unmet for agents whose names are known in advance, as far as
// mayBeNamed reports whether one of them can have a name.
func (c Capabilities) UnmetIfNamed(demands []Demand, mayBeNamed func(name string) bool) []Demand {
	var unmet []Demand
	for _, d := range demands {
		if d.MetBy(c) {
			continue
		}
		if name, ok := d.Names(); ok && mayBeNamed != nil && c[d.key] == "" && mayBeNamed(name) {
			continue
		}
		unmet = append(unmet, d)
	}
	return unmet
}

// String returns the capabilities in the form that ParseCapabilities reads,
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
