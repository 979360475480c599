package setting

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/alecthomas/kong"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue/secrets"
)

// Problems collects what is wrong with the settings of a command. Settings are
// given as pointers to their fields.
type Problems struct {
	settings []*kong.Flag // of the command
	decoding map[*kong.Value]error
	others   []problem
}

type problem struct {
	flags []*kong.Flag
	err   error
}

// Add reports a problem with a setting.
func (p *Problems) Add(field any, format string, args ...any) {
	p.AddAll([]any{field}, format, args...)
}

// AddAll reports a problem with several settings. It is left out if one of them
// has another problem, from which this one may follow.
func (p *Problems) AddAll(fields []any, format string, args ...any) {
	flags := make([]*kong.Flag, len(fields))
	for i, field := range fields {
		flags[i] = p.flag(field)
	}
	p.add(flags, fmt.Errorf(format, args...))
}

// Tagged is a problem with settings that are named by the paths of fields in
// another package, such as resources.requests[cpu].
type Tagged struct {
	Fields []string
	Err    error
}

// AddTagged reports problems with settings that have the field, or one that it is
// part of, in a tag of theirs. A problem is left out if one of its settings had
// one before, from which it may follow.
func (p *Problems) AddTagged(tag string, list ...Tagged) {
	var sound []problem
	for _, tagged := range list {
		found := problem{err: tagged.Err}
		for _, field := range tagged.Fields {
			found.flags = append(found.flags, p.tagged(tag, field)...)
		}
		if !slices.ContainsFunc(found.flags, p.unsound) {
			sound = append(sound, found)
		}
	}
	p.others = append(p.others, sound...)
}

func (p *Problems) tagged(tag, field string) (flags []*kong.Flag) {
	for _, flag := range p.settings {
		rest, ok := strings.CutPrefix(field, flag.Tag.Get(tag))
		if ok && rest != field && (rest == "" || strings.ContainsAny(rest[:1], ".[")) {
			flags = append(flags, flag)
		}
	}
	return flags
}

// AddError reports a problem that is of no single setting.
func (p *Problems) AddError(err error) { p.others = append(p.others, problem{err: err}) }

func (p *Problems) add(flags []*kong.Flag, err error) {
	if !slices.ContainsFunc(flags, func(flag *kong.Flag) bool { return p.decoding[flag.Value] != nil }) {
		p.others = append(p.others, problem{flags, err})
	}
}

// AddUnreadable reports a setting that names a file which cannot be read.
func (p *Problems) AddUnreadable(field *string) {
	if *field == "" {
		return
	}
	if _, err := secrets.Read(context.Background(), *field); err != nil {
		p.Add(field, "%w", err)
	}
}

// Sound reports whether the settings have no problem so far, so that others can
// be checked against them.
func (p *Problems) Sound(fields ...any) bool {
	return !slices.ContainsFunc(fields, func(field any) bool { return p.unsound(p.flag(field)) })
}

func (p *Problems) unsound(flag *kong.Flag) bool {
	return p.decoding[flag.Value] != nil ||
		slices.ContainsFunc(p.others, func(o problem) bool { return slices.Contains(o.flags, flag) })
}

// Given reports whether a setting comes from the command line or the
// environment.
func (p *Problems) Given(field any) bool {
	flag := p.flag(field)
	if m, ok := flag.Mapper.(*mapper); ok && m.given {
		return true
	}
	return slices.ContainsFunc(flag.Envs, func(name string) bool { return os.Getenv(name) != "" })
}

// Name returns the name of a setting, such as ORG_URL (--org-url).
func (p *Problems) Name(field any) string { return Name(p.flag(field)) }

func (p *Problems) flag(field any) *kong.Flag {
	for _, flag := range p.settings {
		if flag.Target.Addr().Interface() == field {
			return flag
		}
	}
	panic(fmt.Sprintf("%T is not a setting of this command", field)) // a mistake in the program
}

// list returns all problems, those of single settings first.
func (p *Problems) list() []error {
	var list []error
	for _, flag := range p.settings {
		if err := p.decoding[flag.Value]; err != nil {
			list = append(list, named(err, flag))
		}
	}
	for _, o := range p.others {
		list = append(list, named(o.err, o.flags...))
	}
	return list
}

func named(err error, flags ...*kong.Flag) error {
	if len(flags) == 0 {
		return errors.New(oneLine(err))
	}
	names := make([]string, len(flags))
	for i, flag := range flags {
		names[i] = Name(flag)
	}
	return fmt.Errorf("%s: %s", strings.Join(names, ", "), oneLine(err))
}
