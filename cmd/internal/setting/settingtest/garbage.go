// Package settingtest tests the settings of a program, as its command line has
// them.
package settingtest

import (
	"errors"
	"math/rand/v2"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/alecthomas/kong"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/cmd/internal/setting"
)

// Program is a program under test.
type Program struct {
	// Valid is an environment, and Args are arguments of commands, with which all
	// settings are valid.
	Valid map[string]string
	Args  map[string][]string
	// New returns a parser of the command line.
	New func() (*setting.Parser, error)
	// Run runs the program in this process.
	Run func(args []string) (exit int, output string)
	// Exit is the code with which the program ends on invalid settings.
	Exit int
}

// Garbage sets every setting of every command to garbage, alone and in pairs. The
// message must name these settings and no other. It also tries values that some
// settings take and others do not: whatever they do, they blame no other setting.
func (p Program) Garbage(t *testing.T) {
	parser, err := p.New()
	if err != nil {
		t.Fatal(err)
	}
	clearEnvironment(t, parser.Model())
	for name, value := range p.Valid {
		t.Setenv(name, value)
	}
	model := parser.Model()
	for _, command := range Commands(model) {
		if command.Parent != nil {
			model.Children = []*kong.Node{command} // kong would visit all for each of thousands of pairs
		}
		t.Run(command.FullPath(), func(t *testing.T) {
			c := garbler{t: t, program: p, parser: parser, random: rand.New(rand.NewPCG(1, 2)), args: p.Args[command.Name]}
			if command.Parent != nil {
				c.args = append([]string{command.Name}, c.args...)
			}
			c.run(setting.Settings(command))
		})
	}
}

// clearEnvironment unsets all variables of the program.
func clearEnvironment(t *testing.T, model *kong.Node) {
	t.Helper()
	for _, command := range Commands(model) {
		for _, flag := range setting.Settings(command) {
			for _, name := range flag.Envs {
				t.Setenv(name, "")
			}
		}
	}
}

// Commands returns the commands that have no subcommands.
func Commands(model *kong.Node) []*kong.Node {
	if leaves := model.Leaves(false); len(leaves) > 0 {
		return leaves
	}
	return []*kong.Node{model}
}

type garbler struct {
	t       *testing.T
	program Program
	parser  *setting.Parser
	random  *rand.Rand
	args    []string
}

func (c garbler) run(settings []*kong.Flag) {
	if err := c.parse(nil); err != nil {
		c.t.Fatalf("without garbage: %v", err)
	}
	for i, flag := range settings {
		c.alone(flag)
		for _, other := range settings[:i] {
			values := map[*kong.Flag]string{flag: c.garbage(), other: c.garbage()}
			c.blames(values, c.parse(values))
		}
		for _, value := range append(flag.EnumSlice(), tempting...) {
			values := map[*kong.Flag]string{flag: value}
			err := c.parse(values)
			for _, names := range blamed(err) {
				if !slices.Contains(names, setting.Name(flag)) {
					c.t.Errorf("%s: %q: %v", flag.Name, value, err)
				}
			}
		}
	}
}

// tempting are values that are valid for some settings.
var tempting = []string{
	"", " ", "0", "0s", "-1", "1", "1e3", "99999999999999999999", "9999h", "true", "no", ",", "a,b", "a=b", "a=1,a=2", `\`, `a\,b`, "/", "a/b",
	"/etc/hostname", "/nowhere", ".", ":", ":0", "host:port", "https://dev.azure.com/contoso/project", "https://", "%zz", "${HOME}", "{{.}}",
	"Ünïcode", "\ufeff", "🙂", strings.Repeat("x", 5000), "a b", "-", "--", "A_B", "\xff", "\n",
}

// alone runs the program itself.
func (c garbler) alone(flag *kong.Flag) {
	values := map[*kong.Flag]string{flag: c.garbage()}
	c.with(values, func(args []string) {
		exit, output := c.program.Run(args)
		if exit != c.program.Exit || strings.Count(output, "\n") != 3 || !strings.Contains(output, "\n"+setting.Name(flag)+": ") {
			c.t.Errorf("%v: exit code %d: %s", args, exit, output)
		}
	})
	c.blames(values, c.parse(values))
}

// blames checks that an error names these settings, and these alone.
func (c garbler) blames(values map[*kong.Flag]string, err error) {
	var want []string
	for flag := range values {
		want = append(want, setting.Name(flag))
	}
	var got []string
	for _, names := range blamed(err) {
		got = append(got, names...)
	}
	slices.Sort(want)
	slices.Sort(got)
	if !slices.Equal(slices.Compact(got), want) {
		c.t.Errorf("%q: %v", values, err)
	}
}

// blamed returns the names in each line of an error about settings.
func blamed(err error) (lines [][]string) {
	if _, ok := errors.AsType[*setting.Invalid](err); !ok {
		return nil
	}
	all := strings.Split(err.Error(), "\n")
	for _, line := range all[1 : len(all)-1] {
		names, _, _ := strings.Cut(line, ": ")
		lines = append(lines, strings.Split(names, ", "))
	}
	return lines
}

// parse parses the command with these values, by their variables or by flags.
func (c garbler) parse(values map[*kong.Flag]string) (err error) {
	c.with(values, func(args []string) { _, err = c.parser.Parse(args) })
	return err
}

// with sets values of settings, by their variables or by flags, and puts the
// variables back.
func (c garbler) with(values map[*kong.Flag]string, do func(args []string)) {
	args := slices.Clone(c.args)
	before := map[string]string{}
	for flag, value := range values {
		secret := flag.Target.Type() == reflect.TypeFor[setting.Secret]()
		if len(flag.Envs) == 0 || !secret && c.random.IntN(2) == 0 {
			args = append(args, "--"+flag.Name+"="+value)
			continue
		}
		before[flag.Envs[0]] = os.Getenv(flag.Envs[0])
		c.setenv(flag.Envs[0], value)
	}
	do(args)
	for name, value := range before {
		c.setenv(name, value)
	}
}

func (c garbler) setenv(name, value string) {
	if err := os.Setenv(name, value); err != nil {
		c.t.Fatal(err)
	}
}

// garbage returns a value that no setting takes, since it has a control character
// in it.
func (c garbler) garbage() string {
	const letters = "abz019 .,:;=/\\'\"%${}[]()*?!#&|<>~-_äß€\U0001F642"
	const control = "\x01\x07\x08\x1b\x7f\u0080"
	runes, controls := []rune(letters), []rune(control)
	text := []rune{'x'}
	for range c.random.IntN(30) {
		text = append(text, runes[c.random.IntN(len(runes))])
	}
	text = append(text, controls[c.random.IntN(len(controls))], 'x')
	return string(text)
}
