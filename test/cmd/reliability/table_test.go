package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/test/faults"
)

func TestTableKeepsOtherRows(t *testing.T) {
	all := faults.All()
	path := filepath.Join(t.TempDir(), "reliability.md")
	write := func(results ...faults.Result) string {
		if err := (settings{write: path}).print(results); err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	if err := os.WriteFile(path, []byte("before\n"+beginMark+endMark+"after\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	write(faults.Result{Fault: all[2].Name, Jobs: 22}, faults.Result{Fault: all[0].Name, Jobs: 20})
	got := write(faults.Result{Fault: all[1].Name, Jobs: 31}, faults.Result{Fault: all[0].Name, Jobs: 30})
	want := "before\n" + beginMark + head +
		row(faults.Result{Fault: all[0].Name, Jobs: 30}) + row(faults.Result{Fault: all[1].Name, Jobs: 31}) + row(faults.Result{Fault: all[2].Name, Jobs: 22}) +
		endMark + "after\n"
	if got != want {
		t.Errorf("got %s\nwant %s", got, want)
	}
}

// TestNames has no two faults of one name, since the names are those of the rows.
func TestNames(t *testing.T) {
	seen := map[string]bool{}
	for _, f := range faults.All() {
		if seen[f.Name] || strings.Contains(f.Name, "|") {
			t.Errorf("%q is there already, or breaks the table", f.Name)
		}
		seen[f.Name] = true
	}
}
