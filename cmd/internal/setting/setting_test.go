package setting_test

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/alecthomas/kong"
	"github.com/google/go-cmp/cmp"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/cmd/internal/setting"
)

// program has a setting of each kind.
type program struct {
	Serve serve    `cmd:""`
	Other struct { // its settings have the same variables
		Wait int `env:"WAIT"`
	} `cmd:""`
}

type serve struct {
	Text   string          `env:"TEXT"`
	Mode   string          `env:"MODE" default:"auto" enum:"auto,on,off"`
	Yes    bool            `env:"YES"`
	Wait   time.Duration   `env:"WAIT" default:"10m" min:"1s" max:"1h"`
	Pause  time.Duration   `env:"PAUSE" default:"1000" unit:"ms"`
	Least  int             `env:"LEAST" default:"1" max:"9"`
	Most   int             `env:"MOST" default:"5" min:"1"`
	List   []string        `env:"LIST"`
	Pairs  setting.Pairs   `env:"PAIRS"`
	File   setting.File    `env:"FILE"`
	Listen setting.Address `env:"LISTEN" default:":9090"`
	Token  setting.Secret  `env:"TOKEN" hidden:""`
}

func (s *serve) Check(p *setting.Problems) {
	if p.Sound(&s.Least, &s.Most) && s.Least > s.Most {
		p.Add(&s.Least, "%d is more than %s, %d", s.Least, p.Name(&s.Most), s.Most)
	}
	if s.Text == "" {
		p.AddAll([]any{&s.Text, &s.Token}, "one is missing")
	}
}

func parse(t *testing.T, env map[string]string, args ...string) (serve, error) {
	t.Helper()
	for name, value := range env {
		t.Setenv(name, value)
	}
	p := &program{}
	parser, err := setting.New(p, kong.Exit(func(int) { t.Error("exit") }))
	if err != nil {
		t.Fatal(err)
	}
	_, err = parser.Parse(append([]string{"serve"}, args...))
	return p.Serve, err
}

