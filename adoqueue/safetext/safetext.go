// Package safetext makes text from elsewhere safe to show in logs, events,
// statuses, error messages and on terminals.
//
// Names and messages of Azure DevOps are written by whoever may edit a
// pipeline. Raw, they could move a terminal's cursor, forge a line of a log, or
// reverse the order in which a sentence is read.
package safetext

import (
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxLine is the longest result of Line, in bytes, before the mark that it was
// cut.
const maxLine = 512

// escapeSequence matches the control sequences of terminals: CSI with its
// parameters, OSC up to its terminator, and the two-byte forms.
var escapeSequence = regexp.MustCompile(`(?:\x1b\[|\x{9b})[\x30-\x3f]*[\x20-\x2f]*[\x40-\x7e]|` +
	`(?:\x1b\]|\x{9d})[^\x07\x1b\x{9c}]*(?:\x07|\x1b\\|\x{9c})?|\x1b[\x20-\x2f]*[\x30-\x7e]`)

// Printable returns text without escape sequences, control characters and
// invisible format characters such as bidi marks. White space becomes a plain
// space, each on its own; bytes that are not UTF-8 become U+FFFD.
func Printable(text string) string {
	if isPlain(text) {
		return text
	}
	text = escapeSequence.ReplaceAllString(strings.ToValidUTF8(text, "\ufffd"), "")
	return strings.Map(func(r rune) rune {
		switch {
		case unicode.IsPrint(r):
			return r
		case unicode.IsSpace(r) || unicode.IsControl(r):
			return ' ' // so that the words on both sides stay apart
		default:
			return -1
		}
	}, text)
}

// isPlain reports whether text is printable ASCII, as nearly all names are.
func isPlain(text string) bool {
	for i := range len(text) {
		if text[i] < ' ' || text[i] > '~' {
			return false
		}
	}
	return true
}

// Line returns text as one short line: printable, without white space at its
// ends, with single spaces inside, and cut with an ellipsis where it is long.
func Line(text string) string {
	// Folding shortens text, so that a little more than fits is enough to read.
	text, long := cut(text, 8*maxLine)
	text = strings.Join(strings.Fields(Printable(text)), " ")
	text, cutAgain := cut(text, maxLine)
	if long || cutAgain {
		text += "…"
	}
	return text
}

func cut(text string, limit int) (string, bool) {
	if len(text) <= limit {
		return text, false
	}
	for limit > 0 && !utf8.RuneStart(text[limit]) {
		limit--
	}
	return text[:limit], true
}

// Error returns the message of err as Line does. Errors that errors.Join has
// put on separate lines are separated by semicolons.
func Error(err error) string {
	if err == nil {
		return ""
	}
	return Line(strings.ReplaceAll(strings.TrimSpace(err.Error()), "\n", "; "))
}
