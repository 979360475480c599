package jobtemplate

import (
	"fmt"
	"io"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/yaml"
)

// Manifest returns an object, which has to know its kind, as a user would write
// it: without status, and without the empty values that stand in Go's types for
// fields that are not set.
func Manifest(object runtime.Object) (*unstructured.Unstructured, error) {
	fields, err := runtime.DefaultUnstructuredConverter.ToUnstructured(object)
	if err != nil {
		return nil, fmt.Errorf("convert a %T: %w", object, err)
	}
	delete(fields, "status")
	prune(fields)
	manifest := &unstructured.Unstructured{Object: fields}
	if manifest.GetKind() == "" || manifest.GetAPIVersion() == "" {
		return nil, fmt.Errorf("a %T without apiVersion and kind has no manifest", object)
	}
	return manifest, nil
}

// structs are the fields that Go's types cannot leave out. Other empty mappings
// may mean something, such as emptyDir.
var structs = map[string]bool{"metadata": true, "resources": true, "rollout": true, "scalingStrategy": true}

func prune(fields map[string]any) {
	for key, value := range fields {
		switch value := value.(type) {
		case nil:
			delete(fields, key)
		case []any:
			for _, item := range value {
				if item, ok := item.(map[string]any); ok {
					prune(item)
				}
			}
		case map[string]any:
			prune(value)
			if len(value) == 0 && structs[key] {
				delete(fields, key)
			}
		}
	}
}

// Write prints the manifests of objects as YAML documents.
func Write(w io.Writer, objects ...runtime.Object) error {
	for i, object := range objects {
		manifest, err := Manifest(object)
		if err != nil {
			return err
		}
		text, err := yaml.Marshal(manifest.Object)
		if err != nil {
			return err
		}
		if i > 0 {
			text = append([]byte("---\n"), text...)
		}
		if _, err := w.Write(text); err != nil {
			return err
		}
	}
	return nil
}