func TestValues(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	defaults := serve{Text: "x", Mode: "auto", Wait: 10 * time.Minute, Pause: time.Second, Least: 1, Most: 5, Listen: ":9090"}
	with := func(change func(*serve)) serve {
		s := defaults
		change(&s)
		return s
	}
	for name, tt := range map[string]struct {
		env  map[string]string
		args []string
		want serve
	}{
		"defaults":          {nil, nil, defaults},
		"empty is unset":    {map[string]string{"MODE": "", "YES": "", "WAIT": "", "LIST": "", "FILE": "", "TOKEN": ""}, nil, defaults},
		"white space":       {map[string]string{"MODE": " on\n", "YES": "true\n", "WAIT": "\ufeff90\r\n", "TOKEN": "abc\n"}, nil, with(func(s *serve) { s.Mode, s.Yes, s.Wait, s.Token = "on", true, 90*time.Second, "abc" })},
		"flag wins":         {map[string]string{"WAIT": "1m", "YES": "true", "MODE": "off"}, []string{"--wait=2m", "--yes=false", "--mode", "on"}, with(func(s *serve) { s.Wait, s.Mode = 2*time.Minute, "on" })},
		"flag wins garbage": {map[string]string{"WAIT": "long"}, []string{"--wait=2m"}, with(func(s *serve) { s.Wait = 2 * time.Minute })},
		"bare bool":         {nil, []string{"--yes", "--wait=1h"}, with(func(s *serve) { s.Yes, s.Wait = true, time.Hour })},
		"units":             {map[string]string{"WAIT": "1.5", "PAUSE": "250"}, nil, with(func(s *serve) { s.Wait, s.Pause = 1500*time.Millisecond, 250*time.Millisecond })},
		"zero":              {map[string]string{"PAUSE": "0s"}, nil, with(func(s *serve) { s.Pause = 0 })},
		"lists": {
			map[string]string{"LIST": `a b, c\,d,,` + "\n e", "PAIRS": "disk = ssd,a=b=c,d="},
			nil,
			with(func(s *serve) {
				s.List, s.Pairs = []string{"a b", "c,d", "e"}, setting.Pairs{"disk": "ssd", "a": "b=c", "d": ""}
			}),
		},
		"a list in parts": {map[string]string{"LIST": "z"}, []string{"--list=a,b", "--list=c"}, with(func(s *serve) { s.List = []string{"a", "b", "c"} })},
		"a file":          {map[string]string{"FILE": file}, nil, with(func(s *serve) { s.File = setting.File(file) })},
		"an address":      {map[string]string{"LISTEN": "[::1]:80"}, nil, with(func(s *serve) { s.Listen = "[::1]:80" })},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("TEXT", "x")
			got, err := parse(t, tt.env, tt.args...)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestProblems(t *testing.T) {
	for name, tt := range map[string]struct {
		env  map[string]string
		args []string
		want []string
	}{
		"all at once": {
			map[string]string{
				"TEXT": "a\x1b[2J", "MODE": "maybe", "YES": "perhaps", "WAIT": "long", "PAUSE": "-1", "LEAST": "1.5", "MOST": "x",
				"PAIRS": "a=1,a=2", "FILE": "/nowhere", "LISTEN": "host", "TOKEN": "s3cr3t\nx",
			},
			nil,
			[]string{
				"TEXT (--text): contains a control character, such as a line break",
				`MODE (--mode): "maybe" is not one of auto, on, off`,
				`YES (--yes): "perhaps" is neither true nor false`,
				`WAIT (--wait): "long" is not a duration such as 90s or 10m`,
				`PAUSE (--pause): "-1" is too small; the minimum is 0s`,
				`LEAST (--least): "1.5" is not a whole number`,
				`MOST (--most): "x" is not a whole number`,
				`PAIRS (--pairs): "a" is given twice`,
				"FILE (--file): stat /nowhere: no such file or directory",
				`LISTEN (--listen): "host" is not an address of the form HOST:PORT or :PORT`,
				"TOKEN: contains a control character, such as a line break",
			},
		},
		"bounds": {
			map[string]string{"TEXT": "x", "WAIT": "0", "LEAST": "10", "MOST": "0"},
			nil,
			[]string{
				`WAIT (--wait): "0" is too small; the minimum is 1s`, `LEAST (--least): "10" is too large; the maximum is 9`,
				`MOST (--most): "0" is too small; the minimum is 1`,
			},
		},
		"relations":                {map[string]string{"LEAST": "6"}, nil, []string{"LEAST (--least): 6 is more than MOST (--most), 5", "TEXT (--text), TOKEN: one is missing"}},
		"no relation to a default": {map[string]string{"TEXT": "x", "LEAST": "6", "MOST": "many"}, nil, []string{`MOST (--most): "many" is not a whole number`}},
		"a secret as a flag":       {map[string]string{"TEXT": "x", "TOKEN": "fine"}, []string{"--token=s3cr3t"}, []string{"TOKEN: is not accepted as a flag, which other processes can read; set the variable"}},
		"a flag":                   {map[string]string{"TEXT": "x", "WAIT": "1m"}, []string{"--wait=long"}, []string{`WAIT (--wait): "long" is not a duration such as 90s or 10m`}},
		"the last flag counts":     {map[string]string{"TEXT": "x"}, []string{"--wait=1m", "--wait=long"}, []string{`WAIT (--wait): "long" is not a duration such as 90s or 10m`}},
		"a long value":             {map[string]string{"TEXT": "x", "WAIT": strings.Repeat("é", 1000)}, nil, []string{`WAIT (--wait): "` + strings.Repeat("é", 60) + `…" is not a duration such as 90s or 10m`}},
		"not UTF-8":                {map[string]string{"TEXT": "a\xff"}, nil, []string{"TEXT (--text): is not valid UTF-8"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := parse(t, tt.env, tt.args...)
			invalid, ok := errors.AsType[*setting.Invalid](err)
			if !ok {
				t.Fatalf("got %v", err)
			}
			want := "invalid settings:\n" + strings.Join(tt.want, "\n") + "\nsee --help"
			if diff := cmp.Diff(want, invalid.Error()); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestCommandLine is about the command line itself, which is not about settings.
func TestCommandLine(t *testing.T) {
	t.Setenv("TEXT", "x")
	for _, args := range [][]string{{"--unknown"}, {"--wait"}, {"--wait", "--yes"}, {"more"}} {
		_, err := parse(t, nil, args...)
		if _, ok := errors.AsType[*setting.Invalid](err); ok || err == nil {
			t.Errorf("%v: got %v", args, err)
		}
	}
}

func TestTags(t *testing.T) {
	for _, commandLine := range []any{
		&struct {
			Wait time.Duration `min:"long"`
		}{},
		&struct {
			Count int `max:"1m"`
		}{},
	} {
		if _, err := setting.New(commandLine); err == nil {
			t.Errorf("%v: taken", reflect.TypeOf(commandLine))
		}
	}
}

func TestSecretDoesNotPrint(t *testing.T) {
	token := setting.Secret("s3cr3t")
	for _, text := range []string{token.String(), token.GoString()} {
		if strings.Contains(text, "s3cr3t") {
			t.Error(text)
		}
	}
	if token.Reveal() != "s3cr3t" {
		t.Error("it is lost")
	}
}
