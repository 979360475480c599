package main

import (
	"os"
	"path/filepath"
	"testing"
)

func TestTableKeepsOtherLines(t *testing.T) {
	path := filepath.Join(t.TempDir(), "compatibility.md")
	if err := os.WriteFile(path, []byte("before\n"+begin+end+"\nafter\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	some := func(on pair, passed bool) string { return line(on, []bool{passed, passed}) }
	kept, replaced := pair{"2.14.1", "1.36"}, pair{"2.9.0", "1.36"}
	added, oldest := pair{"2.21.0", "1.36"}, pair{"2.14.1", "1.29"}
	for _, lines := range []map[pair]string{
		{kept: some(kept, true), replaced: some(replaced, false)},
		{added: some(added, true), replaced: some(replaced, true), oldest: some(oldest, false)},
	} {
		if err := writeTable(path, lines); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	want := "before\n" + begin + header() +
		some(replaced, true) + some(kept, true) + some(added, true) + some(oldest, false) + end + "\nafter\n"
	if string(got) != want {
		t.Errorf("got %s\nwant %s", got, want)
	}
	if err := writeTable(path, nil); err != nil {
		t.Fatal(err)
	}
	if again, err := os.ReadFile(path); err != nil || string(again) != want {
		t.Errorf("without new lines: %s (error %v)", again, err)
	}
}
