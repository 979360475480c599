package cluster

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

const product = "github.com/ado-agent-orchestrator/ado-agent-orchestrator"

// Programs are the paths of our programs.
type Programs struct{ Scaler, Agent string }

// Build builds our programs into a directory, as a user would. The working
// directory has to be within the module of the tests.
func Build(ctx context.Context, dir string) (Programs, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return Programs{}, err
	}
	source, err := Source(ctx)
	if err != nil {
		return Programs{}, err
	}
	p := Programs{Scaler: filepath.Join(dir, "ado-agent-orchestrator"), Agent: filepath.Join(dir, "ado-agent")}
	build := exec.CommandContext(ctx, "go", "build", "-C", source, "-o", dir+"/", //nolint:gosec // the paths are those of this repository
		"./cmd/ado-agent-orchestrator", "./cmd/ado-agent")
	if output, err := build.CombinedOutput(); err != nil {
		return Programs{}, fmt.Errorf("build our programs: %w: %s", err, output)
	}
	return p, nil
}

// Source returns the root of this repository. The working directory has to be
// within the module of the tests.
func Source(ctx context.Context) (string, error) {
	dir, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}", product).Output()
	if err != nil {
		return "", fmt.Errorf("find our programs: %w", err)
	}
	return strings.TrimSpace(string(dir)), nil
}

// Scaler is our program, running as a process.
type Scaler struct {
	// Addr is where it answers KEDA, HTTPAddr where its metrics are.
	Addr, HTTPAddr string

	command *exec.Cmd
	logged  chan struct{} // closed when the log has been read to its end
	stop    sync.Once
	stopErr error
}

// StartScaler runs `serve` on free ports, unless env, which is all that the
// process gets, says otherwise. The log is written to until Stop has returned.
func StartScaler(program string, env []string, log io.Writer) (*Scaler, error) {
	return StartScalerBy([]string{program}, env, log)
}

// StartScalerBy does the same by a command that ends in the program, such as
// "unshare --mount PROGRAM". It has to become the program, not to run it.
func StartScalerBy(command, env []string, log io.Writer) (*Scaler, error) {
	args := append(slices.Clone(command[1:]), "serve")
	s := &Scaler{command: exec.Command(command[0], args...), logged: make(chan struct{})} //nolint:gosec,noctx // it is ended by SIGTERM, not killed
	s.command.Env = append([]string{"GRPC_ADDR=127.0.0.1:0", "HTTP_ADDR=127.0.0.1:0"}, env...)
	s.command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	pipe, err := s.command.StderrPipe()
	if err != nil {
		return nil, err
	}
	if err := s.command.Start(); err != nil {
		return nil, err
	}
	lines := bufio.NewReader(pipe)
	var serving struct{ Msg, GRPC, HTTP string }
	// Whatever is wrong with the lines shows in the message not being there.
	var said strings.Builder
	for serving.Msg != "serving" {
		line, err := lines.ReadString('\n')
		said.WriteString(line)
		if err != nil {
			return nil, fmt.Errorf("the scaler did not start: %w: %s", errors.Join(err, s.command.Wait()), said.String())
		}
		_ = json.Unmarshal([]byte(line), &serving)
	}
	s.Addr, s.HTTPAddr = serving.GRPC, serving.HTTP
	go func() {
		defer close(s.logged)
		_, _ = io.Copy(log, io.MultiReader(strings.NewReader(said.String()), lines))
	}()
	return s, nil
}

// PID returns the id of the process.
func (s *Scaler) PID() int { return s.command.Process.Pid }

// Polls is how often KEDA has asked for a metric and got an answer, even if it was an
// error.
func (s *Scaler) Polls(ctx context.Context) (int, error) {
	return s.Metric(ctx, func(series string) bool {
		return strings.HasPrefix(series, "grpc_server_handled_total{") && strings.Contains(series, `grpc_method="GetMetrics"`)
	})
}

// Metric is the sum of the scaler's series that are picked.
func (s *Scaler) Metric(ctx context.Context, pick func(series string) bool) (int, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.HTTPAddr+"/metrics", http.NoBody)
	if err != nil {
		return 0, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, err
	}
	defer response.Body.Close()
	sum := 0
	lines := bufio.NewScanner(response.Body)
	for lines.Scan() {
		series, value, _ := strings.Cut(lines.Text(), "} ")
		if !pick(series) {
			continue
		}
		n, err := strconv.Atoi(value)
		if err != nil {
			return 0, fmt.Errorf("read the scaler's metrics: %w", err)
		}
		sum += n
	}
	return sum, lines.Err()
}

// Stop ends the process as Kubernetes does. That it does not exit with 0 is an
// error.
func (s *Scaler) Stop() error {
	s.stop.Do(func() {
		signalled := s.command.Process.Signal(syscall.SIGTERM)
		<-s.logged
		s.stopErr = errors.Join(signalled, s.command.Wait())
	})
	return s.stopErr
}

// Kill ends the process at once.
func (s *Scaler) Kill() error {
	var killed error
	s.stop.Do(func() {
		killed = s.command.Process.Kill()
		<-s.logged
		_ = s.command.Wait() // says that it was killed
	})
	return killed
}

// ProcessorTime is what the process has used, once it has ended.
func (s *Scaler) ProcessorTime() time.Duration {
	return s.command.ProcessState.UserTime() + s.command.ProcessState.SystemTime()
}
