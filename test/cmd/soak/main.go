// Command soak runs the scaler for a long time under load, and fails if its memory
// or its goroutines grow, or if its counts are wrong. The scaler is a process, KEDA
// and the API server are real; Azure DevOps, the kubelet and the agents are stand-ins.
// From the root of the repository:
//
//	go -C test run ./cmd/soak            # an hour
//	go -C test run ./cmd/soak -for 10m   # as in CI
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/test/faults"
)

// settings are what the command line says.
type settings struct {
	duration time.Duration
	rate     float64
	dir      string
}

func main() {
	var s settings
	flag.DurationVar(&s.duration, "for", time.Hour, "how long jobs are queued")
	flag.Float64Var(&s.rate, "rate", 10, "jobs per `second`")
	flag.StringVar(&s.dir, "dir", "", "keep the logs and all samples in this new `directory`")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := soak(ctx, s)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "soak:", err)
		os.Exit(1)
	}
}

func soak(ctx context.Context, s settings) (err error) {
	if s.rate <= 0 || s.duration <= 0 {
		return errors.New("-rate and -for must be positive")
	}
	dir := s.dir
	if dir == "" {
		if dir, err = os.MkdirTemp("", "soak-"); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	}
	if dir, err = filepath.Abs(dir); err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return err
	}
	lab, stop, err := faults.NewLab(ctx, dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stop()) }()
	samples := samples{warmUp: min(time.Minute, s.duration/5)}
	load := faults.Load{For: s.duration, Every: time.Duration(float64(time.Second) / s.rate), Watch: samples.watch}
	result, err := lab.Soak(ctx, load)
	if err != nil {
		return err
	}
	fmt.Println(result)
	fmt.Println(&samples)
	return errors.Join(samples.problems(), result.Problem())
}
