package main

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/alecthomas/kong"
	"go.uber.org/zap/zapcore"
)

// mistakes gathers what is wrong with settings.
type mistakes []error

func (m *mistakes) add(setting, format string, args ...any) {
	*m = append(*m, fmt.Errorf("%s: %w", setting, fmt.Errorf(format, args...)))
}

func (m *mistakes) err() error {
	if len(*m) == 0 {
		return nil
	}
	return fmt.Errorf("the settings cannot be used:\n%w\nsee --help", errors.Join(*m...))
}

func (m *mistakes) choice(setting, value string, allowed ...string) {
	if !slices.Contains(allowed, value) {
		m.add(setting, "%q is not one of %s", value, strings.Join(allowed, ", "))
	}
}

// file names a file that is read at the start, if it is given.
func (m *mistakes) file(setting, path string) string {
	if path != "" {
		if _, err := os.ReadFile(path); err != nil {
			m.add(setting, "%w", err)
		}
	}
	return path
}

func (m *mistakes) milliseconds(setting, text string, least int) time.Duration {
	n, err := strconv.ParseUint(text, 10, 31)
	if err != nil || int(n) < least {
		m.add(setting, "%q is not a whole number of milliseconds from %d", text, least)
	}
	return time.Duration(n) * time.Millisecond
}

func (m *mistakes) yesNo(setting string, given yesNo) bool {
	yes, err := strconv.ParseBool(cmp.Or(string(given), "false"))
	if err != nil {
		m.add(setting, "%q is neither true nor false", given)
	}
	return yes
}

func (m *mistakes) duration(setting, text string) time.Duration {
	d, err := time.ParseDuration(text)
	if err != nil || d <= 0 {
		m.add(setting, "%q is not a duration such as 30s or 1m30s", text)
	}
	return d
}

func (m *mistakes) log(level, format string) logSettings {
	m.choice("LOG_FORMAT (--log-format)", format, "json", "console")
	m.choice("LOG_LEVEL (--log-level)", level, "debug", "info", "warn", "error")
	parsed, _ := zapcore.ParseLevel(level)
	return logSettings{level: parsed, console: format == "console"}
}

func (m *mistakes) count(setting, text string) int {
	n, err := strconv.ParseUint(text, 10, 16)
	if err != nil {
		m.add(setting, "%q is not a whole number from 0", text)
	}
	return int(n)
}

// pairs reads a list such as disk=ssd,zone=a.
func (m *mistakes) pairs(setting, list string) map[string]string {
	pairs := map[string]string{}
	for _, item := range splitList(list) {
		name, value, ok := strings.Cut(item, "=")
		if !ok || name == "" {
			m.add(setting, "%q has not the form name=value", item)
			continue
		}
		if _, twice := pairs[name]; twice {
			m.add(setting, "%s is given twice", name)
		}
		pairs[name] = value
	}
	if len(pairs) == 0 {
		return nil
	}
	return pairs
}

// splitList reads a comma list; empty items do not count.
func splitList(text string) []string {
	return strings.FieldsFunc(text, func(r rune) bool { return r == ',' || unicode.IsSpace(r) })
}

// yesNo is a flag that may stand without a value. It is a text until it is
// checked together with all others.
type yesNo string

// Decode takes what follows the flag, or what the environment holds.
func (y *yesNo) Decode(ctx *kong.DecodeContext) error {
	*y = "true"
	if ctx.Scan.Peek().Type == kong.FlagValueToken {
		return ctx.Scan.PopValueInto("true or false", (*string)(y))
	}
	return nil
}

// IsBool lets the flag stand alone.
func (yesNo) IsBool() bool { return true }
