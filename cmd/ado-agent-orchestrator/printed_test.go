package main

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// root is that of the repository.
const root = "../.."

// printed is a command that a document prints.
type printed struct {
	place string
	env   map[string]string
	words []string
}

func (p printed) String() string { return p.place + ": " + strings.Join(p.words, " ") }

// after returns the words after the first one that is equal to a word.
func (p printed) after(word string) []string {
	if i := slices.Index(p.words, word); i >= 0 {
		return p.words[i+1:]
	}
	return nil
}

// flag returns the values of a flag, which may have several names.
func (p printed) flag(names ...string) (values []string) {
	for i, word := range p.words {
		name, value, joined := strings.Cut(word, "=")
		switch {
		case !slices.Contains(names, name):
		case joined:
			values = append(values, value)
		case i+1 < len(p.words):
			values = append(values, p.words[i+1])
		}
	}
	return values
}

// printedCommands returns the commands of all documents. Each is checked, as far
// as this machine can, by the entry of its program in checks.
func printedCommands(t *testing.T) (commands []printed) {
	t.Helper()
	block := regexp.MustCompile("(?ms)^ *```sh(\n.*?)\n *```")
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() && (entry.Name() == ".git" || entry.Name() == "testdata") {
			return filepath.SkipDir
		}
		if extension := filepath.Ext(path); entry.IsDir() || extension != ".md" && filepath.Base(path) != "artifacthub-pkg.yml" {
			return nil
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for _, match := range block.FindAllStringSubmatch(string(content), -1) {
			for line := range strings.Lines(strings.ReplaceAll(match[1], "\\\n", " ")) {
				if words := shellWords(line); len(words) > 0 {
					commands = append(commands, withEnv(strings.TrimPrefix(path, root+"/"), words))
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return commands
}

// shellWords returns the words of a line of shell without its comment. Quotes are
// removed, and an operator ends the command.
func shellWords(line string) (words []string) {
	var word strings.Builder
	quote, begun := rune(0), false
	end := func() {
		if begun {
			words = append(words, word.String())
		}
		word.Reset()
		begun = false
	}
	for _, r := range strings.TrimSpace(line) {
		switch {
		case quote != 0 && r == quote:
			quote = 0
		case quote != 0:
			word.WriteRune(r)
		case r == '\'' || r == '"':
			quote, begun = r, true
		case r == ' ':
			end()
		case !begun && strings.ContainsRune("#>|&", r):
			return words
		default:
			word.WriteRune(r)
			begun = true
		}
	}
	end()
	return words
}

// withEnv splits the variables off that precede a command.
func withEnv(place string, words []string) printed {
	p := printed{place: place, env: map[string]string{}}
	assignment := regexp.MustCompile(`^([A-Z_][A-Z0-9_]*)=(.*)$`)
	for len(words) > 0 {
		match := assignment.FindStringSubmatch(words[0])
		if match == nil {
			break
		}
		p.env[match[1]] = match[2]
		words = words[1:]
	}
	p.words = words
	return p
}

func TestShellWords(t *testing.T) {
	for line, want := range map[string]string{
		`a  b # c`:                            "a|b",
		`a 'b c' "d e"x --f='g h'`:            "a|b c|d ex|--f=g h",
		`kubectl port-forward x 9090 &`:       "kubectl|port-forward|x|9090",
		`migrate in.yaml > out.yaml`:          "migrate|in.yaml",
		`go test -run '^$' ./... # benchmark`: "go|test|-run|^$|./...",
		`# nothing`:                           "",
	} {
		if got := strings.Join(shellWords(line), "|"); got != want {
			t.Errorf("%s: %s, want %s", line, got, want)
		}
	}
}

// TestPrintedCommands checks every command that a document prints: what can run
// here runs, and of the others names, files, flags and values must exist.
func TestPrintedCommands(t *testing.T) {
	commands := printedCommands(t)
	if len(commands) < 40 {
		t.Fatalf("found only %d commands", len(commands))
	}
	for _, command := range commands {
		check, known := checks[command.words[0]]
		if !known {
			t.Errorf("%s: no check knows %s", command, command.words[0])
			continue
		}
		if problem := check(t, command); problem != "" {
			t.Errorf("%s: %s", command, problem)
		}
	}
}

// runPrinted runs a command of the program if it ends without a cluster and an
// organization, else it checks its flags and settings.
func runPrinted(t *testing.T, env map[string]string, args []string) string {
	t.Helper()
	if len(args) > 0 && (args[0] == "render" || args[0] == "version") {
		var out, log bytes.Buffer
		if exit := runUntil(t.Context(), args, outputs{out: &out, log: &log}); exit != 0 || out.Len() == 0 {
			return log.String()
		}
		return ""
	}
	var lines []string
	for name, value := range env {
		lines = append(lines, name+"="+value)
	}
	token := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(token, []byte("s3cr3t"), 0o600); err != nil {
		t.Fatal(err)
	}
	return parsePrinted(t, lines, args, token)
}

// parsePrinted parses a command line as the program does. Files that exist only
// where the command is meant to run are replaced by one that exists.
func parsePrinted(t *testing.T, env, args []string, file string) string {
	t.Helper()
	parsed := ""
	t.Run("parse", func(t *testing.T) {
		for _, line := range env {
			name, value, _ := strings.Cut(line, "=")
			if strings.HasSuffix(name, "_FILE") {
				value = file
			}
			if _, known := variables(t)[name]; !known && name != "ORG_PAT" {
				parsed = name + " is not a setting"
			}
			t.Setenv(name, value)
		}
		if args = withCommand(args); args[0] == "none" || args[0] == "doctor" {
			return // their settings come from the pod
		}
		parser, err := newParser(&commandLine{})
		if err != nil {
			t.Fatal(err)
		}
		if args[0] == "migrate" {
			args = append([]string{"migrate"}, file)
		}
		if _, err := parser.Parse(args); err != nil {
			parsed = err.Error()
		}
	})
	return parsed
}
