package main

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
)

func TestLogOfForeignText(t *testing.T) {
	const foreign = "pool \x1b[2J\x1b]0;owned\x07 \u202egnp.exe\nforged"
	for _, format := range []string{"json", "console"} {
		var out bytes.Buffer
		logger := (&processFlags{LogLevel: "info", LogFormat: format}).logger(&out)
		logger.Warn(foreign, zap.String("name", foreign), zap.Error(errors.New(foreign)), zap.ByteString("stack", []byte(foreign)))
		text := strings.TrimSuffix(out.String(), "\n")
		if strings.ContainsAny(text, "\n\x1b\x07\u202e") || !strings.Contains(text, "gnp.exe") || !strings.HasSuffix(out.String(), "\n") {
			t.Errorf("%s: %q", format, out.String())
		}
	}
}

func TestWarningsAreSampled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		logger := (&processFlags{LogLevel: "info", LogFormat: "json"}).logger(&out).With(zap.String("part", "test"))
		lines := func() int {
			defer out.Reset()
			return strings.Count(out.String(), "\n")
		}
		for range 100_000 {
			logger.Warn("a warning")
		}
		if n := lines(); n < sampleFirst || n > 2*sampleFirst {
			t.Errorf("%d lines for 100,000 warnings of one kind", n)
		}
		logger.Warn("another warning")
		if n := lines(); n != 1 {
			t.Errorf("%d lines for another warning", n)
		}
		time.Sleep(time.Minute)
		logger.Warn("a warning")
		if n := lines(); n != 1 {
			t.Errorf("%d lines for the same warning a minute later", n)
		}
		for range 2 * sampleFirst {
			logger.Info("created Jobs")
		}
		if n := lines(); n != 2*sampleFirst {
			t.Errorf("%d of %d reports of work", n, 2*sampleFirst)
		}
	})
}
