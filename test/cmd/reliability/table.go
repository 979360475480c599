package main

import (
	"fmt"
	"os"
	"strings"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/test/faults"
)

const (
	beginMark = "<!-- begin: go -C test run ./cmd/reliability -write ../docs/reliability.md -->\n"
	endMark   = "<!-- end -->\n"
)

const head = "| fault | pipeline jobs | Jobs | surplus | lost | longest wait | recovered after |\n|---|--:|--:|--:|--:|--:|--:|\n"

// print prints the table, or writes it into the document. There, rows of faults that
// were not tried stay as they are.
func (s settings) print(results []faults.Result) error {
	rows := map[string]string{}
	for _, r := range results {
		rows[r.Fault] = row(r)
	}
	if s.write == "" {
		_, err := os.Stdout.WriteString(table(rows))
		return err
	}
	document, err := os.ReadFile(s.write)
	if err != nil {
		return err
	}
	before, rest, begins := strings.Cut(string(document), beginMark)
	old, after, ends := strings.Cut(rest, endMark)
	if !begins || !ends {
		return fmt.Errorf("%s has no marks for the table", s.write)
	}
	for line := range strings.Lines(old) {
		name, _, _ := strings.Cut(strings.TrimPrefix(line, "| "), " |")
		if rows[name] == "" {
			rows[name] = line
		}
	}
	return os.WriteFile(s.write, []byte(before+beginMark+table(rows)+endMark+after), 0o600) //nolint:gosec // the file that was asked for
}

// table is one in Markdown, in the order of the suite.
func table(rows map[string]string) string {
	var text strings.Builder
	text.WriteString(head)
	for _, f := range faults.All() {
		text.WriteString(rows[f.Name])
	}
	return text.String()
}

func row(r faults.Result) string {
	return fmt.Sprintf("| %s | %d | %d | %d | %d | %.1f s | %s |\n",
		r.Fault, r.Requests, r.Jobs, r.Surplus, r.Lost, r.Longest.Seconds(), r.Recovery())
}
