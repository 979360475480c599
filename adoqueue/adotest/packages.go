package adotest

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"
)

// packagePath is where agent packages are downloaded from. Azure DevOps names
// another host, which needs no credential either.
const packagePath = "/_packages/agent/"

// The agent of the stand-in: bash and curl in place of Microsoft's.
//
//go:embed agentpackage
var agentFiles embed.FS

// agentArchive is the package; it is the same bytes every time.
var agentArchive = sync.OnceValue(func() []byte {
	var out bytes.Buffer
	zipped := gzip.NewWriter(&out)
	archive := tar.NewWriter(zipped)
	entries, err := agentFiles.ReadDir("agentpackage")
	must(err)
	for _, entry := range entries {
		content, err := agentFiles.ReadFile("agentpackage/" + entry.Name())
		must(err)
		must(archive.WriteHeader(&tar.Header{
			Name:    "./" + entry.Name(),
			Mode:    0o755,
			Size:    int64(len(content)),
			ModTime: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC),
			Format:  tar.FormatUSTAR,
		}))
		_, err = archive.Write(content)
		must(err)
	}
	must(archive.Close())
	must(zipped.Close())
	return out.Bytes()
})

// must is for embedded files and memory, which do not fail.
func must(err error) {
	if err != nil {
		panic("adotest: " + err.Error())
	}
}

type wirePackage struct {
	Type        string      `json:"type"`
	Platform    string      `json:"platform"`
	CreatedOn   wireTime    `json:"createdOn"`
	Version     wireVersion `json:"version"`
	DownloadURL string      `json:"downloadUrl"`
	InfoURL     string      `json:"infoUrl"`
	Filename    string      `json:"filename"`
	HashValue   string      `json:"hashValue"`
}

type wireVersion struct {
	Major int `json:"major"`
	Minor int `json:"minor"`
	Patch int `json:"patch"`
}

// listPackages has one package, for every platform that may have bash.
func (s *Server) listPackages(c *call) *answer {
	platform := c.param("platform")
	if platform == "" {
		platform = "linux-x64"
	}
	unix := strings.HasPrefix(platform, "linux-") || strings.HasPrefix(platform, "osx-")
	if c.PathValue("type") != "agent" || !unix {
		return list[wirePackage](nil)
	}
	sum := sha256.Sum256(agentArchive())
	file := fmt.Sprintf("vsts-agent-%s-%s.tar.gz", platform, defaultAgentVersion)
	p := wirePackage{
		Type:        "agent",
		Platform:    platform,
		CreatedOn:   wireTime(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)),
		DownloadURL: c.origin() + packagePath + defaultAgentVersion + "/" + file,
		InfoURL:     "https://go.microsoft.com/fwlink/?LinkId=798199",
		Filename:    file,
		HashValue:   hex.EncodeToString(sum[:]),
	}
	version := versionOf(defaultAgentVersion)
	p.Version = wireVersion{version[0], version[1], version[2]}
	return list([]wirePackage{p})
}

func (s *Server) downloadPackage(c *call) *answer {
	if c.PathValue("version") != defaultAgentVersion || !strings.HasSuffix(c.PathValue("file"), ".tar.gz") {
		return &answer{status: http.StatusNotFound, raw: []byte("not found"), contentType: "text/plain"}
	}
	return &answer{raw: agentArchive(), contentType: "application/gzip"}
}
