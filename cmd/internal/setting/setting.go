// Package setting reads the settings of a program, each a tagged and typed field
// of kong's, from flags and environment variables. It reports all mistakes at
// once, each by the name that the field's tags give.
//
// Besides kong's own tags it knows min and max, the bounds of a number or a
// duration; unit, the unit of a duration without one, such as ms; and unset,
// what documents show in place of a default. A field is a string, a bool, an
// int, a time.Duration, a comma-separated []string, or a type that implements
// encoding.TextUnmarshaler.
package setting

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
)

// Invalid is the error of settings that cannot be used.
type Invalid struct {
	problems []error
	// Hints are what may have led to them, such as NearMisses.
	Hints []string
}

// Error lists all problems and hints, each in a line.
func (e *Invalid) Error() string {
	hints := strings.Join(append(slices.Clone(e.Hints), "see --help"), "\n")
	return fmt.Sprintf("invalid settings:\n%v\n%s", errors.Join(e.problems...), hints)
}

// Checker is a command that checks what its settings have to do with each other.
// It is asked once all of them are decoded, also if some of them are invalid.
type Checker interface{ Check(p *Problems) }

// Parser reads a command line and the environment.
type Parser struct {
	kong     *kong.Kong
	mappers  []*mapper
	problems *Problems
}

// New returns the parser of a program's command line, which is a pointer to a
// struct.
func New(commandLine any, options ...kong.Option) (*Parser, error) {
	p := &Parser{problems: &Problems{}}
	parser, err := kong.New(commandLine, append(options, kong.PostBuild(p.collect))...)
	p.kong = parser
	return p, err
}

// Model returns the commands with their settings.
func (p *Parser) Model() *kong.Node { return p.kong.Model.Node }

// Parse returns the selected command. If its settings cannot be used the error is an
// *Invalid. With any other error, which is about the command line, there is no command.
func (p *Parser) Parse(args []string) (*kong.Context, error) {
	*p.problems = Problems{decoding: map[*kong.Value]error{}}
	for _, m := range p.mappers {
		m.given = false
	}
	parsed, err := p.kong.Parse(args)
	if err != nil {
		return nil, err
	}
	command := parsed.Selected()
	if command == nil {
		command = p.Model()
	}
	for _, group := range command.AllFlags(false) {
		p.problems.settings = append(p.problems.settings, group...)
	}
	if checker, ok := reflect.TypeAssert[Checker](command.Target.Addr()); ok {
		checker.Check(p.problems)
	}
	if problems := p.problems.list(); len(problems) > 0 {
		return parsed, &Invalid{problems: problems}
	}
	return parsed, nil
}

// collect makes each flag report its problems here in place of ending the
// parsing at the first one.
func (p *Parser) collect(k *kong.Kong) error {
	return kong.Visit(k.Model.Node, func(node kong.Visitable, next kong.Next) error {
		flag, ok := node.(*kong.Flag)
		if !ok || !isSetting(flag) {
			return next(nil)
		}
		limits, err := boundsOf(flag.Value)
		if err != nil {
			return fmt.Errorf("--%s: %w", flag.Name, err)
		}
		m := &mapper{problems: p.problems, limits: limits}
		p.mappers, flag.Mapper = append(p.mappers, m), m
		return next(nil)
	})
}

// mapper decodes the value of a flag. A mistake in it becomes a problem,
// not an error.
type mapper struct {
	problems *Problems
	limits   bounds
	given    bool // on the command line
}

// Decode reads from the command line or, when kong resets the values after that,
// from the environment or the default.
func (m *mapper) Decode(ctx *kong.DecodeContext, target reflect.Value) error {
	resetting := target.Addr().Interface() == ctx.Value.Target.Addr().Interface()
	if resetting && (m.given || !ctx.Value.Active) {
		return nil // overridden, or a setting of another command
	}
	m.given = m.given || !resetting
	text := "true"
	if target.Kind() != reflect.Bool || ctx.Scan.Peek().Type == kong.FlagValueToken {
		token, err := ctx.Scan.PopValue(ctx.Value.Name)
		if err != nil {
			return err
		}
		text = token.String()
	}
	if text == "" && resetting { // an empty variable counts as unset
		text = ctx.Value.Default
		if text == "" {
			return nil
		}
	}
	if isSecret(ctx.Value) && !resetting {
		m.problems.decoding[ctx.Value] = errors.New("is not accepted as a flag, which other processes can read; set the variable")
		return nil
	}
	delete(m.problems.decoding, ctx.Value)
	if err := m.limits.decode(ctx.Value, text, target); err != nil {
		m.problems.decoding[ctx.Value] = err
		return m.fallBack(ctx.Value, target)
	}
	return nil
}

// fallBack puts the default in place of what is invalid: kong checks values
// against enum by itself, and would end at the first.
func (m *mapper) fallBack(value *kong.Value, target reflect.Value) error {
	target.SetZero()
	if !value.HasDefault {
		return nil
	}
	return m.limits.decode(value, value.Default, target)
}

// Name returns how messages name a setting: ORG_URL (--org-url).
func Name(flag *kong.Flag) string {
	if len(flag.Envs) == 0 {
		return "--" + flag.Name
	}
	if isSecret(flag.Value) {
		return flag.Envs[0]
	}
	return fmt.Sprintf("%s (--%s)", flag.Envs[0], flag.Name)
}

// Settings returns the settings of a command.
func Settings(command *kong.Node) []*kong.Flag {
	return slices.DeleteFunc(slices.Clone(command.Flags), func(flag *kong.Flag) bool { return !isSetting(flag) })
}

// isSetting reports whether a flag is one, unlike --help and --version.
func isSetting(flag *kong.Flag) bool {
	return flag.Name != "help" && flag.Target.Type() != reflect.TypeFor[kong.VersionFlag]()
}

// isSecret reports whether a setting has no flag.
func isSecret(value *kong.Value) bool { return value.Target.Type() == reflect.TypeFor[Secret]() }

// oneLine returns the text of an error without line breaks.
func oneLine(err error) string {
	return strings.ReplaceAll(err.Error(), "\n", ", ")
}
