package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"github.com/alecthomas/kong"
)

const description = `Agents on demand for Azure DevOps Pipelines on Kubernetes.

Each setting is a flag and an environment variable, shown as ($NAME); the flag
wins over the variable, and the variable over the default.

Without a command it is run if AGENT_POOLS is set and SCALER_ADDRESS is not, else
serve.`

// commandLine is all that the program can be told.
type commandLine struct {
	Serve   serveCommand   `cmd:"" help:"Answer KEDA: the external scaler. With AGENT_POOLS it also keeps their ScaledJobs."`
	Run     runCommand     `cmd:"" help:"Without KEDA: create the Jobs that AGENT_POOLS lack."`
	Render  renderCommand  `cmd:"" help:"Print the ScaledJobs that serve keeps, or the Jobs that run creates, as YAML."`
	Ask     askCommand     `cmd:"" help:"Ask a running scaler about a pool, as KEDA does."`
	Demo    demoCommand    `cmd:"" help:"Show the scaler at work on a simulated Azure DevOps; needs no account and no cluster."`
	Version versionCommand `cmd:"" help:"Print the version."`
	None    noCommand      `cmd:"" default:"withargs" hidden:""`
}

// outputs are where a command writes: what was asked for, and the log.
type outputs struct{ out, log io.Writer }

// run carries out a command line and gives the process's exit code: 0 also when
// a signal told it to stop, 1 after a failure, 2 for a mistake in the command
// line.
func run(args []string, out, log io.Writer) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	exited := -1
	parser, err := kong.New(&commandLine{},
		kong.Name("ado-agent-orchestrator"), kong.Description(description),
		kong.Writers(out, log), kong.Exit(func(code int) { exited = code }),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true}),
		kong.BindTo(ctx, (*context.Context)(nil)), kong.Bind(outputs{out, log}),
	)
	if err != nil {
		fmt.Fprintln(log, "ado-agent-orchestrator:", err)
		return 2
	}
	parsed, err := parser.Parse(args)
	if exited >= 0 { // --help was asked for and answered
		return exited
	}
	if err != nil {
		fmt.Fprintln(log, "ado-agent-orchestrator:", err)
		return 2
	}
	if err := parsed.Run(); err != nil {
		fmt.Fprintln(log, "ado-agent-orchestrator:", err)
		return 1
	}
	return 0
}

// version is set by the image's build, which sees no history.
var version string

type versionCommand struct{}

func (versionCommand) Run(o outputs) error {
	_, err := fmt.Fprintln(o.out, "ado-agent-orchestrator", currentVersion())
	return err
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
