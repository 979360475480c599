// Command build-control-plane builds what the tests' control plane consists of,
// for CI to do so in a separate step. Its arguments are versions of KEDA, by
// default that which tests run with. Tests build what is missing themselves.
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
	versions := os.Args[1:]
	if len(versions) == 0 {
		versions = []string{components.KEDAVersion()}
	}
	for _, version := range versions {
		programs, err := components.Build(ctx, components.Options{
			KEDA: version, MetricsServer: version == components.KEDAVersion(), Progress: os.Stderr,
		})
		if err != nil {
			return err
		}
		fmt.Println(programs)
	}
	return nil
}
