// Package install fetches and unpacks Microsoft's agent.
package install

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue"
)

// The bounds of a package; real ones have 150 to 250 MB and 800 MB unpacked.
const (
	maxArchive  = 1 << 30
	maxUnpacked = 4 << 30
	maxEntries  = 100_000
)

// Fetch downloads a package and unpacks it into a folder, which may be a mounted
// volume. An archive without a checksum has to come over TLS, and what is not
// what Azure DevOps said is not unpacked. The config program appears last, so a
// folder that holds it holds all of the agent.
func Fetch(ctx context.Context, client *http.Client, p adoqueue.Package, folder string) error {
	from, err := url.Parse(p.DownloadURL)
	if err != nil || from.Host == "" {
		return errors.New("the agent package has no address that can be used")
	}
	if p.SHA256 == "" && from.Scheme != "https" {
		return fmt.Errorf("the agent package at %s has neither a checksum nor https", shown(from))
	}
	if err := os.MkdirAll(folder, 0o755); err != nil { //nolint:gosec // jobs may run as another user
		return unwritable(err)
	}
	staging, err := os.MkdirTemp(folder, ".unpack-")
	if err != nil {
		return unwritable(err)
	}
	defer os.RemoveAll(staging)
	archive := filepath.Join(staging, "package")
	if err := download(ctx, client, p, archive); err != nil {
		return fmt.Errorf("download the agent package from %s: %w", shown(from), err)
	}
	unpacked := filepath.Join(staging, "agent")
	if err := unpack(archive, unpacked); err != nil {
		return fmt.Errorf("unpack the agent package %s: %w", p.Filename, err)
	}
	return move(unpacked, folder)
}

// shown is an address without what may be a credential in it.
func shown(address *url.URL) string {
	bare := url.URL{Scheme: address.Scheme, Host: address.Host, Path: address.Path}
	return bare.String()
}

func unwritable(err error) error {
	return fmt.Errorf("make room for the agent: %w; mount a volume there that this user may write to", err)
}

// move puts what a folder holds into another one, in place of what bears the
// same names.
func move(from, to string) error {
	entries, err := os.ReadDir(from)
	if err != nil {
		return err
	}
	sortForMove(entries)
	for _, entry := range entries {
		target := filepath.Join(to, entry.Name())
		err := os.RemoveAll(target)
		if err == nil {
			err = os.Rename(filepath.Join(from, entry.Name()), target)
		}
		if err != nil {
			return fmt.Errorf("put the agent into its folder: %w", err)
		}
	}
	return nil
}

// sortForMove puts config programs at the end.
func sortForMove(entries []os.DirEntry) {
	slices.SortStableFunc(entries, func(a, b os.DirEntry) int {
		switch last := isConfig(a); {
		case last == isConfig(b):
			return 0
		case last:
			return 1
		default:
			return -1
		}
	})
}

func isConfig(entry os.DirEntry) bool { return strings.HasPrefix(entry.Name(), "config.") }

// maxRedirects is how many redirections are followed.
const maxRedirects = 10

// redirects decides which redirections are followed. No credential can leak, but
// nobody on the way may put another archive in place of the agent: without a
// checksum it has to come from the host that Azure DevOps names.
func redirects(checked bool) func(*http.Request, []*http.Request) error {
	return func(next *http.Request, before []*http.Request) error {
		first := before[0].URL
		switch {
		case len(before) >= maxRedirects:
			return fmt.Errorf("more than %d redirections", maxRedirects)
		case before[len(before)-1].URL.Scheme == "https" && next.URL.Scheme != "https":
			return fmt.Errorf("refused to be redirected from https to %s", shown(next.URL))
		case !checked && next.URL.Host != first.Host:
			return fmt.Errorf("refused to be redirected to %s without a checksum of the agent package", shown(next.URL))
		default:
			return nil
		}
	}
}

// download writes the archive to a file and checks its size and checksum. The
// address is another host than the organization's, and gets no credential.
func download(ctx context.Context, client *http.Client, p adoqueue.Package, file string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, p.DownloadURL, http.NoBody)
	if err != nil {
		return err
	}
	following := *client
	following.CheckRedirect = redirects(p.SHA256 != "")
	response, err := following.Do(request)
	if wrapped, ok := errors.AsType[*url.Error](err); ok {
		err = wrapped.Err // it shows the whole address
	}
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("HTTP status %s", response.Status)
	}
	out, err := os.OpenFile(file, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	sum := sha256.New()
	size, err := io.Copy(io.MultiWriter(out, sum), io.LimitReader(response.Body, maxArchive+1))
	if err := errors.Join(err, out.Close()); err != nil {
		return err
	}
	switch got := hex.EncodeToString(sum.Sum(nil)); {
	case size > maxArchive:
		return fmt.Errorf("it is larger than %d MiB", maxArchive>>20)
	case response.ContentLength >= 0 && size != response.ContentLength:
		return fmt.Errorf("%d bytes came, %d were announced", size, response.ContentLength)
	case p.SHA256 != "" && !strings.EqualFold(got, p.SHA256):
		return fmt.Errorf("its SHA-256 is %s, but Azure DevOps announced %s; a proxy may have changed it", got, p.SHA256)
	}
	return nil
}
