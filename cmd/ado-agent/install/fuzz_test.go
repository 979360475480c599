package install

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue/memtest"
)

// unpackPerByte bounds what is allocated for a byte of an archive. The largest part
// are names, of which each folder on the way has one: they are paths in a path.
const unpackPerByte = 4 << 10

// FuzzUnpack reads zip files, and what is in a tar.gz: changes of the gzip file itself
// rarely get past its checksum.
func FuzzUnpack(f *testing.F) {
	for _, seed := range [][]entry{
		{{name: "bin/Agent.Listener", content: "x"}, {name: "run.sh", content: "y"}, {name: "link", link: "run.sh", kind: tar.TypeSymlink}},
		{{name: "../out", content: "x"}},
		{{name: "/out", content: "x"}},
		{{name: "a", kind: tar.TypeDir}, {name: "a", content: "x"}},
		{{name: "a", link: "../..", kind: tar.TypeSymlink}, {name: "a/out", content: "x"}},
		{{name: "a/b", link: "..", kind: tar.TypeSymlink}, {name: "c", link: "a/b/../../out", kind: tar.TypeSymlink}},
		{{name: "a", link: "../out", kind: tar.TypeLink}},
		{{kind: tar.TypeXGlobalHeader}, {name: "fifo", kind: tar.TypeFifo}},
	} {
		f.Add(false, untarred(f, seed...))
		f.Add(true, rawZip(f, seed...))
	}
	work := f.TempDir()
	outside := filepath.Join(work, "out")
	if err := os.WriteFile(outside, []byte("mine"), 0o600); err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, isZip bool, content []byte) {
		if !isZip {
			content = gzippedFast(t, content)
		}
		dir, err := os.MkdirTemp(work, "") //nolint:usetesting // it has to be in work, and is removed at once
		if err != nil {
			t.Fatal(err)
		}
		defer os.RemoveAll(dir)
		archive, folder := filepath.Join(dir, "archive"), filepath.Join(dir, "agent")
		if err := os.WriteFile(archive, content, 0o600); err != nil {
			t.Fatal(err)
		}
		memtest.Within(t, len(content), unpackPerByte, func() { err = unpack(archive, folder) })
		if err == nil {
			staysInside(t, folder)
		}
		if mine, err := os.ReadFile(outside); err != nil || string(mine) != "mine" {
			t.Fatalf("a file outside of the folder was changed: %q, %v", mine, err)
		}
		for parent, want := range map[string]int{work: 2, dir: 2} {
			if entries, err := os.ReadDir(parent); err != nil || len(entries) > want {
				t.Fatalf("%d entries in %s, want at most %d: %v", len(entries), parent, want, err)
			}
		}
	})
}

// staysInside wants every link to lead to a place within the folder, or to none.
func staysInside(t *testing.T, folder string) {
	t.Helper()
	err := filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.Type()&fs.ModeSymlink == 0 {
			return err
		}
		if target, err := filepath.EvalSymlinks(path); err == nil && !strings.HasPrefix(target+"/", folder+"/") {
			t.Errorf("%s leads to %s", path, target)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

func gzippedFast(t testing.TB, content []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	zipped, err := gzip.NewWriterLevel(&out, gzip.NoCompression)
	check(t, err)
	_, err = zipped.Write(content)
	check(t, err)
	check(t, zipped.Close())
	return out.Bytes()
}

// untarred is a tar file that is not compressed.
func untarred(t testing.TB, entries ...entry) []byte {
	t.Helper()
	reader, err := gzip.NewReader(bytes.NewReader(tarred(t, entries...)))
	check(t, err)
	var out bytes.Buffer
	_, err = out.ReadFrom(reader)
	check(t, err)
	return out.Bytes()
}

// rawZip is a zip file whose entries are not compressed.
func rawZip(t testing.TB, entries ...entry) []byte {
	t.Helper()
	var out bytes.Buffer
	archive := zip.NewWriter(&out)
	for _, e := range entries {
		w, err := archive.CreateHeader(&zip.FileHeader{Name: e.name, Method: zip.Store})
		check(t, err)
		_, err = w.Write([]byte(e.content))
		if !strings.HasSuffix(e.name, "/") {
			check(t, err)
		}
	}
	check(t, archive.Close())
	return out.Bytes()
}
