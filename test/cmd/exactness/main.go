// Command exactness measures how many Jobs KEDA makes for the same pipeline jobs
// with our scaler and with its own scaler azure-pipelines, and how long the jobs
// wait. docs/exactness.md describes what is compared and how. From the root of the
// repository:
//
//	go -C test run ./cmd/exactness
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

	"golang.org/x/sync/errgroup"
	"k8s.io/klog/v2"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/test/cluster"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/test/controlplane"
)

// settings are what the command line says.
type settings struct {
	short    bool
	check    bool
	parallel int
	only     string
	dir      string

	count string
	kube  string
	env   []string
}

func main() {
	var s settings
	flag.BoolVar(&s.short, "short", false, "measure a small part of it, in less than two minutes")
	flag.BoolVar(&s.check, "check", false, "fail if our scaler is not exact or too slow")
	flag.IntVar(&s.parallel, "parallel", 4, "how many runs go side by side")
	flag.StringVar(&s.only, "only", "", "measure only the runs whose name contains this `text`")
	flag.StringVar(&s.dir, "dir", "", "keep logs and a timeline of each run in this new `directory`")
	flag.StringVar(&s.count, "count-mode", "", "our trigger's metadata count; by default there is none")
	flag.StringVar(&s.kube, "kube", "on", "our scaler's setting KUBE; unless it is off, it gets KUBECONFIG and KUBE_NAMESPACES as well")
	flag.Func("env", "further setting `NAME=value` of our scaler; may be repeated", func(text string) error {
		if !strings.Contains(text, "=") {
			return errors.New("must be NAME=value")
		}
		s.env = append(s.env, text)
		return nil
	})
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := measureAll(ctx, s)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "exactness:", err)
		os.Exit(1)
	}
}

// measureAll starts a control plane, measures all runs on it and prints the
// tables of those that came to their end.
func measureAll(ctx context.Context, s settings) (err error) {
	runs := s.runs()
	if len(runs) == 0 {
		return fmt.Errorf("no run's name contains %q", s.only)
	}
	dir, cleanUp, err := s.directory()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, cleanUp()) }()
	programs, err := cluster.Build(ctx, dir)
	if err != nil {
		return err
	}
	log, err := os.Create(filepath.Join(dir, "clients.log"))
	if err != nil {
		return err
	}
	defer log.Close()
	// Messages of a client of Kubernetes about a pod that was deleted are no
	// progress.
	klog.SetSlogLogger(slog.New(slog.NewTextHandler(log, nil)))
	plane, err := controlplane.Start(ctx, controlplane.Options{Dir: filepath.Join(dir, "control-plane")})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, plane.StopKeepingLogs()) }()
	c, err := cluster.New(ctx, plane, programs)
	if err != nil {
		return err
	}
	record, err := cluster.RecordJobs(ctx, c.Kube)
	if err != nil {
		return err
	}
	l := laboratory{settings: s, cluster: c, record: record, dir: dir, program: programs.Scaler}
	results, err := l.measure(ctx, runs)
	if printErr := printTables(os.Stdout, results); printErr != nil {
		return errors.Join(err, printErr)
	}
	if s.check {
		err = errors.Join(err, broken(results))
	}
	return err
}

// directory makes the one for all files. Unless it was asked for it goes again.
func (s settings) directory() (dir string, cleanUp func() error, err error) {
	if s.dir != "" {
		return s.dir, func() error { return nil }, os.MkdirAll(s.dir, 0o750)
	}
	dir, err = os.MkdirTemp("", "exactness-")
	return dir, func() error { return os.RemoveAll(dir) }, err
}

// laboratory is where runs are measured.
type laboratory struct {
	settings
	cluster *cluster.Cluster
	record  *cluster.JobRecord
	dir     string
	program string // our scaler
}

// measure measures the runs, some at a time. One that fails leaves the others
// alone: they take minutes.
func (l laboratory) measure(ctx context.Context, runs []run) ([]result, error) {
	results := make([]*result, len(runs))
	errs := make([]error, len(runs))
	var group errgroup.Group
	group.SetLimit(l.parallel)
	for i, r := range runs {
		group.Go(func() error {
			results[i], errs[i] = l.report(ctx, r)
			return nil
		})
	}
	_ = group.Wait() // the errors are in errs
	var measured []result
	for _, res := range results {
		if res != nil {
			measured = append(measured, *res)
		}
	}
	return measured, errors.Join(errs...)
}

// report measures a run and says so.
func (l laboratory) report(ctx context.Context, r run) (*result, error) {
	res, err := l.measureOne(ctx, r)
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", r.name(), err)
		return nil, fmt.Errorf("%s: %w", r.name(), err)
	}
	fmt.Fprintf(os.Stderr, "%s: %s\n", r.name(), res)
	return &res, nil
}
