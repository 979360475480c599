//go:build unix

package secrets

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

func TestRead(t *testing.T) {
	dir := t.TempDir()
	file := func(name string, size int) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, make([]byte, size), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	pipe := filepath.Join(dir, "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		file("empty", 0):         "",
		file("most", maxSize):    "",
		file("large", maxSize+1): "larger than 1024 KiB",
		pipe:                     "not a regular file",
		dir:                      "not a regular file",
		"/dev/zero":              "not a regular file",
		dir + "/none":            "no such file",
	} {
		content, err := Read(t.Context(), path)
		if (err == nil) != (want == "") || err != nil && (!strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), path)) {
			t.Errorf("%s: %d bytes, %v, want %q", path, len(content), err, want)
		}
	}
}

// TestHangingRead stands for a network share that does not answer: each caller
// is let go, and one read is left behind, not one for each.
func TestHangingRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		var begun atomic.Int32
		hang := func(string) ([]byte, error) {
			begun.Add(1)
			<-release
			return []byte("late"), nil
		}
		for range 3 {
			start := time.Now()
			_, err := within(t.Context(), "/share/token", hang)
			if err == nil || !strings.Contains(err.Error(), "/share/token: no answer within 5s") || time.Since(start) != timeout {
				t.Errorf("%v after %s", err, time.Since(start))
			}
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := within(ctx, "/share/token", hang); !errors.Is(err, context.Canceled) {
			t.Errorf("cancelled: %v", err)
		}
		if begun.Load() != 1 {
			t.Errorf("%d reads", begun.Load())
		}
		time.AfterFunc(time.Second, func() { close(release) })
		if got, err := within(t.Context(), "/share/token", hang); string(got) != "late" || err != nil {
			t.Errorf("at last: %q, %v", got, err)
		}
	})
}

func TestToken(t *testing.T) {
	for text, want := range map[string]string{
		"abc":                  "abc",
		" abc \r\n":            "abc",
		"\ufeffabc\n":          "abc",
		"\n\ufeff abc":         "abc",
		"":                     "",
		"\ufeff\n":             "",
		"s3cr3t\nsecond":       "",
		"s3cr3t\x1b[2J":        "",
		"s\x003\x00c\x00r\xff": "", // UTF-16
	} {
		got, err := Token(text)
		if got != want || (err == nil) != (want != "") || err != nil && strings.Contains(err.Error(), "s3cr3t") {
			t.Errorf("%q: got %q, %v", text, got, err)
		}
		path := filepath.Join(t.TempDir(), "token")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := ReadToken(t.Context(), path); got != want || err != nil && !strings.Contains(err.Error(), path) {
			t.Errorf("%q in a file: got %q, %v", text, got, err)
		}
	}
}
