package jobtemplate

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"
)

// newFields has fields that came with versions of KEDA, in lists and in none.
const newFields = `
spec:
  pollingInterval: 5
  jobTargetRef:
    template:
      metadata: {labels: {a: b}, annotations: {a: b}}
      spec:
        resources: {limits: {cpu: 1}}
        securityContext: {runAsNonRoot: true, appArmorProfile: {type: RuntimeDefault}}
        initContainers: [{name: a}, {name: b, securityContext: {appArmorProfile: {type: Unconfined}}}]
        containers: [{name: c, resources: {limits: {cpu: 1}}, lifecycle: {preStop: {sleep: {seconds: 1}}}}]
`

func TestFit(t *testing.T) {
	const (
		template   = "spec.jobTargetRef.template."
		metadata   = template + "metadata."
		sleep      = template + "spec.containers[0].lifecycle.preStop.sleep"
		ofPod      = template + "spec.securityContext.appArmorProfile"
		ofOne      = template + "spec.initContainers[1].securityContext.appArmorProfile"
		ofPodLevel = template + "spec.resources"
	)
	for version, want := range map[string][]string{
		"2.14.1":  {metadata + "annotations", metadata + "labels", sleep, ofOne, ofPodLevel, ofPod},
		"2.15":    {metadata + "annotations", metadata + "labels", ofOne, ofPodLevel, ofPod},
		"v2.17.3": {ofPodLevel},
		"2.18.0":  nil,
		"3.0":     nil,
	} {
		fields, err := FieldsOf(version)
		if err != nil {
			t.Fatal(err)
		}
		object := manifestOf(t, newFields)
		var got []string
		for _, o := range Fit(object, fields) {
			got = append(got, o.Field)
			if !strings.Contains(o.String(), "omitted, since KEDA's CRD does not have it: ") {
				t.Errorf("%q does not say why", o)
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: -want +got\n%s", version, diff)
		}
		if preStop := strings.Contains(yamlOf(t, object), "preStop"); preStop && slices.Contains(want, sleep) {
			t.Errorf("%s: a hook without an action was left", version)
		}
		if again := Fit(object, fields); again != nil {
			t.Errorf("%s: %v was left", version, again)
		}
	}
}

func TestFieldsOfRefuses(t *testing.T) {
	for version, want := range map[string]string{
		"":       `"" is not a version of KEDA`,
		"latest": `"latest" is not a version of KEDA`,
		"2.13.1": "the oldest supported version is 2.14",
	} {
		if _, err := FieldsOf(version); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: error %v, want %q", version, err, want)
		}
	}
}

// TestFieldsIn has each way in which a schema says that there are fields.
func TestFieldsIn(t *testing.T) {
	schema := manifestOf(t, `
properties:
  spec:
    properties:
      closed: {type: object}
      open: {type: object, x-kubernetes-preserve-unknown-fields: true}
      texts: {additionalProperties: {type: string}}
      objects: {additionalProperties: {properties: {known: {}}}}
      list: {items: {properties: {known: {type: string}}}}
`).Object
	object := manifestOf(t, `
spec:
  closed: {field: 1}
  open: {field: {field: 1}}
  texts: {any: text}
  objects: {any: {known: 1, unknown: 1}}
  list: [{known: 1}, {unknown: 1}]
  unknown: 1
`)
	var got []string
	for _, o := range Fit(object, FieldsIn(schema)) {
		got = append(got, o.Field)
	}
	want := []string{"spec.closed.field", "spec.list[1].unknown", "spec.objects.any.unknown", "spec.unknown"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}

func manifestOf(t *testing.T, text string) *unstructured.Unstructured {
	t.Helper()
	object := &unstructured.Unstructured{}
	if err := yaml.UnmarshalStrict([]byte(text), &object.Object); err != nil {
		t.Fatal(err)
	}
	return object
}

func yamlOf(t *testing.T, object *unstructured.Unstructured) string {
	t.Helper()
	text, err := yaml.Marshal(object.Object)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
