package components

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

const (
	// KubernetesVariable names the environment variable with the version of
	// Kubernetes that tests run with, without its patch.
	KubernetesVariable = "CONTROL_PLANE_KUBERNETES"
	// LatestKubernetes is the version that tests run with by default.
	LatestKubernetes = "1.36"
	// OldestKubernetes is the oldest version that the chart is for.
	OldestKubernetes = "1.29"

	kubernetesModule = "k8s.io/kubernetes"
)

// kubernetesFolders hold the modules of the versions that can be built.
var kubernetesFolders = map[string]string{
	OldestKubernetes: "kubernetes-1.29", "1.33": "kubernetes-1.33", LatestKubernetes: "kubernetes",
}

// KubernetesVersion is the version of Kubernetes that tests run with.
func KubernetesVersion() string { return cmp.Or(os.Getenv(KubernetesVariable), LatestKubernetes) }

func kubernetes(source, version string) (module, error) {
	folder, ok := kubernetesFolders[version]
	if !ok {
		known := slices.Sorted(maps.Keys(kubernetesFolders))
		return module{}, fmt.Errorf("%s: Kubernetes %q is not one of %s", KubernetesVariable, version, strings.Join(known, ", "))
	}
	m := pinned(source, folder,
		program{"kube-apiserver", kubernetesModule + "/cmd/kube-apiserver", "5 minutes"},
		program{"kube-controller-manager", kubernetesModule + "/cmd/kube-controller-manager", "1 minute"})
	if version == OldestKubernetes {
		// Leaves the clients of clouds out, which later versions do not have.
		m.tags = "providerless"
	}
	// Without it, clients get a version v0.0.0.
	m.link = func(ctx context.Context) (string, error) {
		version, err := goCommand(ctx, m.workDir, "list", "-m", "-f", "{{.Version}}", kubernetesModule)
		if err != nil {
			return "", err
		}
		major, rest, _ := strings.Cut(strings.TrimPrefix(version, "v"), ".")
		minor, _, _ := strings.Cut(rest, ".")
		const variables = " -X k8s.io/component-base/version."
		return variables + "gitVersion=" + version + variables + "gitMajor=" + major + variables + "gitMinor=" + minor, nil
	}
	return m, nil
}

// KubernetesSchemas returns a folder with the OpenAPI documents of
// [OldestKubernetes], as its API server serves them.
func KubernetesSchemas(ctx context.Context) (string, error) {
	source, err := sourceDir()
	if err != nil {
		return "", err
	}
	m, err := kubernetes(source, OldestKubernetes)
	if err != nil {
		return "", err
	}
	pins, err := m.pins()
	if err != nil {
		return "", err
	}
	dir, err := once(fmt.Sprintf("kubernetes-schemas-%x", sha256.Sum256(pins))[:36], func(target string) error {
		// The checksum of the folder's go.sum counts.
		out, err := goCommand(ctx, m.workDir, "mod", "download", "-json", kubernetesModule)
		if err != nil {
			return err
		}
		var downloaded struct{ Dir string }
		if err := json.Unmarshal([]byte(out), &downloaded); err != nil {
			return err
		}
		return os.CopyFS(target, os.DirFS(filepath.Join(downloaded.Dir, "api", "openapi-spec", "v3")))
	})
	if err != nil {
		return "", fmt.Errorf("get the OpenAPI documents of Kubernetes %s: %w", OldestKubernetes, err)
	}
	return dir, nil
}
