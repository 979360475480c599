package agent

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"time"
)

// The bounds of what is printed of the agent's logs.
const (
	tailBytes = 16 << 10
	tailLines = 80
)

// networkCauses are the exceptions, in the agent's log, of a network that does
// not work. The output of config does not distinguish them from others.
var networkCauses = regexp.MustCompile(`\b(SocketException|HttpIOException|TimeoutException|TaskCanceledException)\b`)

// PrintDiagnostics prints the end of the agent's newest log, which says more than
// the agent prints: the latter is often that an inner exception holds the cause.
// It goes with the pod otherwise.
func (a Agent) PrintDiagnostics() {
	name, content := a.newestLog(time.Time{})
	if len(content) == 0 {
		return
	}
	all := bytes.SplitAfter(content, []byte("\n"))
	out := a.redacted(a.Err, nil)
	_, _ = fmt.Fprintf(out, "--- The end of the agent's log %s:\n", name)
	for _, line := range all[max(0, len(all)-tailLines):] {
		_, _ = out.Write(printable(line))
	}
	_, _ = out.Write([]byte("\n---\n"))
}

// networkFailed reports whether the log that was written since a time contains a
// network failure.
func (a Agent) networkFailed(since time.Time) bool {
	_, content := a.newestLog(since)
	return networkCauses.Match(content)
}

// newestLog returns the end of the log that was written last, if that was after a
// time. Jobs may write to the folder: nothing but a regular file is read.
func (a Agent) newestLog(since time.Time) (name string, end []byte) {
	root, err := os.OpenRoot(filepath.Join(a.Folder, "_diag"))
	if err != nil {
		return "", nil
	}
	defer root.Close()
	var newest fs.FileInfo
	files, _ := fs.Glob(root.FS(), "*.log")
	for _, file := range files {
		info, err := root.Lstat(file)
		if err != nil || !info.Mode().IsRegular() || info.ModTime().Before(since) {
			continue
		}
		if newest == nil || info.ModTime().After(newest.ModTime()) {
			newest = info
		}
	}
	if newest == nil {
		return "", nil
	}
	end, _ = readEnd(root, newest.Name()) // a log that cannot be read says nothing
	return newest.Name(), end
}

func readEnd(root *os.Root, name string) (end []byte, err error) {
	file, err := root.Open(name)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	begin := max(0, info.Size()-tailBytes)
	end = make([]byte, min(info.Size(), tailBytes))
	n, err := file.ReadAt(end, begin)
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return end[:n], err
}

// printable replaces what a terminal would obey.
func printable(line []byte) []byte {
	return bytes.Map(func(r rune) rune {
		if r != '\n' && r != '\t' && (r < ' ' || r >= 0x7f && r < 0xa0) {
			return '?'
		}
		return r
	}, line)
}
