// Command lab is a Kubernetes with KEDA, a simulated Azure DevOps and the
// scaler, to play with. From the root of the repository:
//
//	go run -C test ./cmd/lab up
//	go run -C test ./cmd/lab down
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
)

const usage = `usage: lab up | down | run

  up    start a control plane with KEDA, a simulated Azure DevOps and the
        scaler in the background, and print what to try
  down  end it
  run   the same as up, in the foreground, until Ctrl-C`

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:])
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "lab:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	cache, err := os.UserCacheDir()
	if err != nil {
		return err
	}
	lab := lab{dir: filepath.Join(cache, "ado-agent-orchestrator", "lab")}
	if len(args) != 1 {
		return errors.New(usage)
	}
	switch args[0] {
	case "up":
		return lab.up(ctx)
	case "down":
		return lab.down(ctx)
	case "run":
		return lab.run(ctx, os.Stdout)
	case inBackground:
		const instructions = 3
		syscall.CloseOnExec(instructions) // it is not for the control plane
		return lab.run(ctx, os.NewFile(instructions, "instructions"))
	default:
		return errors.New(usage)
	}
}
