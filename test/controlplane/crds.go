package controlplane

import (
	"context"
	"crypto/rand"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sync/errgroup"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/dynamic"
	"sigs.k8s.io/yaml"
)

var crdResource = schema.GroupVersionResource{
	Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions",
}

// applyCRDs applies every CRD of a folder on the server's side, as one of KEDA's
// is too large for the annotation that the client's side needs, and waits until
// they are served.
func (c *ControlPlane) applyCRDs(ctx context.Context, folder string) error {
	client, err := dynamic.NewForConfig(c.restConfig)
	if err != nil {
		return err
	}
	files, err := filepath.Glob(filepath.Join(folder, "*.yaml"))
	if err != nil {
		return err
	}
	if len(files) == 0 {
		return fmt.Errorf("%s holds none", folder)
	}
	group, groupCtx := errgroup.WithContext(ctx)
	for _, file := range files {
		group.Go(func() error {
			if err := applyCRD(groupCtx, client.Resource(crdResource), file); err != nil {
				return fmt.Errorf("%s: %w", filepath.Base(file), err)
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	lookup, err := discovery.NewDiscoveryClientForConfig(c.restConfig)
	if err != nil {
		return err
	}
	return poll(ctx, "discovery lists the CRDs", func(context.Context) error { return discovered(lookup, len(files)) })
}

// discovered returns an error while clients that look up resources by their kind do
// not find those of all CRDs, which is so for a moment after they are established.
func discovered(client discovery.DiscoveryInterface, crds int) error {
	_, lists, err := client.ServerGroupsAndResources()
	if err != nil && !discovery.IsGroupDiscoveryFailedError(err) { // of others
		return err
	}
	var kinds int
	for _, list := range lists {
		if group, _, _ := strings.Cut(list.GroupVersion, "/"); !strings.HasSuffix(group, "keda.sh") {
			continue
		}
		for i := range list.APIResources {
			if !strings.Contains(list.APIResources[i].Name, "/") { // no subresource
				kinds++
			}
		}
	}
	if kinds < crds {
		return fmt.Errorf("it lists %d of %d", kinds, crds)
	}
	return nil
}

// scaledJobsFile is where the CRD of ScaledJobs is in a folder of KEDA's CRDs.
const scaledJobsFile = "keda.sh_scaledjobs.yaml"

// ReplaceCRDs puts KEDA's CRDs of another folder in the place of those that there
// are, and returns once the API server uses them. KEDA must not be running.
func (c *ControlPlane) ReplaceCRDs(ctx context.Context, folder string) error {
	if err := c.applyCRDs(ctx, folder); err != nil {
		return err
	}
	client, err := dynamic.NewForConfig(c.restConfig)
	if err != nil {
		return err
	}
	// A field that no other version has shows when the new schema is in force.
	marker := "marker" + rand.Text()
	crd, err := readCRD(filepath.Join(folder, scaledJobsFile))
	if err != nil {
		return err
	}
	versions, _, err := unstructured.NestedSlice(crd.Object, "spec", "versions")
	if err != nil {
		return err
	}
	if err := unstructured.SetNestedField(versions[0].(map[string]any), "string",
		"schema", "openAPIV3Schema", "properties", marker, "type"); err != nil {
		return err
	}
	if err := unstructured.SetNestedSlice(crd.Object, versions, "spec", "versions"); err != nil {
		return err
	}
	options := metav1.ApplyOptions{FieldManager: "control-plane", Force: true}
	if _, err := client.Resource(crdResource).Apply(ctx, crd.GetName(), crd, options); err != nil {
		return err
	}
	probe := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "keda.sh/v1alpha1", "kind": "ScaledJob", "metadata": map[string]any{"name": "probe"}, marker: "",
	}}
	return poll(ctx, "the CRDs are in force", func(ctx context.Context) error {
		_, err := client.Resource(scaledJobResource).Namespace(metav1.NamespaceDefault).Create(ctx, probe,
			metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}, FieldValidation: metav1.FieldValidationStrict})
		if apierrors.IsBadRequest(err) { // not so if it is the spec that is missing
			return err
		}
		return nil
	})
}

var scaledJobResource = schema.GroupVersionResource{Group: "keda.sh", Version: "v1alpha1", Resource: "scaledjobs"}

func readCRD(file string) (*unstructured.Unstructured, error) {
	content, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	crd := &unstructured.Unstructured{}
	return crd, yaml.Unmarshal(content, crd)
}

func applyCRD(ctx context.Context, crds dynamic.ResourceInterface, file string) error {
	crd, err := readCRD(file)
	if err != nil {
		return err
	}
	if _, err := crds.Apply(ctx, crd.GetName(), crd, metav1.ApplyOptions{FieldManager: "control-plane", Force: true}); err != nil {
		return err
	}
	return poll(ctx, "it is established", func(ctx context.Context) error {
		applied, err := crds.Get(ctx, crd.GetName(), metav1.GetOptions{})
		if err != nil {
			return err
		}
		return established(applied)
	})
}

func established(crd *unstructured.Unstructured) error {
	conditions, _, err := unstructured.NestedSlice(crd.Object, "status", "conditions")
	if err != nil {
		return err
	}
	for _, condition := range conditions {
		if condition, ok := condition.(map[string]any); ok &&
			condition["type"] == "Established" && condition["status"] == "True" {
			return nil
		}
	}
	return fmt.Errorf("its conditions are %v", conditions)
}
