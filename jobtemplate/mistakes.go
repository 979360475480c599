package jobtemplate

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation/field"
)

// mistakes gathers what is wrong, so that it is reported together.
type mistakes []error

// setting reports a mistake in a field of Settings.
func (m *mistakes) setting(name, format string, args ...any) {
	*m = append(*m, fmt.Errorf("%s: %s", name, fmt.Sprintf(format, args...)))
}

// field reports a mistake in a field of the Definition.
func (m *mistakes) field(path *field.Path, format string, args ...any) {
	m.setting(path.String(), format, args...)
}

// err holds all mistakes, in the order of their fields.
func (m *mistakes) err() error {
	slices.SortStableFunc(*m, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	return errors.Join(*m...)
}
