package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"runtime/debug"

	"github.com/alecthomas/kong"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

const description = `Runs Microsoft's agent for one pipeline job of Azure DevOps.

Each setting is a flag and an environment variable, shown as ($NAME); the flag
wins over the variable, and the variable over the default. Secrets are read from
$AZP_TOKEN, $AZURE_CLIENT_SECRET and $AZURE_CLIENT_CERTIFICATE_PASSWORD, or from
files.`

type commandLine struct {
	flags

	Version bool `help:"Print the version."`
}

// version is set by the image's build, which sees no history.
var version string

// run carries out a command line and gives the process's exit code.
func run(args []string, out, log io.Writer) int {
	log = secretsOf(os.Environ()).Writer(log)
	line := commandLine{}
	exited := -1
	parser, err := kong.New(&line,
		kong.Name("ado-agent"), kong.Description(description),
		kong.Writers(out, log), kong.Exit(func(code int) { exited = code }),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true}),
	)
	if err == nil {
		_, err = parser.Parse(args)
	}
	switch {
	case exited >= 0: // --help was asked for and answered
		return exited
	case err != nil:
		err = failure{exitSettings, err}
	case line.Version:
		_, err = fmt.Fprintln(out, "ado-agent", currentVersion())
	default:
		err = line.launch(out, log)
	}
	if err != nil {
		fmt.Fprintln(log, "ado-agent:", err)
		return codeOf(err)
	}
	return exitOK
}

func currentVersion() string {
	if version != "" {
		return version
	}
	if info, ok := debug.ReadBuildInfo(); ok {
		return info.Main.Version
	}
	return "unknown"
}

// launch runs an agent by these settings, until a signal at the latest.
func (f flags) launch(out, errs io.Writer) error {
	if f.Role == roleKeeper {
		return f.keep(out, errs)
	}
	s, err := f.check()
	if err != nil {
		return err
	}
	if s.role == roleRunner {
		return s.runJob(out, errs)
	}
	told, hurry, release := signals(context.Background())
	defer release()
	l, err := newLauncher(s, out, errs)
	if err != nil {
		return err
	}
	return l.run(told, hurry)
}

// logger writes lines for people, or JSON.
func (s settings) logger(w io.Writer) *zap.Logger {
	config := zap.NewProductionEncoderConfig()
	config.EncodeTime = zapcore.RFC3339TimeEncoder
	config.EncodeDuration = zapcore.StringDurationEncoder
	encoder := zapcore.NewJSONEncoder(config)
	if s.logConsole {
		config.EncodeLevel = zapcore.CapitalLevelEncoder
		encoder = zapcore.NewConsoleEncoder(config)
	}
	return zap.New(zapcore.NewCore(encoder, zapcore.Lock(zapcore.AddSync(w)), s.logLevel))
}
