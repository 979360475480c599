package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"

	"github.com/alecthomas/kong"
	"go.uber.org/zap"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/cmd/internal/setting"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/cmd/internal/version"
)

const description = `Agents on demand for Azure DevOps Pipelines on Kubernetes.

Each setting is a flag and an environment variable, shown as ($NAME); the flag
wins over the variable, and the variable over the default. Secrets have variables
only: $ORG_PAT, $AZURE_CLIENT_SECRET and $AZURE_CLIENT_CERTIFICATE_PASSWORD.

The default command is run if AGENT_POOLS is set and SCALER_ADDRESS is not, else
serve.`

// exit codes besides 0.
const (
	exitFailure = 1 // also of invalid settings
	exitUsage   = 2 // the command line has an unknown command or flag
)

// commandLine is everything that the program can be asked to do.
type commandLine struct {
	Serve   serveCommand   `cmd:"" help:"Serve KEDA as its external scaler. With AGENT_POOLS, maintain their ScaledJobs."`
	Run     runCommand     `cmd:"" help:"Create the missing Jobs of AGENT_POOLS without KEDA."`
	Render  renderCommand  `cmd:"" help:"Print the ScaledJobs that serve keeps, or the Jobs that run creates, as YAML."`
	Query   queryCommand   `cmd:"" help:"Ask a running scaler for the metric of a ScaledJob or a pool, as KEDA does."`
	Explain explainCommand `cmd:"" help:"Show each pipeline job's progress towards an agent, what blocks it, and the fix. Exit code 3: some jobs cannot be served."`
	Doctor  doctorCommand  `cmd:"" help:"Check the setup that serve requires, and suggest fixes. Uses serve's settings and changes nothing."`
	Migrate migrateCommand `cmd:"" help:"Turn manifests with KEDA's azure-pipelines trigger into ScaledJobs for this scaler."`
	Version versionCommand `cmd:"" help:"Print the version."`
	None    noCommand      `cmd:"" hidden:""`

	// More are commands that a released build leaves out.
	More kong.Plugins `embed:""`
}

// outputs are where a command writes: what was asked for, and the log.
type outputs struct {
	out, log io.Writer
	// warnings are for the log once it is open.
	warnings []string
}

// warn writes the warnings, for commands that have no other log.
func (o outputs) warn() {
	for _, warning := range o.warnings {
		fmt.Fprintln(o.log, "warning:", warning)
	}
}

// warned logs the warnings.
func (o outputs) warned(logger *zap.Logger) *zap.Logger {
	for _, warning := range o.warnings {
		logger.Warn(warning)
	}
	return logger
}

// newParser returns the parser of the command line.
func newParser(line *commandLine, options ...kong.Option) (*setting.Parser, error) {
	line.More = more
	return setting.New(line, append(options,
		kong.Name("ado-agent-orchestrator"), kong.Description(description), kong.ExplicitGroups(settingGroups),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true}))...)
}

// run carries out a command line until a signal ends it, and returns the exit
// code of the process.
func run(args []string, out, log io.Writer) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	return runUntil(ctx, args, outputs{out: out, log: log})
}

func runUntil(ctx context.Context, args []string, o outputs) int {
	exited, line := -1, &commandLine{}
	parser, err := newParser(line, kong.Writers(o.out, o.log), kong.Exit(func(code int) { exited = code }),
		kong.BindTo(ctx, (*context.Context)(nil)))
	if err != nil {
		fmt.Fprintln(o.log, "ado-agent-orchestrator:", err)
		return exitUsage
	}
	parsed, err := parser.Parse(withCommand(args))
	if exited >= 0 { // --help was asked for and answered
		return exited
	}
	code := exitUsage
	if parsed != nil {
		code = exitFailure
		o.warnings = setting.NearMisses(parsed.Selected(), os.Environ(), otherNames)
	}
	switch invalid, ok := errors.AsType[*setting.Invalid](err); {
	case ok:
		invalid.Hints = o.warnings
	case err != nil:
		err = withCommands(err, parser.Model(), args)
	default:
		o.warnings = append(o.warnings, ignoredByRun(parser.Model(), parsed.Selected(), line)...)
		err = parsed.Run(o)
	}
	if ended, ok := errors.AsType[exitError](err); ok {
		return ended.code
	}
	if err != nil {
		fmt.Fprintln(o.log, "ado-agent-orchestrator:", err)
		return code
	}
	return 0
}

// withCommands adds the commands to the error of an unknown one that is like none.
func withCommands(err error, model *kong.Node, args []string) error {
	if len(args) == 0 || !strings.HasSuffix(err.Error(), "unexpected argument "+args[0]) {
		return err
	}
	var names []string
	for _, command := range model.Children {
		if !command.Hidden {
			names = append(names, command.Name)
		}
	}
	return fmt.Errorf("%w; the commands are %s", err, strings.Join(names, ", "))
}

// ignoredByRun returns a warning for each variable that only serve takes, if the
// command is run.
func ignoredByRun(model, command *kong.Node, line *commandLine) []string {
	commands := map[string]*kong.Node{}
	for _, node := range model.Children {
		commands[node.Name] = node
	}
	if command != commands["run"] && (command != commands["none"] || !line.None.standalone()) {
		return nil
	}
	return setting.Ignored(commands["run"], commands["serve"], os.Environ())
}

// withCommand adds the command that is meant if there is none. kong could do that
// too, but takes an unknown command for an argument of this one then. A command help
// and a flag --version, which other programs have, mean --help and version.
func withCommand(args []string) []string {
	if len(args) > 0 {
		switch args[0] {
		case "help":
			return append(slices.Clone(args[1:]), "--help")
		case "--version":
			return append([]string{"version"}, args[1:]...)
		}
	}
	help := slices.Contains(args, "--help") || slices.Contains(args, "-h")
	if help || len(args) > 0 && !strings.HasPrefix(args[0], "-") {
		return args
	}
	return append([]string{"none"}, args...)
}

type versionCommand struct{}

// Run prints the version.
func (versionCommand) Run(o outputs) error {
	_, err := fmt.Fprintln(o.out, "ado-agent-orchestrator", version.String())
	return err
}
