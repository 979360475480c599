// Package components builds the programs of the tests' control plane: etcd,
// the Kubernetes API server and controller manager, and the KEDA operator.
//
// Each lives in a folder of its own here, a module that pins its version, for
// their requirements clash. The programs are kept in a cache outside the tree,
// under a key of all that goes into them, so that only the first run builds.
package components

import (
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
	Etcd, APIServer, ControllerManager, KEDA string
	// KEDACRDs is a directory of YAML files, one for each kind of KEDA's.
	KEDACRDs string
}

// Build returns the programs, building those that the cache does not hold yet.
// What it does then, and how long it took, goes to progress. Processes may call
// it side by side: one builds, the others wait.
func Build(ctx context.Context, progress io.Writer) (Programs, error) {
	source, err := sourceDir()
	if err != nil {
		return Programs{}, err
	}
	cache, err := CacheDir()
	if err != nil {
		return Programs{}, err
	}
	built := make(map[string]string, len(modules))
	for _, m := range modules {
		dir, err := m.install(ctx, installation{
			source: filepath.Join(source, m.name), cache: cache, progress: progress,
		})
		if err != nil {
			return Programs{}, fmt.Errorf("build %s: %w", m.name, err)
		}
		built[m.name] = dir
	}
	return Programs{
		Etcd:              filepath.Join(built["etcd"], "etcd"),
		APIServer:         filepath.Join(built["kubernetes"], "kube-apiserver"),
		ControllerManager: filepath.Join(built["kubernetes"], "kube-controller-manager"),
		KEDA:              filepath.Join(built["keda"], "keda-operator"),
		KEDACRDs:          filepath.Join(built["keda"], crdFolder),
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
