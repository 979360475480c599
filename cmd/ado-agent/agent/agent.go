// Package agent runs the programs of Microsoft's agent: config, which registers
// it in a pool, and run, which takes a job.
package agent

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

const (
	// quietTime is how long the output of a program that ended is waited for:
	// what it started may hold on to it.
	quietTime = 2 * time.Second
	// killAfter is how long config has to end once it is interrupted.
	killAfter = 5 * time.Second
)

// Agent is an unpacked package of Microsoft's agent.
type Agent struct {
	Folder string
	// Environment is what jobs see, as of Environment.
	Environment []string
	// Out and Err get what the programs print, whole lines at a time and without
	// Secrets.
	Out, Err io.Writer
	Secrets  Redactor
}

// Registration is how an agent is to stand in its pool.
type Registration struct {
	URL   string
	Pool  string
	Name  string
	Work  string // folder for jobs; relative to the agent's own
	Token string // personal access token or access token of Entra

	Proxy  Proxy
	CAFile string // PEM, "" for none
	// Inputs are further flags of config, as of Inputs; those above win.
	Inputs []string
}

// Proxy is what the agent reaches Azure DevOps through; its zero value is none.
type Proxy struct{ URL, User, Password string }

var (
	// ErrConfiguration means that config refused or failed.
	ErrConfiguration = errors.New("the agent could not be configured; its output says why")
	// ErrNetwork means that config failed for lack of the network; it may work
	// another time.
	ErrNetwork = fmt.Errorf("%w: it could not reach Azure DevOps", ErrConfiguration)
)

// configured are the files by which a folder counts as configured.
var configured = []string{".agent", ".credentials", ".credentials_rsaparams"}

// Configure registers the agent, in place of an earlier one of its name. It may
// have registered it even if it returns an error.
func (a Agent) Configure(ctx context.Context, r Registration) error {
	// Files of an earlier run in the same file system would make it refuse.
	for _, name := range configured {
		if err := os.Remove(filepath.Join(a.Folder, name)); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("remove what an earlier agent left: %w", err)
		}
	}
	a.Secrets = append(slices.Clip(a.Secrets), r.Token, r.Proxy.Password)
	out, failed := a.redacted(a.Out, nil), a.redacted(a.Err, nil)
	command := a.command(ctx, a.path(configProgram), "--unattended", "--replace", "--acceptTeeEula")
	command.Env = slices.Concat(a.Environment, r.Inputs, r.environment())
	command.Stdout, command.Stderr = out, failed
	command.Cancel = func() error { return interruptGroup(command.Process) }
	command.WaitDelay = killAfter
	begin := time.Now().Truncate(time.Second) // file systems may know no fractions
	err := command.Run()
	if command.Process != nil {
		_ = kill(command.Process) // what it left behind, if anything
	}
	out.flush()
	failed.flush()
	switch exited, ok := errors.AsType[*exec.ExitError](err); {
	case err == nil, errors.Is(err, exec.ErrWaitDelay) && ctx.Err() == nil:
		return nil
	case ctx.Err() != nil:
		return fmt.Errorf("configuration was cut short: %w", context.Cause(ctx))
	case ok && a.networkFailed(begin):
		return fmt.Errorf("%w (exit code %d)", ErrNetwork, exited.ExitCode())
	case ok:
		return fmt.Errorf("%w (exit code %d)", ErrConfiguration, exited.ExitCode())
	default:
		return fmt.Errorf("start the agent's configuration: %w", err)
	}
}

// handedOver are the files that an agent's configuration may consist of.
var handedOver = append(slices.Clip(configured), ".certificates", ".options", ".proxy", ".proxybypass", ".proxycredentials", ".credential_store")

// Configuration returns the files of a configured agent, for TakeConfiguration in
// another container. Work is the folder for jobs, which need not exist here.
func (a Agent) Configuration(work string) (map[string][]byte, error) {
	files := map[string][]byte{}
	for _, name := range handedOver {
		content, err := os.ReadFile(filepath.Join(a.Folder, name))
		switch {
		case errors.Is(err, os.ErrNotExist) && !slices.Contains(configured, name):
		case err != nil:
			return nil, fmt.Errorf("read the agent's configuration: %w", err)
		default:
			files[name] = content
		}
	}
	var err error
	files[settingsFile], err = withWork(files[settingsFile], work)
	return files, err
}

// settingsFile holds the agent's settings, as JSON that may begin with a byte
// order mark.
const settingsFile = ".agent"

func withWork(content []byte, work string) ([]byte, error) {
	settings := map[string]json.RawMessage{}
	if err := json.Unmarshal(bytes.TrimPrefix(content, []byte("\ufeff")), &settings); err != nil {
		return nil, fmt.Errorf("read the agent's configuration %s: %w", settingsFile, err)
	}
	var err error
	if settings["workFolder"], err = json.Marshal(work); err != nil {
		return nil, err
	}
	return json.Marshal(settings)
}

// TakeConfiguration makes the agent the one that was configured elsewhere.
func (a Agent) TakeConfiguration(files map[string][]byte) error {
	for name, content := range files {
		if !slices.Contains(handedOver, name) {
			return fmt.Errorf("%q is not a file of an agent's configuration", name)
		}
		path := filepath.Join(a.Folder, name)
		if err := os.WriteFile(path, content, 0o600); err != nil {
			return fmt.Errorf("take over the agent's configuration: %w", err)
		}
	}
	return nil
}

// environment returns the registration in the form in which config takes each of
// its flags from the environment, so that nothing shows in a list of processes
// and shells need not be distinguished.
func (r Registration) environment() []string {
	var set []string
	for _, v := range []struct{ flag, value string }{
		{"URL", r.URL},
		{"AUTH", "PAT"},
		{"TOKEN", r.Token},
		{"POOL", r.Pool},
		{"AGENT", r.Name},
		{"WORK", r.Work},
		{"PROXYURL", r.Proxy.URL},
		{"PROXYUSERNAME", r.Proxy.User},
		{"PROXYPASSWORD", r.Proxy.Password},
		{"SSLCACERT", r.CAFile},
	} {
		if v.value != "" {
			set = append(set, inputPrefix+v.flag+"="+v.value)
		}
	}
	if strings.HasPrefix(strings.ToLower(r.URL), "http:") {
		set = append(set, unsafeBasicAuth+"=true") // whether that may be has been decided
	}
	return set
}

// unsafeBasicAuth lets config send a token over plain http.
const unsafeBasicAuth = "VSS_ALLOW_UNSAFE_BASICAUTH"

// command prepares a program in a separate process group.
func (a Agent) command(ctx context.Context, program string, args ...string) *exec.Cmd {
	command := exec.CommandContext(ctx, program, args...) //nolint:gosec // a program of the agent's package
	command.Dir = a.Folder
	command.SysProcAttr = ownGroup()
	return command
}

func (a Agent) path(program string) string { return filepath.Join(a.Folder, program) }

// Installed reports whether a folder holds an agent.
func Installed(folder string) bool {
	_, err := os.Stat(filepath.Join(folder, configProgram))
	return err == nil
}
