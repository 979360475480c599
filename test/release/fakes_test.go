package release_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// fakes puts scripts first on the PATH, by name. The function that it returns lists
// the calls.
func fakes(t *testing.T, scripts map[string]string) (calls func() []string) {
	t.Helper()
	folder := t.TempDir()
	record := filepath.Join(folder, "calls")
	for name, script := range scripts {
		write(t, filepath.Join(folder, name), "#!/bin/sh\necho "+name+` "$@" >>`+record+"\n"+script+"\n")
	}
	t.Setenv("PATH", folder+":"+os.Getenv("PATH"))
	return func() []string {
		content, err := os.ReadFile(record)
		if err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
		return strings.FieldsFunc(string(content), func(r rune) bool { return r == '\n' })
	}
}
