// Command matrix runs what depends on KEDA's version on each of the versions that
// are its arguments, and prints a table. With -write it puts the table of all
// versions into docs/compatibility.md.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/test/components"
)

// promised are the versions that docs/compatibility.md is about.
var promised = []string{"2.14.1", "2.15.1", "2.16.1", "2.17.3", "2.18.1", "2.19.0", "2.20.2", "2.21.0"}

func main() {
	write := flag.Bool("write", false, "put the table into docs/compatibility.md, where versions that are not run keep their line")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, flag.Args(), *write)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "matrix:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, versions []string, write bool) error {
	if len(versions) == 0 {
		versions = promised
	}
	var errs []error
	lines := map[string]string{}
	for _, version := range versions {
		if _, err := components.Build(ctx, components.Options{KEDA: version, Progress: os.Stderr}); err != nil {
			return err
		}
		results, err := tryAll(ctx, version)
		errs = append(errs, err)
		lines[version] = line(version, results)
		fmt.Println(lines[version])
	}
	if write {
		errs = append(errs, writeTable(filepath.Join("..", "docs", "compatibility.md"), lines))
	}
	return errors.Join(errs...)
}

const (
	begin = "<!-- made by go -C test run ./cmd/matrix -write -->\n"
	end   = "<!-- /matrix -->"
)

// writeTable replaces the lines of versions in the table of a file.
func writeTable(file string, lines map[string]string) error {
	content, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	before, rest, found := strings.Cut(string(content), begin)
	old, after, closed := strings.Cut(rest, end)
	if !found || !closed {
		return fmt.Errorf("%s has no %q and %q", file, begin, end)
	}
	var table strings.Builder
	table.WriteString(header())
	for _, version := range promised {
		now, measured := lines[version]
		for previous := range strings.Lines(old) {
			if !measured && strings.HasPrefix(previous, "| "+version+" |") {
				now = strings.TrimRight(previous, "\n")
			}
		}
		if now != "" {
			table.WriteString(now + "\n")
		}
	}
	return os.WriteFile(file, []byte(before+begin+table.String()+end+after), 0o600) //nolint:gosec // the path is this repository's
}
