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

// table compares the ways in which the same jobs are scaled.
func (k *demoKEDA) table() string {
	var b strings.Builder
	columns := tabwriter.NewWriter(&b, 0, 0, 3, ' ', 0)
	fmt.Fprintln(columns, "POOL\tQUEUED\tRUNNING\tDONE\tAGENT JOBS\tMETRIC\tJOBS MADE\tSURPLUS\tMEAN WAIT\tCOUNTED BY")
	for _, c := range k.contenders() {
		var queued, running int
		for _, r := range k.standIn.Requests(c.Pool) {
			switch {
			case ofOthers(&r) || r.State == adotest.Finished:
			case r.State == adotest.Queued:
				queued++
			default:
				running++
			}
		}
		k.mu.Lock()
		unfinished, metric := k.unfinished[c.Pool], k.metrics[c.Pool]
		k.mu.Unlock()
		fmt.Fprintf(columns, "%s\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%.1f s\t%s\n",
			c.Pool, queued, running, c.Done, unfinished, metric, c.Jobs, c.Surplus, meanWait(c.Waits).Seconds(), c.Name)
	}
	_ = columns.Flush() // a strings.Builder takes all
	return b.String() + "\n"
}

func meanWait(waits []time.Duration) time.Duration {
	var sum time.Duration
	for _, wait := range waits {
		sum += wait
	}
	return sum / time.Duration(max(len(waits), 1))
}
