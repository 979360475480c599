// Command matrix runs what depends on the versions of KEDA and Kubernetes on each of
// the versions of KEDA that are its arguments, and prints a table. With -write it
// puts the lines into the table of docs/compatibility.md.
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

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/test/components"
)

// promised are the versions of KEDA that docs/compatibility.md is about, by that of
// Kubernetes. Older versions of Kubernetes are run with a KEDA of their time.
var promised = map[string][]string{
	components.OldestKubernetes: {"2.14.1"},
	"1.33":                      {"2.17.3"},
	components.LatestKubernetes: {"2.14.1", "2.15.1", "2.16.1", "2.17.3", "2.18.1", "2.19.0", "2.20.2", "2.21.0"},
}

func main() {
	write := flag.Bool("write", false, "put the lines into docs/compatibility.md, where those that are not run stay")
	kubernetes := flag.String("kubernetes", components.LatestKubernetes, "the version of Kubernetes, without its patch")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, *kubernetes, flag.Args(), *write)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "matrix:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, kubernetes string, versions []string, write bool) error {
	// Both this process, which builds, and those of go test read it.
	if err := os.Setenv(components.KubernetesVariable, kubernetes); err != nil {
		return err
	}
	if len(versions) == 0 {
		versions = promised[kubernetes]
	}
	var errs []error
	lines := map[pair]string{}
	for _, keda := range versions {
		if _, err := components.Build(ctx, components.Options{KEDA: keda, Progress: os.Stderr}); err != nil {
			return err
		}
		on := pair{keda, kubernetes}
		results, err := tryAll(ctx, on)
		errs = append(errs, err)
		lines[on] = line(on, results)
		fmt.Print(lines[on])
	}
	if write {
		errs = append(errs, writeTable(filepath.Join("..", "docs", "compatibility.md"), lines))
	}
	return errors.Join(errs...)
}
