package safetext_test

import (
	"errors"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue/memtest"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue/safetext"
)

func TestLine(t *testing.T) {
	for _, tt := range []struct{ name, text, want string }{
		{"plain", "Linux build", "Linux build"},
		{"letters of other scripts", "Größe 大小 حجم", "Größe 大小 حجم"},
		{"white space", " a\r\n\tb\u00a0 \u2028c ", "a b c"},
		{"control characters", "a\x00b\x07c\x7fd\u0085e", "a b c d e"},
		{"colours", "\x1b[31;1mred\x1b[0m alert", "red alert"},
		{"title of the window", "a\x1b]0;owned\x07b\x1b]8;;http://x\x1b\\c", "abc"},
		{"clear the screen", "\x1bcgone\x1b(Bx", "gonex"},
		{"eight-bit sequences", "a\u009b2Jb\u009d0;t\u009cc", "abc"},
		{"bidi marks", "gnp.\u202egpj.exe\u202c \u2066x\u2069\u200f", "gnp.gpj.exe x"},
		{"zero width", "a\u200bb\ufeffc\u00add", "abcd"},
		{"tags", "a\U000e0041\U000e0042b", "ab"},
		{"not UTF-8", "a\xff\xfeb", "a\ufffdb"},
		{"forged line", "ok\n2026-01-01 ERROR all is lost", "ok 2026-01-01 ERROR all is lost"},
		{"unfinished sequence", "a\x1b[31", "a31"},
	} {
		if got := safetext.Line(tt.text); got != tt.want {
			t.Errorf("%s: got %q, want %q", tt.name, got, tt.want)
		}
	}
}

func TestLineIsCut(t *testing.T) {
	got := safetext.Line(strings.Repeat("ü", 1<<20))
	if len(got) > 520 || !strings.HasSuffix(got, "ü…") {
		t.Errorf("got %d bytes that end in %q", len(got), got[len(got)-4:])
	}
	if got := safetext.Line(strings.Repeat(" ", 1<<20) + "end"); got != "…" {
		t.Errorf("got %q", got)
	}
}

func TestPrintableKeepsSpaces(t *testing.T) {
	if got := safetext.Printable("a  b\tc "); got != "a  b c " {
		t.Errorf("got %q", got)
	}
}

func TestError(t *testing.T) {
	got := safetext.Error(errors.Join(errors.New("first\x1b[2J"), errors.New("second")))
	if got != "first; second" || safetext.Error(nil) != "" {
		t.Errorf("got %q", got)
	}
}

func FuzzLine(f *testing.F) {
	f.Add("a\x1b[31mb\u202ec\xff")
	f.Fuzz(func(t *testing.T, text string) {
		var line string
		memtest.Within(t, len(text), 20, func() { line = safetext.Line(text) })
		if !utf8.ValidString(line) || len(line) > 520 || safetext.Line(line) != line {
			t.Errorf("%q becomes %q", text, line)
		}
		for _, r := range line {
			if !unicode.IsPrint(r) {
				t.Errorf("%q holds %U", line, r)
			}
		}
	})
}
