package adotest

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"io/fs"
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

// agentArchive returns the package of the default version; it is the same bytes
// every time.
var agentArchive = sync.OnceValue(func() []byte { return packAgent(defaultAgentVersion) })

// packAgent makes the package of a version. Versions differ in their number
// alone.
func packAgent(version string) []byte {
	var out bytes.Buffer
	zipped := gzip.NewWriter(&out)
	archive := tar.NewWriter(zipped)
	add := func(name string, content []byte) {
		must(archive.WriteHeader(&tar.Header{
			Name:    "./" + name,
			Mode:    0o755,
			Size:    int64(len(content)),
			ModTime: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC),
			Format:  tar.FormatUSTAR,
		}))
		_, err := archive.Write(content)
		must(err)
	}
	files, err := fs.Sub(agentFiles, "agentpackage")
	must(err)
	must(fs.WalkDir(files, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := fs.ReadFile(files, name)
		must(err)
		add(name, content)
		return nil
	}))
	add("bin/version", []byte(version+"\n"))
	must(archive.Close())
	must(zipped.Close())
	return out.Bytes()
}

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
	kind := c.PathValue("type")
	prefix, known := map[string]string{"agent": "vsts-agent", "pipelines-agent": "pipelines-agent"}[kind]
	if !known || !unix {
		return list[wirePackage](nil)
	}
	sum := sha256.Sum256(agentArchive())
	file := fmt.Sprintf("%s-%s-%s.tar.gz", prefix, platform, defaultAgentVersion)
	p := wirePackage{
		Type:        kind,
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
	version := c.PathValue("version")
	if versionOf(version) == ([4]int{}) || !strings.HasSuffix(c.PathValue("file"), ".tar.gz") {
		return &answer{status: http.StatusNotFound, raw: []byte("not found"), contentType: "text/plain"}
	}
	archive := agentArchive()
	if version != defaultAgentVersion {
		archive = packAgent(version)
	}
	return &answer{raw: archive, contentType: "application/gzip"}
}
