package install

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue"
)

// entry is one of an archive; a file has content, a link a target.
type entry struct {
	name, content, link string
	kind                byte
}

func tarred(t testing.TB, entries ...entry) []byte {
	t.Helper()
	var out bytes.Buffer
	zipped := gzip.NewWriter(&out)
	archive := tar.NewWriter(zipped)
	for _, e := range entries {
		kind := e.kind
		if kind == 0 {
			kind = tar.TypeReg
		}
		if kind == tar.TypeXGlobalHeader {
			check(t, archive.WriteHeader(&tar.Header{Typeflag: kind, PAXRecords: map[string]string{"comment": "x"}}))
			continue
		}
		header := &tar.Header{Name: e.name, Mode: 0o755, Size: int64(len(e.content)), Typeflag: kind, Linkname: e.link}
		check(t, archive.WriteHeader(header))
		_, err := archive.Write([]byte(e.content))
		check(t, err)
	}
	check(t, archive.Close())
	check(t, zipped.Close())
	return out.Bytes()
}

func zipped(t *testing.T, entries ...entry) []byte {
	t.Helper()
	var out bytes.Buffer
	archive := zip.NewWriter(&out)
	for _, e := range entries {
		w, err := archive.Create(e.name)
		check(t, err)
		_, err = w.Write([]byte(e.content))
		check(t, err)
	}
	check(t, archive.Close())
	return out.Bytes()
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// serve offers an archive and describes it.
func serve(t *testing.T, archive []byte) (adoqueue.Package, *http.Client) {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "" {
			t.Error("a credential was sent")
		}
		if r.URL.Path == "/moved" {
			http.Redirect(w, r, "/agent", http.StatusFound)
			return
		}
		_, _ = w.Write(archive)
	}))
	t.Cleanup(server.Close)
	sum := sha256.Sum256(archive)
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	return adoqueue.Package{DownloadURL: server.URL + "/moved", Filename: "agent.tar.gz", SHA256: strings.ToUpper(hex.EncodeToString(sum[:]))}, client
}

func fetch(t *testing.T, archive []byte, folder string) error {
	t.Helper()
	p, client := serve(t, archive)
	return Fetch(t.Context(), client, p, folder)
}

func content(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	check(t, err)
	return string(text)
}

func TestFetch(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "azp", "agent")
	check(t, fetch(t, tarred(t,
		entry{kind: tar.TypeXGlobalHeader},
		entry{name: "./", kind: tar.TypeDir}, entry{name: "./bin/", kind: tar.TypeDir},
		entry{name: "./config.sh", content: "one"}, entry{name: "./bin/deep/er/file", content: "two"},
		entry{name: "./bin/npm", kind: tar.TypeSymlink, link: "../bin/deep/er/file"},
		entry{name: "./hard", kind: tar.TypeLink, link: "./config.sh"},
	), folder))
	if got := content(t, filepath.Join(folder, "config.sh")) + content(t, filepath.Join(folder, "bin", "npm")) + content(t, filepath.Join(folder, "hard")); got != "onetwoone" {
		t.Errorf("got %q", got)
	}
	info, err := os.Stat(filepath.Join(folder, "config.sh"))
	check(t, err)
	if info.Mode().Perm()&0o111 == 0 {
		t.Error("it cannot be executed")
	}
	// Again, over what an unpacking that was cut short may have left.
	check(t, os.Remove(filepath.Join(folder, "config.sh")))
	check(t, os.WriteFile(filepath.Join(folder, "bin", "stale"), nil, 0o600))
	check(t, fetch(t, zipped(t, entry{name: "bin/new", content: "new"}, entry{name: "config.cmd", content: "cmd"}), folder))
	if got := content(t, filepath.Join(folder, "bin", "new")) + content(t, filepath.Join(folder, "config.cmd")); got != "newcmd" {
		t.Errorf("got %q", got)
	}
	if entries, _ := os.ReadDir(filepath.Join(folder, "bin")); len(entries) != 1 {
		t.Errorf("got %v", entries)
	}
}

// A folder with config.sh counts as complete, so that comes last, though other
// names are behind it.
func TestConfigComesLast(t *testing.T) {
	from := t.TempDir()
	for _, name := range []string{"config.sh", "bin", "run.sh"} {
		check(t, os.WriteFile(filepath.Join(from, name), nil, 0o600))
	}
	entries, err := os.ReadDir(from)
	check(t, err)
	sortForMove(entries)
	if last := entries[len(entries)-1].Name(); last != "config.sh" {
		t.Errorf("%s is last", last)
	}
}

func TestEscapingArchives(t *testing.T) {
	for name, archive := range map[string][]byte{
		"parent":        tarred(t, entry{name: "../evil", content: "x"}),
		"parent, deep":  tarred(t, entry{name: "a/../../evil", content: "x"}),
		"absolute":      tarred(t, entry{name: "/evil", content: "x"}),
		"link outside":  tarred(t, entry{name: "link", kind: tar.TypeSymlink, link: "../.."}),
		"absolute link": tarred(t, entry{name: "link", kind: tar.TypeSymlink, link: "/etc"}),
		// Each link by itself seems to stay inside.
		"through links": tarred(t, entry{name: "a/b/up", kind: tar.TypeSymlink, link: "../.."},
			entry{name: "a/b/out", kind: tar.TypeSymlink, link: "up/../.."}, entry{name: "a/b/out/evil", content: "x"}),
		"link through a link": tarred(t, entry{name: "a/b/up", kind: tar.TypeSymlink, link: "../.."},
			entry{name: "a/b/out", kind: tar.TypeSymlink, link: "up/../.."}),
		"over a link":       tarred(t, entry{name: "link", kind: tar.TypeSymlink, link: "file"}, entry{name: "link", content: "x"}),
		"hard link outside": tarred(t, entry{name: "evil", kind: tar.TypeLink, link: "../../secret"}),
		"device":            tarred(t, entry{name: "null", kind: tar.TypeChar}),
		"zip, parent":       zipped(t, entry{name: "../evil", content: "x"}),
		"zip, absolute":     zipped(t, entry{name: "/evil", content: "x"}),
	} {
		t.Run(name, func(t *testing.T) {
			parent := t.TempDir()
			check(t, os.WriteFile(filepath.Join(parent, "secret"), []byte("secret"), 0o600))
			folder := filepath.Join(parent, "agent")
			if err := fetch(t, archive, folder); err == nil {
				t.Error("it is unpacked")
			}
			if entries, _ := os.ReadDir(parent); len(entries) != 2 {
				t.Errorf("got %v", entries)
			}
			if entries, _ := os.ReadDir(folder); len(entries) != 0 {
				t.Errorf("got %v", entries)
			}
		})
	}
}

