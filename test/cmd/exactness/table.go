package main

import (
	"fmt"
	"io"
	"strings"
)

const tableHead = `| scaler | poll | requests | lost | Jobs | surplus | starved | mean wait | p95 | longest | idle | asked |
|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|
`

// printTables prints a table in Markdown for each scenario.
func printTables(w io.Writer, results []result) error {
	var b strings.Builder
	scenario := ""
	for _, r := range results {
		if r.run.scenario.name != scenario {
			scenario = r.run.scenario.name
			fmt.Fprintf(&b, "\n### %s\n\n%s", scenario, tableHead)
		}
		fmt.Fprintf(&b, "| %s | %.0f s | %d | %d | %d | %d | %d | %.1f s | %.1f s | %.1f s | %.0f s | %.0f/min |\n",
			r.run.contender.name, r.run.interval.Seconds(), r.requests, r.lost, r.jobs, r.surplus, r.starved,
			r.mean.Seconds(), r.p95.Seconds(), r.longest.Seconds(), r.idle.Seconds(), r.asked)
	}
	_, err := io.WriteString(w, b.String())
	return err
}
