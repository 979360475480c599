//go:build !nodemo

package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue/adotest"
)

// showTable shows what goes on until ctx ends: in a terminal one table that is
// kept up to date, elsewhere one after the other.
func (k *demoKEDA) showTable(ctx context.Context, w io.Writer, terminal bool) error {
	interval := 2 * time.Second
	if terminal {
		interval = 250 * time.Millisecond
	}
	table := k.table()
	for {
		if _, err := io.WriteString(w, table); err != nil {
			return err
		}
		if !tick(ctx, interval) {
			return nil
		}
		up := ""
		if terminal {
			// Back to the first line, and clear from there to the end.
			up = fmt.Sprintf("\x1b[%dA\x1b[J", strings.Count(table, "\n"))
		}
		table = k.table()
		if _, err := io.WriteString(w, up); err != nil {
			return err
		}
	}
}

func (k *demoKEDA) table() string {
	var b strings.Builder
	columns := tabwriter.NewWriter(&b, 0, 0, 3, ' ', 0)
	fmt.Fprintln(columns, "POOL\tQUEUED\tRUNNING\tDONE\tAGENT JOBS\tMETRIC")
	for _, pool := range demoPools {
		var queued, running, done int
		for _, r := range k.standIn.Requests(pool) {
			switch r.State {
			case adotest.Queued:
				queued++
			case adotest.Finished:
				done++
			default:
				running++
			}
		}
		k.mu.Lock()
		fmt.Fprintf(columns, "%s\t%d\t%d\t%d\t%d\t%d\n", pool, queued, running, done, k.jobs[pool], k.metrics[pool])
		k.mu.Unlock()
	}
	_ = columns.Flush() // a strings.Builder takes all
	return b.String() + "\n"
}
