package main

import (
	"bytes"
	"io"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue/safetext"
)

// Of warnings and errors with the same message, the first of each minute are
// logged, then one in sampleEvery.
const (
	sampleFirst = 100
	sampleEvery = 1000
)

// logger writes JSON, or lines for people.
func (f *processFlags) logger(w io.Writer) *zap.Logger {
	level, _ := zapcore.ParseLevel(f.LogLevel) // the setting's choices are levels
	config := zap.NewProductionEncoderConfig()
	config.EncodeTime = zapcore.RFC3339NanoTimeEncoder
	config.EncodeDuration = zapcore.StringDurationEncoder
	encoder := zapcore.NewJSONEncoder(config)
	if f.LogFormat == "console" {
		config.EncodeTime = zapcore.TimeEncoderOfLayout("15:04:05")
		config.ConsoleSeparator = "  "
		encoder = zapcore.NewConsoleEncoder(config)
	}
	core := zapcore.NewCore(encoder, zapcore.Lock(printable{w}), level)
	return zap.New(sampled{Core: core, sampler: zapcore.NewSamplerWithOptions(core, time.Minute, sampleFirst, sampleEvery)})
}

// sampled samples warnings and errors, of which callers and Azure DevOps can cause
// any number. Entries of lower levels are about the program's own actions.
type sampled struct {
	zapcore.Core

	sampler zapcore.Core
}

func (s sampled) With(fields []zapcore.Field) zapcore.Core {
	return sampled{Core: s.Core.With(fields), sampler: s.sampler.With(fields)}
}

func (s sampled) Check(entry zapcore.Entry, checked *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	if entry.Level >= zapcore.WarnLevel {
		return s.sampler.Check(entry, checked)
	}
	return s.Core.Check(entry, checked)
}

// printable writes lines without escape sequences and invisible characters. It is
// the one exit of all that is logged, which includes names and messages from
// Azure DevOps and from callers.
type printable struct{ w io.Writer }

func (p printable) Write(line []byte) (int, error) {
	text := safetext.Printable(string(bytes.TrimRight(line, "\n")))
	if _, err := io.WriteString(p.w, text+"\n"); err != nil {
		return 0, err
	}
	return len(line), nil
}

// Sync does nothing: each line is written at once.
func (printable) Sync() error { return nil }
