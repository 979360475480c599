package adoqueue

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue/safetext"
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

// The kinds of agent packages.
const (
	AgentPackage     = "agent"
	SlimAgentPackage = "pipelines-agent" // without old versions of Node
)

// LatestPackage returns the newest agent package of a kind for a platform:
// linux-x64, linux-arm64, linux-musl-x64, osx-x64, osx-arm64 or win-x64.
func (c *Client) LatestPackage(ctx context.Context, kind, platform string) (Package, error) {
	q := call{
		name: "packages", operation: "find the package " + kind + " for " + platform,
		query: url.Values{"platform": {platform}, "top": {"1"}},
		path:  []string{"_apis", "distributedtask", "packages", kind},
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
func decodePackage(body io.Reader) (first *Package, err error) {
	err = decodeList(body, func(w *wirePackage) error {
		if w.Filename == "" || w.DownloadURL == "" {
			return errors.New("it is not a package")
		}
		if first == nil {
			first = new(w.agentPackage())
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return first, nil
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
		Platform: safetext.Printable(w.Platform), Filename: safetext.Printable(w.Filename),
		DownloadURL: safetext.Printable(w.DownloadURL), SHA256: safetext.Printable(w.HashValue),
	}
}
