// Package components builds the programs of the tests' control plane: etcd,
// the Kubernetes API server and controller manager, and the KEDA operator.
//
// etcd and the versions of Kubernetes are pinned by modules in separate folders
// here, since their requirements clash. KEDA can be had in several versions, each built as
// its authors do: from its own module, with its own go.sum and replacements. The
// programs are kept in a cache outside the tree, under a key of all that goes
// into them, so that only the first run builds.
package components

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
)

// CacheVariable names the environment variable that moves the cache to a
// directory of one's own.
const CacheVariable = "CONTROL_PLANE_CACHE"

// Programs are the paths of what was built.
type Programs struct {
	Etcd, APIServer, ControllerManager string
	// KEDA is the operator, empty if it was left out; KEDAMetrics is the metrics
	// server, empty unless it was asked for.
	KEDA, KEDAMetrics string
	// KEDACRDs are directories of YAML files, one for each kind of KEDA's.
	KEDACRDs CRDs
}

// Options say what to build.
type Options struct {
	// KEDA is the operator's version, by default that of [KEDAVersion].
	KEDA string
	// WithoutKEDA leaves the operator out, and keeps its CRDs.
	WithoutKEDA bool
	// MetricsServer adds KEDA's metrics server.
	MetricsServer bool
	// Progress reports builds and how long they took.
	Progress io.Writer
}

// Build returns the programs, building those that the cache does not hold yet:
// Kubernetes in the version of [KubernetesVersion].
// Processes may call it at the same time: one builds, the others wait.
func Build(ctx context.Context, options Options) (Programs, error) {
	source, err := sourceDir()
	if err != nil {
		return Programs{}, err
	}
	release, err := releaseOf(cmp.Or(options.KEDA, KEDAVersion()))
	if err != nil {
		return Programs{}, err
	}
	cluster, err := kubernetes(source, KubernetesVersion())
	if err != nil {
		return Programs{}, err
	}
	modules := []module{etcd(source), cluster}
	if !options.WithoutKEDA {
		modules = append(modules, release.operator(source))
	}
	if options.MetricsServer {
		modules = append(modules, release.metricsServer(source))
	}
	built := make(map[string]string, len(modules))
	for _, m := range modules {
		dir, err := m.install(ctx, options.Progress)
		if err != nil {
			return Programs{}, fmt.Errorf("build %s: %w", m.name, err)
		}
		for _, p := range m.programs {
			built[p.name] = filepath.Join(dir, p.name)
		}
	}
	crds, err := release.crds(ctx)
	if err != nil {
		return Programs{}, err
	}
	return Programs{
		Etcd:              built["etcd"],
		APIServer:         built["kube-apiserver"],
		ControllerManager: built["kube-controller-manager"],
		KEDA:              built["keda-operator"],
		KEDAMetrics:       built["keda-metrics-apiserver"],
		KEDACRDs:          crds,
	}, nil
}

// CacheDir is where the programs are kept.
func CacheDir() (string, error) {
	if dir := os.Getenv(CacheVariable); dir != "" {
		return filepath.Abs(dir)
	}
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("find a cache directory (%s names another): %w", CacheVariable, err)
	}
	return filepath.Join(dir, "ado-agent-orchestrator", "control-plane"), nil
}

// sourceDir is this package's own folder. Its modules cannot be embedded, as
// embedding stops at a module's border.
func sourceDir() (string, error) {
	_, file, _, ok := runtime.Caller(0)
	if !ok || !filepath.IsAbs(file) {
		return "", errors.New("the folder of the pinned modules is unknown to a program built with -trimpath")
	}
	return strings.TrimSuffix(file, string(filepath.Separator)+"components.go"), nil
}
