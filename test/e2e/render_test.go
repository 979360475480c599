package e2e_test

import (
	"errors"
	"io"
	"os/exec"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/restmapper"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/test/cluster"
)

// rendered has the API server take what render prints, as
// kubectl create --dry-run=server does.
func rendered(t *testing.T, c *cluster.Cluster) {
	s, older := newPools(t, c)
	for _, args := range [][]string{{"render"}, {"render", "--job"}} {
		objects := s.render(append(older, "SCALER_ADDRESS=scaler:9090", "JOB_TOKEN_SECRET=azure-devops/token"), args...)
		if len(objects) != len(pools) {
			t.Errorf("%v gives %d objects, want one for each pool", args, len(objects))
		}
		for _, object := range objects {
			if err := s.dryRun(object); err != nil {
				t.Errorf("%v: %v", args, err)
			}
			unstructured.RemoveNestedField(object.Object, "spec", "template")
			unstructured.RemoveNestedField(object.Object, "spec", "jobTargetRef")
			if err := s.dryRun(object); err == nil {
				t.Errorf("%v: the API server takes anything", args)
			}
		}
	}
}

func (s *env) render(env []string, args ...string) (objects []*unstructured.Unstructured) {
	s.t.Helper()
	programs, err := programs()
	if err != nil {
		s.t.Fatal(err)
	}
	command := exec.CommandContext(s.t.Context(), programs.Scaler, args...)
	command.Env = env
	out, err := command.StdoutPipe()
	if err != nil {
		s.t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		s.t.Fatal(err)
	}
	documents := yaml.NewYAMLOrJSONDecoder(out, 4096)
	for {
		object := &unstructured.Unstructured{}
		err := documents.Decode(object)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			s.t.Fatal(err)
		}
		objects = append(objects, object)
	}
	if err := command.Wait(); err != nil {
		s.t.Fatal(err)
	}
	return objects
}

// dryRun creates an object of any kind without effect; unknown fields are
// errors.
func (s *env) dryRun(object *unstructured.Unstructured) error {
	groups, err := restmapper.GetAPIGroupResources(discovery.NewDiscoveryClient(s.Kube.CoreV1().RESTClient()))
	if err != nil {
		return err
	}
	kind := object.GroupVersionKind()
	mapping, err := restmapper.NewDiscoveryRESTMapper(groups).RESTMapping(kind.GroupKind(), kind.Version)
	if err != nil {
		return err
	}
	_, err = s.Dynamic.Resource(mapping.Resource).Namespace(s.Namespace).Create(s.t.Context(), object, metav1.CreateOptions{
		DryRun: []string{metav1.DryRunAll}, FieldValidation: metav1.FieldValidationStrict,
	})
	return err
}
