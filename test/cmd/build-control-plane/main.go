// Command build-control-plane builds what the tests' control plane consists of,
// for CI to do so in a step of its own. Tests build what is missing themselves.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/test/components"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

func run() error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	programs, err := components.Build(ctx, os.Stderr)
	if err != nil {
		return err
	}
	for _, path := range []string{
		programs.Etcd, programs.APIServer, programs.ControllerManager, programs.KEDA, programs.KEDACRDs,
	} {
		fmt.Println(path)
	}
	return nil
}
