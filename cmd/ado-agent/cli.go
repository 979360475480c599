package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/alecthomas/kong"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/cmd/ado-agent/agent"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/cmd/internal/setting"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/cmd/internal/version"
)

const description = `Runs Microsoft's agent for one pipeline job of Azure DevOps.

Each setting is a flag and an environment variable, shown as ($NAME); the flag
wins over the variable, and the variable over the default. Secrets are read from
$AZP_TOKEN, $AZURE_CLIENT_SECRET and $AZURE_CLIENT_CERTIFICATE_PASSWORD, or from
files.`

type commandLine struct {
	flags

	Version kong.VersionFlag `help:"Print the version."`
}

// newParser returns the parser of the command line.
func newParser(line *commandLine, options ...kong.Option) (*setting.Parser, error) {
	return setting.New(line, append(options,
		kong.Name("ado-agent"), kong.Description(description), kong.Vars{"version": "ado-agent " + version.String()},
		kong.ConfigureHelp(kong.HelpOptions{Compact: true}))...)
}

// run carries out a command line and returns the exit code of the process.
func run(args []string, out, log io.Writer) int {
	secrets := secretsOf(os.Environ())
	log = secrets.Writer(log)
	line := commandLine{}
	exited := -1
	parser, err := newParser(&line, kong.Writers(out, log), kong.Exit(func(code int) { exited = code }))
	if err == nil {
		_, err = parser.Parse(args)
	}
	if exited >= 0 { // --help or --version was asked for and answered
		return exited
	}
	if invalid, ok := errors.AsType[*setting.Invalid](err); ok {
		invalid.Hints = setting.NearMisses(parser.Model(), os.Environ(), nil)
	}
	if err != nil {
		err = failure{exitSettings, err}
	}
	switch {
	case line.Role == roleKeeper:
		err = line.keep(err, out, log) // which notifies the runner
	case err == nil:
		warnings := setting.NearMisses(parser.Model(), os.Environ(), nil)
		err = line.launch(warnings, out, log)
	}
	if err != nil {
		fmt.Fprintln(log, "ado-agent:", err)
		leaveMessage(terminationLog, secrets, err)
		return codeOf(err)
	}
	return exitOK
}

// terminationLog is the file in which Kubernetes looks for the last message of a
// container, unless its terminationMessagePath says otherwise.
const terminationLog = "/dev/termination-log"

// leaveMessage writes an error where Kubernetes shows it with the pod. Outside of a
// pod there is no such file, and none is created.
func leaveMessage(path string, secrets agent.Redactor, err error) {
	file, openErr := os.OpenFile(path, os.O_WRONLY|os.O_TRUNC, 0)
	if openErr != nil {
		return
	}
	defer file.Close()
	fmt.Fprintln(secrets.Writer(file), err)
}

// launch runs an agent by these settings, until a signal at the latest.
func (f *flags) launch(warnings []string, out, errs io.Writer) error {
	logger := f.logger(errs)
	for _, warning := range warnings {
		logger.Warn(warning)
	}
	if f.Role == roleRunner {
		return f.runJob(out, errs)
	}
	stopping, hurry, release := signals(context.Background())
	defer release()
	l, err := newLauncher(f, out, errs)
	if err != nil {
		return err
	}
	return l.run(stopping, hurry)
}

// logger writes lines for people, or JSON.
func (f *flags) logger(w io.Writer) *zap.Logger {
	config := zap.NewProductionEncoderConfig()
	config.EncodeTime = zapcore.RFC3339TimeEncoder
	config.EncodeDuration = zapcore.StringDurationEncoder
	encoder := zapcore.NewJSONEncoder(config)
	if f.LogFormat == "console" {
		config.EncodeLevel = zapcore.CapitalLevelEncoder
		encoder = zapcore.NewConsoleEncoder(config)
	}
	level, _ := zapcore.ParseLevel(f.LogLevel) // the setting's choices are levels
	return zap.New(zapcore.NewCore(encoder, zapcore.Lock(zapcore.AddSync(w)), level))
}
