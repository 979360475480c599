package controlplane

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// paths are the directories that stand for a container's mount paths.
type paths map[string]string

// rewrite returns the directory or the file for a path that is mounted, and for
// all else what it was.
func (m paths) rewrite(text string) string {
	best := ""
	for mounted := range m {
		if len(mounted) > len(best) && (text == mounted || strings.HasPrefix(text, mounted+"/")) {
			best = mounted
		}
	}
	if best == "" {
		return text
	}
	return m[best] + strings.TrimPrefix(text, best)
}

// mountedPaths makes the volumes that a container mounts, where they are not
// there yet.
func (p *pod) mountedPaths(spec corev1.Container) (paths, error) {
	volumes := make(map[string]corev1.Volume, len(p.spec.Spec.Volumes))
	for _, volume := range p.spec.Spec.Volumes {
		volumes[volume.Name] = volume
	}
	mounted := make(paths, len(spec.VolumeMounts))
	for _, mount := range spec.VolumeMounts {
		dir, err := p.volume(volumes[mount.Name])
		if err != nil {
			return nil, fmt.Errorf("volume %s: %w", mount.Name, err)
		}
		mounted[strings.TrimSuffix(mount.MountPath, "/")] = filepath.Join(dir, mount.SubPath)
	}
	return mounted, nil
}

// volume returns the directory of a volume.
func (p *pod) volume(v corev1.Volume) (string, error) {
	dir := filepath.Join(p.dir, "volumes", v.Name)
	switch {
	case v.HostPath != nil:
		return v.HostPath.Path, nil
	case v.EmptyDir != nil:
		return dir, os.MkdirAll(dir, 0o750)
	case v.Secret != nil:
		files, err := p.secret(v.Secret.SecretName, v.Secret.Optional)
		if err != nil {
			return "", err
		}
		return dir, writeFiles(dir, files, v.Secret.Items)
	case v.ConfigMap != nil:
		files, err := p.configMap(v.ConfigMap.Name, v.ConfigMap.Optional)
		if err != nil {
			return "", err
		}
		return dir, writeFiles(dir, files, v.ConfigMap.Items)
	default:
		return "", fmt.Errorf("its type is %w", errUnsupported)
	}
}

// writeFiles writes the files, or only the items under the paths they name.
func writeFiles(dir string, files map[string]string, items []corev1.KeyToPath) error {
	if len(items) == 0 {
		for name := range files {
			items = append(items, corev1.KeyToPath{Key: name, Path: name})
		}
	}
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return err
	}
	for _, item := range items {
		content, ok := files[item.Key]
		if !ok {
			return fmt.Errorf("key %s is missing", item.Key)
		}
		path := filepath.Join(dir, item.Path)
		if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
			return err
		}
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			return err
		}
	}
	return nil
}
