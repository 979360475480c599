package docs_test

import (
	"regexp"
	"strings"
	"testing"
)

// TestComparison requires that the README's table has the figures that
// docs/exactness.md has for pollingInterval 5.
func TestComparison(t *testing.T) {
	all := documents(t)
	// The workloads of the README's lines, by the headings of the measured tables.
	headings := map[string]string{
		"Three bursts of ten jobs":                        "Three bursts of ten, 20 s apart",
		"The same, with five busy agents of another team": "The same, with five busy agents of another team in the pool",
		"The same, with two ScaledJobs on one pool":       "The same, with two ScaledJobs on the pool",
		"Twelve bursts of six short jobs":                 "Twelve bursts of six short jobs, 4 s apart",
	}
	figure := regexp.MustCompile(`^(\d+) surplus, ([\d.]+ s)$`)
	for line, heading := range headings {
		_, row, found := strings.Cut(all["README.md"], "| "+line+" |")
		_, measured, foundToo := strings.Cut(all["docs/exactness.md"], "### "+heading+"\n")
		if !found || !foundToo {
			t.Errorf("%q is not in both documents", line)
			continue
		}
		row, _, _ = strings.Cut(row, "\n")
		measured, _, _ = strings.Cut(measured, "\n#")
		cells := strings.Split(strings.TrimSuffix(row, "|"), "|")
		for i, scaler := range []string{"ours", "built-in, in flight, `default`", "built-in, queued, `accurate`"} {
			match := figure.FindStringSubmatch(strings.TrimSpace(cells[i]))
			if match == nil {
				t.Errorf("%s: %q is no figure", line, cells[i])
				continue
			}
			if surplus, p95 := measuredAt5(measured, scaler); match[1] != surplus || match[2] != p95 {
				t.Errorf("%s, %s: %s in the README, measured are %s surplus, %s", line, scaler, strings.TrimSpace(cells[i]), surplus, p95)
			}
		}
	}
}

// measuredAt5 returns the columns surplus and p95 of a scaler at pollingInterval 5.
func measuredAt5(table, scaler string) (surplus, p95 string) {
	_, row, _ := strings.Cut(table, "| "+scaler+" | 5 s |")
	row, _, _ = strings.Cut(row, "\n")
	cells := strings.Split(row, "|") // requests, lost, Jobs, surplus, starved, mean wait, p95, ...
	if len(cells) < 7 {
		return "", ""
	}
	return strings.TrimSpace(cells[3]), strings.TrimSpace(cells[6])
}

// TestEvents requires that a document has every event of the scaler.
func TestEvents(t *testing.T) {
	var documented strings.Builder
	for _, content := range documents(t) {
		documented.WriteString(content)
	}
	call := regexp.MustCompile(`(?:[wW]arn|[nN]ote)\((?:[^"\n]*, )?"([A-Z][A-Za-z]+)"`)
	row := regexp.MustCompile(`\{"[a-z_]+", "([A-Z][A-Za-z]+)"`) // housekeeping's table of actions
	found := 0
	for path, source := range files(t, func(path string) bool {
		return strings.HasPrefix(path, "scaler/") && strings.HasSuffix(path, ".go") && !strings.HasSuffix(path, "_test.go")
	}) {
		for _, match := range append(call.FindAllStringSubmatch(source, -1), row.FindAllStringSubmatch(source, -1)...) {
			found++
			if !strings.Contains(documented.String(), "`"+match[1]+"`") {
				t.Errorf("%s: no document has the event %s", path, match[1])
			}
		}
	}
	if found < 10 {
		t.Errorf("found only %d events", found)
	}
}
