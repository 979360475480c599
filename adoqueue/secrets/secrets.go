// Package secrets reads tokens, keys and other small files. Reading is bounded in
// time and size, so that a pipe, a device or a dead network share in place of a
// file is an error and stops nobody.
package secrets

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"
	"unicode"

	"golang.org/x/sync/singleflight"
)

const (
	maxSize = 1 << 20
	timeout = 5 * time.Second
)

// reads are those under way, by path. A read that hangs cannot be stopped; who
// wants the same file meanwhile waits for it and does not begin another.
var reads singleflight.Group

// Read returns the content of a regular file of at most 1 MiB. The content must
// not be changed.
func Read(ctx context.Context, path string) ([]byte, error) {
	return within(ctx, path, read)
}

func within(ctx context.Context, path string, read func(path string) ([]byte, error)) ([]byte, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, timeout, fmt.Errorf("read %s: no answer within %s", path, timeout))
	defer cancel()
	done := reads.DoChan(path, func() (any, error) { return read(path) })
	select {
	case result := <-done:
		content, _ := result.Val.([]byte)
		return content, result.Err
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

func read(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() { // opening a pipe would wait for a writer
		return nil, fmt.Errorf("read %s: it is not a regular file", path)
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	content, err := io.ReadAll(io.LimitReader(file, maxSize+1))
	if err == nil && len(content) > maxSize {
		err = fmt.Errorf("read %s: it is larger than %d KiB", path, maxSize>>10)
	}
	return content, err
}

// ReadToken returns the token that a file holds.
func ReadToken(ctx context.Context, path string) (string, error) {
	content, err := Read(ctx, path)
	if err != nil {
		return "", err
	}
	token, err := Token(string(content))
	if err != nil {
		return "", fmt.Errorf("the token in %s %w", path, err)
	}
	return token, nil
}

// Token returns a token without the white space and the byte order mark that
// editors leave around it. An error says what the token is or contains, but
// never quotes it.
func Token(text string) (string, error) {
	token := strings.TrimSpace(strings.TrimPrefix(strings.TrimSpace(text), "\ufeff"))
	switch {
	case token == "":
		return "", errors.New("is empty")
	case strings.ContainsFunc(token, func(r rune) bool { return unicode.IsControl(r) || r == unicode.ReplacementChar }):
		return "", errors.New("contains a line break, another control character or invalid UTF-8; store the token alone, as plain text")
	default:
		return token, nil
	}
}
