package components

import (
	"cmp"
	"context"
	"crypto/sha256"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	jsonpatch "github.com/evanphx/json-patch/v5"
	"sigs.k8s.io/yaml"
)

const (
	// KEDAVariable names the environment variable with the version of KEDA that
	// tests run with.
	KEDAVariable = "CONTROL_PLANE_KEDA"
	// LatestKEDA is the version that tests run with by default.
	LatestKEDA = "2.21.0"

	kedaModule = "github.com/kedacore/keda/v2"
)

// kedaSums are the checksums of KEDA's module, as go.sum has them, by version.
var kedaSums = map[string]string{
	"2.14.1": "h1:8HShe/6GPo2h1BQ/vkW4k874wHAnkzE7aLbk04rH0u4=",
	"2.15.1": "h1:Kb3woYuCeCPICH037vTIcUopXgOYpdP2qa+CmHgV3SE=",
	"2.16.1": "h1:LfYsxfSX8DjetLW8q9qnriImH936POrQJvE+caRoScI=",
	"2.17.3": "h1:OlGqI/Ih1kUcz0gJ9B5nxOZU+j5GXQzc2ELByHs7cYA=",
	"2.18.1": "h1:h6bRt/IOxxtZpJlHSqhdH/lcInH7Z9obxg/JvWOmGAw=",
	"2.19.0": "h1:IP3iMTwr9HkaAwPtLnhngPv74LghMf7ubLrsGLQo52M=",
	"2.20.0": "h1:nPKQL9iKsPpoyq7BftlBzJiQzb2LdKHiqBIEG6ju3bk=",
	"2.20.1": "h1:0Bb2zX/s+RSPtU2W+/Jk24A/aFl8MO79UuU0C4lA8ts=",
	"2.20.2": "h1:SR60v8uIcelbveS8n/1jcl8tLdBBIbHMxmdOHw8tKqA=",
	"2.21.0": "h1:R6z2HZvstK4RLUMxroNACzBj74xGxt3kG59b5Xc+Xps=",
}

// KEDAVersions are those that can be built, the oldest first.
func KEDAVersions() []string { return slices.Sorted(maps.Keys(kedaSums)) }

// KEDAVersion is the version of KEDA that tests run with.
func KEDAVersion() string { return cmp.Or(os.Getenv(KEDAVariable), LatestKEDA) }

// CRDs are directories of KEDA's CRDs.
type CRDs struct {
	// Released are those of KEDA's release and of its Helm chart.
	Released string
	// Generated are those that the release is made from. Some installations have
	// them: KEDA's Helm chart 2.14.0 did. They are the stricter ones up to 2.15:
	// the metadata of a ScaledJob's pods has no fields.
	Generated string
}

// KEDACRDs returns the CRDs of a version.
func KEDACRDs(ctx context.Context, version string) (CRDs, error) {
	r, err := releaseOf(version)
	if err != nil {
		return CRDs{}, err
	}
	return r.crds(ctx)
}

// release is a version of KEDA.
type release struct{ version, sum string }

func releaseOf(version string) (release, error) {
	sum, ok := kedaSums[version]
	if !ok {
		return release{}, fmt.Errorf("KEDA %q is not one of %s", version, strings.Join(KEDAVersions(), ", "))
	}
	return release{version, sum}, nil
}

// operator is KEDA's own module, in the module cache.
func (r release) operator(workDir string) module {
	return r.module("keda-"+r.version, workDir, program{"keda-operator", kedaModule + "/cmd/operator", "8 minutes"})
}

// metricsServer is what the autoscaler of a ScaledObject asks. It is apart from the
// operator, as few need it, and quickly built after that.
func (r release) metricsServer(workDir string) module {
	return r.module("keda-metrics-"+r.version, workDir, program{"keda-metrics-apiserver", kedaModule + "/cmd/adapter", "2 minutes"})
}

func (r release) module(name, workDir string, p program) module {
	return module{
		name:     name,
		programs: []program{p},
		workDir:  workDir,
		pins:     func() ([]byte, error) { return []byte(r.sum), nil },
		folder:   r.download,
		// As in KEDA's Makefile. Jobs are labelled with it.
		link: func(context.Context) (string, error) {
			return " -X " + kedaModule + "/version.Version=" + r.version, nil
		},
	}
}

// download returns the module's folder in the module cache.
func (r release) download(ctx context.Context) (string, error) {
	return downloadModule(ctx, kedaModule, r.version, r.sum)
}

// crds are kept in the cache, so that one that was restored needs no module to
// be downloaded.
func (r release) crds(ctx context.Context) (CRDs, error) {
	dir, err := once(fmt.Sprintf("keda-crds-%s-%x", r.version, sha256.Sum256([]byte(r.sum)))[:36], func(target string) error {
		folder, err := r.download(ctx)
		if err != nil {
			return err
		}
		config := filepath.Join(folder, "config", "crd")
		made := crdsIn(target)
		for _, copied := range []string{made.Generated, made.Released} {
			if err := os.CopyFS(copied, os.DirFS(filepath.Join(config, "bases"))); err != nil {
				return err
			}
		}
		return patchCRDs(made.Released, filepath.Join(config, "patches"))
	})
	if err != nil {
		return CRDs{}, fmt.Errorf("get the CRDs of KEDA %s: %w", r.version, err)
	}
	return crdsIn(dir), nil
}

func crdsIn(dir string) CRDs {
	return CRDs{Released: filepath.Join(dir, "released"), Generated: filepath.Join(dir, "generated")}
}

// patchCRDs does what kustomize does for a release: scaledjob_patch.yaml is a
// JSON patch of keda.sh_scaledjobs.yaml, and so on.
func patchCRDs(crds, patches string) error {
	files, err := filepath.Glob(filepath.Join(patches, "*_patch.yaml"))
	if err != nil {
		return err
	}
	if len(files) == 0 {
		return fmt.Errorf("%s holds no patches", patches)
	}
	for _, file := range files {
		kind := strings.TrimSuffix(filepath.Base(file), "_patch.yaml")
		if err := patchCRD(filepath.Join(crds, "keda.sh_"+kind+"s.yaml"), file); err != nil {
			return fmt.Errorf("apply %s: %w", file, err)
		}
	}
	return nil
}

func patchCRD(crd, patch string) error {
	var documents [2][]byte
	for i, file := range []string{crd, patch} {
		content, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		if documents[i], err = yaml.YAMLToJSON(content); err != nil {
			return err
		}
	}
	operations, err := jsonpatch.DecodePatch(documents[1])
	if err != nil {
		return err
	}
	patched, err := operations.Apply(documents[0])
	if err != nil {
		return err
	}
	content, err := yaml.JSONToYAML(patched)
	if err != nil {
		return err
	}
	// Those of the module cache cannot be written to, and so neither can copies.
	if err := os.Remove(crd); err != nil {
		return err
	}
	return os.WriteFile(crd, content, 0o600) //nolint:gosec // the path is one of the cache's
}
