package controlplane

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sync/errgroup"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
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
	group, ctx := errgroup.WithContext(ctx)
	for _, file := range files {
		group.Go(func() error {
			if err := applyCRD(ctx, client.Resource(crdResource), file); err != nil {
				return fmt.Errorf("%s: %w", filepath.Base(file), err)
			}
			return nil
		})
	}
	return group.Wait()
}

func applyCRD(ctx context.Context, crds dynamic.ResourceInterface, file string) error {
	content, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	crd := &unstructured.Unstructured{}
	if err := yaml.Unmarshal(content, crd); err != nil {
		return err
	}
	if _, err := crds.Apply(ctx, crd.GetName(), crd, metav1.ApplyOptions{FieldManager: "control-plane"}); err != nil {
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
