package agent

import (
	"bytes"
	"io"
	"regexp"
	"sync"
)

// longestLine is how much of a line is kept back in wait for its end.
const longestLine = 64 << 10

// lines passes on what is written to it, one line at a time.
type lines struct {
	to   io.Writer
	edit func(line []byte) []byte

	mu   sync.Mutex
	rest []byte
}

// Write never fails: a program is not stopped because nobody reads what it says.
func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.rest = append(l.rest, p...)
	for {
		end := bytes.IndexByte(l.rest, '\n') + 1
		if end == 0 && len(l.rest) > longestLine {
			end = len(l.rest)
		}
		if end == 0 {
			return len(p), nil
		}
		_, _ = l.to.Write(l.edit(l.rest[:end]))
		l.rest = l.rest[end:]
	}
}

// flush passes on a last line that has no end.
func (l *lines) flush() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.rest) > 0 {
		_, _ = l.to.Write(l.edit(l.rest))
		l.rest = nil
	}
}

var (
	// credentials are what secrets look like that the launcher does not know:
	// headers, tokens of Entra, and addresses that are a credential themselves.
	credentials = regexp.MustCompile(`(?i)(\b(?:bearer|basic)\s+)[\w.~+/=-]{20,}|()\beyJ[\w-]{8,}\.[\w-]+\.[\w-]*|([?&](?:sig|token|code)=)[^&\s"']+`)
	// passwords are those in URLs.
	passwords = regexp.MustCompile(`(://[^/\s:@]*:)[^/\s]+@`)
)

// Redactor hides secrets in text.
type Redactor []string

// Redact returns a text without its secrets.
func (r Redactor) Redact(text []byte) []byte {
	for _, secret := range r {
		if secret != "" {
			text = bytes.ReplaceAll(text, []byte(secret), []byte("***"))
		}
	}
	text = passwords.ReplaceAll(text, []byte("${1}***@"))
	return credentials.ReplaceAll(text, []byte("$1$2$3***"))
}

// Writer returns a writer that passes on whole lines without their secrets.
func (r Redactor) Writer(to io.Writer) io.Writer { return r.lines(to, nil) }

func (r Redactor) lines(to io.Writer, seen func(line []byte)) *lines {
	return &lines{to: to, edit: func(line []byte) []byte {
		if seen != nil {
			seen(line)
		}
		return r.Redact(line)
	}}
}

// redacted passes on what the agent's programs print, and calls seen for each
// line, if it is not nil.
func (a Agent) redacted(to io.Writer, seen func(line []byte)) *lines {
	return a.Secrets.lines(to, seen)
}