func TestBadArchives(t *testing.T) {
	good := tarred(t, entry{name: "config.sh", content: strings.Repeat("x", 100_000)})
	for name, archive := range map[string][]byte{"empty": {}, "cut": good[:len(good)-20], "text": []byte("<html>sign in</html>")} {
		t.Run(name, func(t *testing.T) {
			if err := fetch(t, archive, filepath.Join(t.TempDir(), "agent")); err == nil || !strings.Contains(err.Error(), "unpack the agent package") {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestBounds(t *testing.T) {
	folder := t.TempDir()
	file := filepath.Join(t.TempDir(), "archive")
	check(t, os.WriteFile(file, tarred(t, entry{name: "a", content: "12345"}, entry{name: "b", content: "12345"}), 0o600))
	for _, tt := range []struct {
		bytes   int64
		entries int
		err     string
	}{{10, 2, ""}, {9, 2, "it unpacks to more than"}, {10, 1, "it holds more than"}} {
		root, err := os.OpenRoot(folder)
		check(t, err)
		in, err := os.Open(file)
		check(t, err)
		err = (&unpacker{root: root, left: tt.bytes, entries: tt.entries}).tar(in)
		if (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) {
			t.Errorf("%d bytes, %d entries: %v", tt.bytes, tt.entries, err)
		}
		in.Close()
		root.Close()
		check(t, os.RemoveAll(filepath.Join(folder, "a")))
		check(t, os.RemoveAll(filepath.Join(folder, "b")))
	}
}

func TestNoChecksumOverPlainHTTP(t *testing.T) {
	p, client := serve(t, tarred(t, entry{name: "config.sh"}))
	p.SHA256 = ""
	if err := Fetch(t.Context(), client, p, filepath.Join(t.TempDir(), "agent")); err == nil || !strings.Contains(err.Error(), "has neither a checksum nor https") {
		t.Errorf("got %v", err)
	}
	p.DownloadURL = ""
	if err := Fetch(t.Context(), client, p, filepath.Join(t.TempDir(), "agent")); err == nil {
		t.Error("no address is taken")
	}
}

// Redirections are followed as long as nobody on the way can change the archive.
func TestRedirections(t *testing.T) {
	archive := tarred(t, entry{name: "config.sh"})
	plain := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(archive) }))
	defer plain.Close()
	other := httptest.NewTLSServer(plain.Config.Handler)
	defer other.Close()
	secure := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/plain":
			http.Redirect(w, r, plain.URL+"/agent?sig=s3cr3t", http.StatusFound)
		case "/other":
			http.Redirect(w, r, other.URL+"/agent?sig=s3cr3t", http.StatusFound)
		case "/same":
			http.Redirect(w, r, "/agent", http.StatusFound)
		case "/loop":
			http.Redirect(w, r, "/loop?sig=s3cr3t", http.StatusFound)
		case "/missing":
			w.WriteHeader(http.StatusNotFound)
		default:
			_, _ = w.Write(archive)
		}
	}))
	defer secure.Close()
	sum := sha256.Sum256(archive)
	for _, tt := range []struct {
		path    string
		checked bool
		err     string
	}{
		{"/plain", true, "refused to be redirected from https to http://"},
		{"/other", true, ""},
		{"/other", false, "refused to be redirected to https://"},
		{"/same", false, ""},
		{"/loop", true, "more than 10 redirections"},
		{"/missing", true, "404"},
	} {
		p := adoqueue.Package{DownloadURL: secure.URL + tt.path + "?sv=2026&sig=s3cr3t"}
		if tt.checked {
			p.SHA256 = hex.EncodeToString(sum[:])
		}
		err := Fetch(t.Context(), secure.Client(), p, filepath.Join(t.TempDir(), "agent"))
		if (err == nil) != (tt.err == "") || err != nil && (!strings.Contains(err.Error(), tt.err) || strings.Contains(err.Error(), "s3cr3t")) {
			t.Errorf("%s, checksum %v: %v", tt.path, tt.checked, err)
		}
	}
}

func TestPlatform(t *testing.T) {
	for _, tt := range []struct {
		system, architecture string
		musl                 bool
		want                 string
	}{
		{"linux", "amd64", false, "linux-x64"},
		{"linux", "arm64", false, "linux-arm64"},
		{"linux", "amd64", true, "linux-musl-x64"},
		{"darwin", "arm64", false, "osx-arm64"},
		{"windows", "amd64", false, "win-x64"},
		{"linux", "riscv64", false, ""},
		{"plan9", "amd64", false, ""},
	} {
		got, err := platform(tt.system, tt.architecture, tt.musl)
		if got != tt.want || (err == nil) != (tt.want != "") {
			t.Errorf("%+v: %q, %v", tt, got, err)
		}
	}
}
