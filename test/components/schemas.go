package components

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
)

// OldestKubernetes is the oldest version that the chart is for.
const OldestKubernetes = "1.29.15"

// oldestKubernetesSum is the checksum of its module, as go.sum has it.
const oldestKubernetesSum = "h1:hLcyf3XmxtfkubCEmmPX5QVD7lDclXjvEUrJeP283LM="

const kubernetesModule = "k8s.io/kubernetes"

// KubernetesSchemas returns a folder with the OpenAPI documents of
// [OldestKubernetes], as its API server serves them.
func KubernetesSchemas(ctx context.Context) (string, error) {
	dir, err := once("kubernetes-schemas-"+OldestKubernetes, func(target string) error {
		folder, err := downloadModule(ctx, kubernetesModule, OldestKubernetes, oldestKubernetesSum)
		if err != nil {
			return err
		}
		return os.CopyFS(target, os.DirFS(filepath.Join(folder, "api", "openapi-spec", "v3")))
	})
	if err != nil {
		return "", fmt.Errorf("get the OpenAPI documents of Kubernetes %s: %w", OldestKubernetes, err)
	}
	return dir, nil
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
