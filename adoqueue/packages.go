package adoqueue

import (
	"context"
	"fmt"
	"io"
	"net/url"
)

// Package is a release of Microsoft's agent for one platform.
type Package struct {
	Version  string // such as 4.255.0
	Platform string // such as linux-x64
	Filename string
	// DownloadURL is on another host than the organization and needs no
	// credential: none may be sent there.
	DownloadURL string
	// SHA256 is the archive's checksum in hexadecimal, "" if Azure DevOps does
	// not say.
	SHA256 string
}

// LatestPackage returns the newest agent package for a platform: linux-x64,
// linux-arm64, linux-musl-x64, osx-x64, osx-arm64 or win-x64.
func (c *Client) LatestPackage(ctx context.Context, platform string) (Package, error) {
	q := call{
		name: "packages", operation: "find the agent package for " + platform,
		query: url.Values{"platform": {platform}, "top": {"1"}},
		path:  []string{"_apis", "distributedtask", "packages", "agent"},
	}
	var found *Package
	err := c.do(ctx, q, func(body io.Reader) (err error) {
		found, err = decodePackage(body)
		return err
	})
	if err != nil {
		return Package{}, err
	}
	if found == nil {
		return Package{}, &Error{
			Operation: q.operation, Message: "there is none",
			Hint: "bake an agent into the image, or use another platform",
		}
	}
	return *found, nil
}

// decodePackage returns the first package of a list, nil if it is empty.
func decodePackage(body io.Reader) (*Package, error) {
	var first *Package
	err := decodeList(body, func(w *wirePackage) error {
		if first == nil {
			found := w.agentPackage()
			first = &found
		}
		return nil
	})
	return first, err //nolint:nilnil // nil is documented
}

type wirePackage struct {
	Platform    string `json:"platform"`
	Filename    string `json:"filename"`
	DownloadURL string `json:"downloadUrl"`
	HashValue   string `json:"hashValue"`
	Version     struct {
		Major, Minor, Patch int
	} `json:"version"`
}

func (w *wirePackage) agentPackage() Package {
	return Package{
		Version:  fmt.Sprintf("%d.%d.%d", w.Version.Major, w.Version.Minor, w.Version.Patch),
		Platform: w.Platform, Filename: w.Filename, DownloadURL: w.DownloadURL, SHA256: w.HashValue,
	}
}
