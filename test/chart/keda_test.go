package chart_test

import (
	"slices"
	"testing"

	"helm.sh/helm/v4/pkg/chart/common/util"
	"helm.sh/helm/v4/pkg/engine"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/test/components"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/test/controlplane"
)

// TestFieldsFile has the chart know the same fields as the program.
func TestFieldsFile(t *testing.T) {
	same(t, chartDir+"/files/keda-fields.yaml", read(t, "../../jobtemplate/kedafields.yaml"))
}

// TestOnEveryKEDA tries what the chart renders, and the plain manifests, with the
// CRDs of every version of KEDA: those of its release and those that are made
// from it.
func TestOnEveryKEDA(t *testing.T) {
	plane := controlplane.ForTest(t, controlplane.Options{WithoutKEDA: true})
	newAPIServer(t, plane.Config()).namespace("ado")
	for _, version := range components.KEDAVersions() {
		crds, err := components.KEDACRDs(t.Context(), version)
		if err != nil {
			t.Fatal(err)
		}
		for name, folder := range map[string]string{"released": crds.Released, "generated": crds.Generated} {
			t.Run(version+" "+name, func(t *testing.T) {
				if err := plane.ReplaceCRDs(t.Context(), folder); err != nil {
					t.Fatal(err)
				}
				c := newAPIServer(t, plane.Config())
				c.taken(objects(t, read(t, manifestsDir+"minimal.yaml")))
				for _, values := range examples(t) {
					// Without a cluster to look into, the version has to be given.
					values["keda"] = map[string]any{"version": version}
					c.taken(render(t, values))
					delete(values, "keda")
					looked := c.render(values)
					c.taken(looked)
					c.keepsWhatItCan(folder == crds.Released || version >= "2.16", looked)
				}
			})
		}
	}
}

// render renders values as helm install does, which looks into the cluster.
func (c *apiServer) render(values map[string]any) []*unstructured.Unstructured {
	c.t.Helper()
	rendered, err := c.rendered(values)
	if err != nil {
		c.t.Fatal(err)
	}
	return objects(c.t, manifests(rendered))
}

// rendered returns the files that helm install renders, or why it does not.
func (c *apiServer) rendered(values map[string]any) (map[string]string, error) {
	c.t.Helper()
	loaded := load(c.t)
	all, err := util.ToRenderValues(loaded, values, release, capabilities())
	if err != nil {
		return nil, err
	}
	return engine.RenderWithClient(loaded, all, c.config)
}

// taken asks the API server whether it takes KEDA's objects, with all fields.
func (c *apiServer) taken(list []*unstructured.Unstructured) {
	c.t.Helper()
	ofKEDA := slices.DeleteFunc(slices.Clone(list), func(o *unstructured.Unstructured) bool {
		return o.GroupVersionKind().Group != "keda.sh"
	})
	if len(ofKEDA) == 0 {
		c.t.Error("there is nothing of KEDA's")
	}
	for _, object := range ofKEDA {
		if err := c.create(object, metav1.DryRunAll); err != nil {
			c.t.Errorf("%s %s: %v", object.GetKind(), object.GetName(), err)
		}
	}
}

// keepsWhatItCan wants pods to have labels and annotations where KEDA's CRD has
// them, whatever others of that version have.
func (c *apiServer) keepsWhatItCan(annotated bool, list []*unstructured.Unstructured) {
	c.t.Helper()
	for _, scaledJob := range ofKind(list, "ScaledJob") {
		annotations, found, err := unstructured.NestedStringMap(scaledJob.Object, "spec", "jobTargetRef", "template", "metadata", "annotations")
		if err != nil {
			c.t.Fatal(err)
		}
		if found != annotated || annotated && annotations["karpenter.sh/do-not-disrupt"] != "true" {
			c.t.Errorf("%s: annotations %v", scaledJob.GetName(), annotations)
		}
	}
}
