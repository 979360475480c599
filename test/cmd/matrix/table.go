package main

import (
	"cmp"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/version"
)

const (
	begin = "<!-- made by go -C test run ./cmd/matrix -write -->\n"
	end   = "<!-- /matrix -->"
)

// pair is what a line is about.
type pair struct{ keda, kubernetes string }

// writeTable replaces lines in the table of a file, and adds those that it lacks.
func writeTable(file string, lines map[pair]string) error {
	content, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	before, rest, found := strings.Cut(string(content), begin)
	old, after, closed := strings.Cut(rest, end)
	if !found || !closed {
		return fmt.Errorf("%s has no %q and %q", file, begin, end)
	}
	all := linesOf(old)
	maps.Copy(all, lines)
	var table strings.Builder
	table.WriteString(header())
	for _, on := range slices.SortedFunc(maps.Keys(all), inOrder) {
		table.WriteString(all[on])
	}
	return os.WriteFile(file, []byte(before+begin+table.String()+end+after), 0o600) //nolint:gosec // the path is this repository's
}

// linesOf returns the lines of a table, without its header.
func linesOf(table string) map[pair]string {
	lines := map[pair]string{}
	for text := range strings.Lines(table) {
		cells := strings.Split(text, " | ")
		if len(cells) < 2 {
			continue
		}
		on := pair{strings.TrimPrefix(cells[0], "| "), cells[1]}
		if _, err := version.ParseGeneric(on.keda); err == nil {
			lines[on] = text
		}
	}
	return lines
}

// inOrder compares by Kubernetes, the latest first, then by KEDA, the oldest first.
func inOrder(a, b pair) int {
	return cmp.Or(compare(b.kubernetes, a.kubernetes), compare(a.keda, b.keda))
}

func compare(a, b string) int {
	parsed := version.MustParseGeneric(a)
	switch other := version.MustParseGeneric(b); {
	case parsed.LessThan(other):
		return -1
	case other.LessThan(parsed):
		return 1
	}
	return 0
}

func header() string {
	titles := []string{"KEDA", "Kubernetes"}
	for _, p := range parts("") {
		titles = append(titles, p.title)
	}
	return row(titles) + row(slices.Repeat([]string{"---"}, len(titles)))
}

func line(on pair, results []bool) string {
	cells := []string{on.keda, on.kubernetes}
	for _, passed := range results {
		cell := "no"
		if passed {
			cell = "yes"
		}
		cells = append(cells, cell)
	}
	return row(cells)
}

func row(cells []string) string { return "| " + strings.Join(cells, " | ") + " |\n" }
