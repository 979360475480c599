package components

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// module is built into programs.
type module struct {
	name     string
	programs []program
	// pins is all that decides what is built, besides the toolchain and the
	// flags: the checksums of the sources.
	pins func() ([]byte, error)
	// folder returns where to build, and makes it available first if necessary.
	folder func(context.Context) (string, error)
	// link returns more flags for the linker.
	link func(context.Context) (string, error)
	// tags are build tags.
	tags string
	// workDir is any folder in which the go command can be run.
	workDir string
}

type program struct {
	name, pkg string
	// takes says how long a cold build lasts on two cores.
	takes string
}

// pinned is a module in a folder below source, with a go.mod and go.sum.
func pinned(source, name string, programs ...program) module {
	folder := filepath.Join(source, name)
	return module{
		name: name, programs: programs, workDir: folder,
		pins:   func() ([]byte, error) { return contents(folder, "go.mod", "go.sum") },
		folder: func(context.Context) (string, error) { return folder, nil },
		link:   func(context.Context) (string, error) { return "", nil },
	}
}

func etcd(source string) module {
	return pinned(source, "etcd", program{"etcd", "go.etcd.io/etcd/server/v3", "1 minute"})
}

// flags are the arguments to go build, without the output and the package.
func (m module) flags(ctx context.Context) ([]string, error) {
	link, err := m.link(ctx)
	if err != nil {
		return nil, err
	}
	flags := []string{"-trimpath", "-buildvcs=false", "-ldflags=-s -w" + link}
	if m.tags != "" {
		flags = append(flags, "-tags="+m.tags)
	}
	return flags, nil
}

// key names a build by all that it is made of.
func (m module) key(ctx context.Context, flags []string) (string, error) {
	toolchain, err := goCommand(ctx, m.workDir, "env", "GOVERSION", "GOOS", "GOARCH")
	if err != nil {
		return "", err
	}
	pins, err := m.pins()
	if err != nil {
		return "", err
	}
	sum := sha256.New()
	fmt.Fprintf(sum, "%s\n%q\n\n", toolchain, flags)
	for _, p := range m.programs {
		fmt.Fprintln(sum, p.name, p.pkg)
	}
	sum.Write(pins)
	return m.name + "-" + hex.EncodeToString(sum.Sum(nil))[:16], nil
}

// contents returns those of files, one after another.
func contents(folder string, names ...string) ([]byte, error) {
	var all []byte
	for _, name := range names {
		content, err := os.ReadFile(filepath.Join(folder, name))
		if err != nil {
			return nil, err
		}
		all = append(all, content...)
	}
	return all, nil
}

// goCommand runs the go command in a folder and returns what it printed. The
// environment that the programs depend on is pinned here, once.
func goCommand(ctx context.Context, folder string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "go", args...) //nolint:gosec // the arguments are of this package
	cmd.Dir = folder
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOWORK=off", "GOFLAGS=-mod=readonly")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("go %s: %w\n%s", args[0], err, bytes.TrimSpace(stderr.Bytes()))
	}
	return strings.TrimSpace(string(out)), nil
}

// downloadModule returns a module's folder in the module cache.
func downloadModule(ctx context.Context, module, version, sum string) (string, error) {
	out, err := goCommand(ctx, os.TempDir(), "mod", "download", "-json", module+"@v"+version)
	if err != nil {
		return "", err
	}
	var downloaded struct{ Dir, Sum string }
	if err := json.Unmarshal([]byte(out), &downloaded); err != nil {
		return "", fmt.Errorf("find the folder of %s %s: %w", module, version, err)
	}
	if downloaded.Sum != sum {
		return "", fmt.Errorf("%s %s has checksum %s, want %s", module, version, downloaded.Sum, sum)
	}
	return downloaded.Dir, nil
}
