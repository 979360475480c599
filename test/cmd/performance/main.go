// Command performance measures the scaler as a process against a real API
// server: what it costs to answer KEDA for many ScaledJobs, and how fast it
// answers. docs/performance.md describes what is measured. From the root of the
// repository:
//
//	go -C test run ./cmd/performance
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"k8s.io/klog/v2"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/test/cluster"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/test/controlplane"
)

// settings are the command line's.
type settings struct {
	size
	interval time.Duration
	warmUp   time.Duration
	duration time.Duration
	latency  time.Duration
	rate     rateSettings
	sharing  int

	check   bool
	write   bool
	dir     string
	program string
	env     []string
}

// size is how much there is in Kubernetes and Azure DevOps.
type size struct{ scaledJobs, pools, jobs int }

func main() {
	s, err := parse(os.Args[1:])
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	if err == nil {
		ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
		err = measureAll(ctx, s)
		stop()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "performance:", err)
		os.Exit(1)
	}
}

func parse(args []string) (settings, error) {
	var s settings
	flags := flag.NewFlagSet("performance", flag.ContinueOnError)
	flags.IntVar(&s.scaledJobs, "scaled-jobs", 1000, "number of ScaledJobs")
	flags.IntVar(&s.pools, "pools", 100, "number of agent pools, to which the ScaledJobs are dealt in turn")
	flags.IntVar(&s.jobs, "jobs", 2000, "number of Jobs, dealt to the ScaledJobs in turn; the agents of half of them run a request")
	flags.DurationVar(&s.interval, "interval", 5*time.Second, "pollingInterval of each ScaledJob")
	flags.DurationVar(&s.warmUp, "warm-up", 15*time.Second, "polling before the measurement")
	flags.DurationVar(&s.duration, "duration", time.Minute, "polling while measuring; also for the requests to Azure DevOps of shared pools")
	flags.DurationVar(&s.latency, "azure-devops-latency", 50*time.Millisecond, "how long Azure DevOps takes to answer")
	flags.IntVar(&s.rate.connections, "connections", 2, "gRPC connections while measuring rates")
	flags.IntVar(&s.rate.concurrency, "concurrency", 8, "calls in flight per connection while measuring rates")
	flags.IntVar(&s.rate.rounds, "rounds", 10, "rounds of each call while measuring rates; 0 skips the rates")
	flags.DurationVar(&s.rate.length, "round", time.Second, "length of a round while measuring rates")
	flags.IntVar(&s.sharing, "sharing", 100, "number of ScaledJobs that share a pool in the comparison with one; 0 skips it")
	flags.BoolVar(&s.check, "check", false, "exit with 1 if a bound is missed")
	flags.BoolVar(&s.write, "write", false, "write the tables to docs/performance.md")
	flags.StringVar(&s.dir, "dir", "", "keep the logs in this new `directory`")
	flags.StringVar(&s.program, "program", "", "measure this `file`, a build of the scaler, instead of building it")
	flags.Func("env", "further setting `NAME=value` of the scaler; may be repeated", func(text string) error {
		if !strings.Contains(text, "=") {
			return errors.New("must be NAME=value")
		}
		s.env = append(s.env, text)
		return nil
	})
	if err := flags.Parse(args); err != nil {
		return s, err
	}
	if min(s.scaledJobs, s.pools, s.rate.connections, s.rate.concurrency) < 1 || s.interval <= 0 {
		return s, errors.New("-scaled-jobs, -pools, -connections, -concurrency and -interval must be positive")
	}
	return s, nil
}

// measureAll starts a control plane, measures on it and prints the tables.
func measureAll(ctx context.Context, s settings) (err error) {
	dir, cleanUp, err := s.directory()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, cleanUp()) }()
	program, err := s.scaler(ctx, dir)
	if err != nil {
		return err
	}
	log, err := os.Create(filepath.Join(dir, "scaler.log")) //nolint:gosec // the user's own directory
	if err != nil {
		return err
	}
	defer log.Close()
	// Retries of a client of Kubernetes are not results.
	klog.SetSlogLogger(slog.New(slog.DiscardHandler))
	plane, err := controlplane.Start(ctx, controlplane.Options{Dir: filepath.Join(dir, "control-plane"), WithoutKEDA: true})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, plane.StopKeepingLogs()) }()
	measured, err := measure(ctx, s, plane, program, log)
	if err != nil {
		return err
	}
	tables := measured.tables()
	fmt.Print(tables)
	if s.write {
		err = writeTables(ctx, tables)
	}
	if s.check {
		err = errors.Join(err, measured.check())
	}
	return err
}

// directory returns the one for all files. It is removed unless it was asked for.
func (s settings) directory() (dir string, cleanUp func() error, err error) {
	if s.dir != "" {
		return s.dir, func() error { return nil }, os.MkdirAll(s.dir, 0o750)
	}
	dir, err = os.MkdirTemp("", "performance-")
	return dir, func() error { return os.RemoveAll(dir) }, err
}

// scaler returns the program that is measured.
func (s settings) scaler(ctx context.Context, dir string) (string, error) {
	if s.program != "" {
		return s.program, nil
	}
	programs, err := cluster.Build(ctx, dir)
	return programs.Scaler, err
}

// progress reports what is going on to who waits for the tables.
func progress(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "%s "+format+"\n", append([]any{time.Now().Format(time.TimeOnly)}, args...)...)
}
