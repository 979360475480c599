package components

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// crdFolder is where KEDA's CRDs are kept, beside its program.
const crdFolder = "crds"

// module is one of the folders here: what is built of it, and how.
type module struct {
	name     string
	programs []program
	// version is the module whose version is linked into the programs, for
	// them to name it to their clients. Empty: they know theirs.
	version string
	// crds is the module that holds CRDs to keep, in crdPath of it.
	crds, crdPath string
}

type program struct {
	name, pkg string
	// takes says how long a cold build lasts on two cores.
	takes string
}

var modules = []module{
	{
		name:     "etcd",
		programs: []program{{"etcd", "go.etcd.io/etcd/server/v3", "1 minute"}},
	},
	{
		name: "kubernetes",
		programs: []program{
			{"kube-apiserver", "k8s.io/kubernetes/cmd/kube-apiserver", "5 minutes"},
			{"kube-controller-manager", "k8s.io/kubernetes/cmd/kube-controller-manager", "1 minute"},
		},
		version: "k8s.io/kubernetes",
	},
	{
		name:     "keda",
		programs: []program{{"keda-operator", "github.com/kedacore/keda/v2/cmd/operator", "8 minutes"}},
		crds:     "github.com/kedacore/keda/v2",
		crdPath:  filepath.Join("config", "crd", "bases"),
	},
}

// flags are the arguments to go build, without the output and the package.
func (m module) flags(ctx context.Context, source string) ([]string, error) {
	link := "-s -w"
	if m.version != "" {
		version, err := goCommand(ctx, source, "list", "-m", "-f", "{{.Version}}", m.version)
		if err != nil {
			return nil, err
		}
		major, rest, _ := strings.Cut(strings.TrimPrefix(version, "v"), ".")
		minor, _, _ := strings.Cut(rest, ".")
		const variables = " -X k8s.io/component-base/version."
		link += variables + "gitVersion=" + version + variables + "gitMajor=" + major + variables + "gitMinor=" + minor
	}
	return []string{"-trimpath", "-buildvcs=false", "-ldflags=" + link}, nil
}

// key names a build by all that it is made of.
func (m module) key(ctx context.Context, source string, flags []string) (string, error) {
	toolchain, err := goCommand(ctx, source, "env", "GOVERSION", "GOOS", "GOARCH")
	if err != nil {
		return "", err
	}
	sum := sha256.New()
	fmt.Fprintf(sum, "%s\n%q\n%s\n", toolchain, flags, m.crdPath)
	for _, p := range m.programs {
		fmt.Fprintln(sum, p.name, p.pkg)
	}
	for _, file := range []string{"go.mod", "go.sum"} {
		content, err := os.ReadFile(filepath.Join(source, file))
		if err != nil {
			return "", err
		}
		sum.Write(content)
	}
	return m.name + "-" + hex.EncodeToString(sum.Sum(nil))[:16], nil
}

// goCommand runs the go command in a module and returns what it printed. The
// environment that the programs depend on is pinned here, once.
func goCommand(ctx context.Context, source string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "go", args...) //nolint:gosec // the arguments are of this package
	cmd.Dir = source
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOWORK=off", "GOFLAGS=-mod=readonly")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("go %s: %w\n%s", args[0], err, bytes.TrimSpace(stderr.Bytes()))
	}
	return strings.TrimSpace(string(out)), nil
}
