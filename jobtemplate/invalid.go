package jobtemplate

import (
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation/field"
)

// Invalid is the error of Settings that no Job can be made from: everything that
// is wrong, in the order of the fields.
type Invalid []FieldError

// Error has a line for each problem.
func (i Invalid) Error() string {
	lines := make([]string, len(i))
	for n, e := range i {
		lines[n] = e.Error()
	}
	return strings.Join(lines, "\n")
}

// FieldError is a problem with a field of Settings.
type FieldError struct {
	// Field is the path of the field, such as token.name or
	// definition.spec.suspend.
	Field string
	// Related is the other field that Field does not go with, if that is the
	// problem.
	Related string
	// Problem says what is wrong and what to do.
	Problem string
}

// Error begins with the field or fields.
func (e FieldError) Error() string {
	if e.Related != "" {
		return e.Field + ", " + e.Related + ": " + e.Problem
	}
	return e.Field + ": " + e.Problem
}

// problems collects what is wrong.
type problems []FieldError

// setting reports a problem with a field of Settings.
func (p *problems) setting(name, format string, args ...any) {
	*p = append(*p, FieldError{Field: name, Problem: fmt.Sprintf(format, args...)})
}

// related reports a problem with two fields of Settings.
func (p *problems) related(name, other, format string, args ...any) {
	*p = append(*p, FieldError{Field: name, Related: other, Problem: fmt.Sprintf(format, args...)})
}

// field reports a problem with a field of the Definition.
func (p *problems) field(path *field.Path, format string, args ...any) {
	p.setting(path.String(), format, args...)
}

// err returns all problems.
func (p *problems) err() error {
	if len(*p) == 0 {
		return nil
	}
	slices.SortStableFunc(*p, func(a, b FieldError) int { return strings.Compare(a.Error(), b.Error()) })
	return Invalid(*p)
}
