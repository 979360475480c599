package agent

import (
	"bytes"
	"io"
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

// redact hides secrets in what is written to it.
func redact(to io.Writer, secrets []string) *lines {
	return &lines{to: to, edit: func(line []byte) []byte {
		for _, secret := range secrets {
			if secret != "" {
				line = bytes.ReplaceAll(line, []byte(secret), []byte("***"))
			}
		}
		return line
	}}
}

// watch calls seen for each line.
func watch(to io.Writer, seen func(line []byte)) *lines {
	return &lines{to: to, edit: func(line []byte) []byte {
		seen(line)
		return line
	}}
}
