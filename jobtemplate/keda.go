package jobtemplate

import (
	_ "embed"
	"errors"
	"fmt"
	"slices"
	"strings"

	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/version"
	"sigs.k8s.io/yaml"
)

// kedaFields are the fields that not every KEDA has.
//
//go:embed kedafields.yaml
var kedaFields []byte

// oldestKEDA is the oldest version that the counts are right with.
var oldestKEDA = version.MustParseGeneric("2.14")

// Fields reports whether the ScaledJobs of a KEDA have a field. It takes the
// names on the way there from spec on; those of lists stand for their items.
type Fields func(names []string) bool

// FieldsOf returns the fields that every CRD of a version of KEDA has. The CRDs
// of one version differ: read the cluster's own with [FieldsIn] to be exact.
func FieldsOf(keda string) (Fields, error) {
	given, err := version.ParseGeneric(keda)
	if err != nil {
		return nil, fmt.Errorf("%q is not a version of KEDA such as 2.16.1", keda)
	}
	if given.LessThan(oldestKEDA) {
		return nil, fmt.Errorf("KEDA %s is too old: the oldest supported version is %s", keda, oldestKEDA)
	}
	var added map[string][]string
	if err := yaml.Unmarshal(kedaFields, &added); err != nil {
		return nil, err
	}
	var missing [][]string
	for since, fields := range added {
		if given.LessThan(version.MustParseGeneric(since)) {
			for _, field := range fields {
				missing = append(missing, strings.Split("jobTargetRef."+field, "."))
			}
		}
	}
	return func(names []string) bool {
		return !slices.ContainsFunc(missing, func(field []string) bool { return within(names, field) })
	}, nil
}

// within reports whether a field is another one, or below it. An asterisk in the
// other one stands for any name.
func within(names, field []string) bool {
	return len(names) >= len(field) && slices.EqualFunc(names[:len(field)], field, func(name, pattern string) bool {
		return pattern == "*" || name == pattern
	})
}

// FieldsOfCRD returns the fields that a CustomResourceDefinition of ScaledJobs in
// YAML or JSON has.
func FieldsOfCRD(content []byte) (Fields, error) {
	var crd struct {
		Metadata metav1.ObjectMeta
		Spec     struct {
			Versions []struct {
				Name   string
				Schema struct{ OpenAPIV3Schema map[string]any }
			}
		}
	}
	// Other content is not decoded, or has another name.
	_ = yaml.Unmarshal(content, &crd)
	for _, version := range crd.Spec.Versions {
		if crd.Metadata.Name == "scaledjobs.keda.sh" && version.Name == "v1alpha1" {
			return FieldsIn(version.Schema.OpenAPIV3Schema), nil
		}
	}
	return nil, errors.New("must hold the CustomResourceDefinition scaledjobs.keda.sh with version v1alpha1")
}

// FieldsIn returns the fields that a CRD's schema of ScaledJobs has.
func FieldsIn(schema map[string]any) Fields {
	properties, _ := schema["properties"].(map[string]any)
	spec, _ := properties["spec"].(map[string]any)
	return func(names []string) bool { return hasField(spec, names) }
}

func hasField(schema map[string]any, names []string) bool {
	if len(names) == 0 || schema["x-kubernetes-preserve-unknown-fields"] == true {
		return true
	}
	if items, ok := schema["items"].(map[string]any); ok {
		return hasField(items, names)
	}
	properties, _ := schema["properties"].(map[string]any)
	if property, ok := properties[names[0]].(map[string]any); ok {
		return hasField(property, names[1:])
	}
	values, ok := schema["additionalProperties"].(map[string]any)
	return ok && hasField(values, names[1:])
}

// Omission is a field that was left out of a ScaledJob.
type Omission struct {
	// Field is its path, and Effect what its absence means.
	Field, Effect string
}

func (o Omission) String() string {
	return o.Field + ": omitted, since KEDA's CRD does not have it: " + o.Effect
}

// The fields whose absence has to be made up for.
const (
	podLabels      = "spec.jobTargetRef.template.metadata.labels"
	podAnnotations = "spec.jobTargetRef.template.metadata.annotations"
)

func omission(field string) Omission {
	effect := "pods run without it"
	switch field {
	case podLabels:
		effect = "pods have only KEDA's labels, so Azure's workload identity webhook ignores them; " +
			"mount the identity's token in the Job's definition (docs/compatibility.md)"
	case podAnnotations:
		effect = "the cluster autoscaler and Karpenter may evict running builds, " +
			"unless a PodDisruptionBudget protects pods with the label " + scaledJobLabel
	}
	return Omission{Field: field, Effect: effect}
}

// Fit removes the fields that a KEDA does not have from a ScaledJob, and mappings
// that have nothing else. It returns them in their order.
func Fit(scaledJob *unstructured.Unstructured, fields Fields) []Omission {
	var omitted []Omission
	if spec, ok := scaledJob.Object["spec"].(map[string]any); ok {
		fit(spec, fields, nil, "spec", func(path string) { omitted = append(omitted, omission(path)) })
	}
	slices.SortFunc(omitted, func(a, b Omission) int { return strings.Compare(a.Field, b.Field) })
	return omitted
}

// fit removes fields from a value at a path, which names are the way to.
// It reports whether the value is empty now and was not before.
func fit(value any, fields Fields, names []string, path string, omit func(path string)) (emptied bool) {
	switch value := value.(type) {
	case []any:
		for i, item := range value {
			fit(item, fields, names, fmt.Sprintf("%s[%d]", path, i), omit)
		}
	case map[string]any:
		before := len(value)
		for name, child := range value {
			below := append(slices.Clone(names), name)
			if !fields(below) {
				delete(value, name)
				omit(path + "." + name)
			} else if fit(child, fields, below, path+"."+name, omit) {
				delete(value, name)
			}
		}
		return before > 0 && len(value) == 0
	}
	return false
}

// scaledJobLabel is what KEDA marks the pods of a ScaledJob's Jobs with.
const scaledJobLabel = "scaledjob.keda.sh/name"

// moreThanAnyPods makes every eviction one too many.
const moreThanAnyPods = 1_000_000

// DisruptionBudget returns what protects the agents of ScaledJobs from eviction
// where their annotations cannot. The number is an integer since Kubernetes finds
// no percentage of the pods of Jobs.
func DisruptionBudget(name, namespace string, scaledJobs ...string) *policyv1.PodDisruptionBudget {
	return &policyv1.PodDisruptionBudget{
		TypeMeta: metav1.TypeMeta{APIVersion: policyv1.SchemeGroupVersion.String(), Kind: "PodDisruptionBudget"},
		ObjectMeta: metav1.ObjectMeta{
			Name: name, Namespace: namespace, Labels: map[string]string{ManagedByLabel: Manager},
		},
		Spec: policyv1.PodDisruptionBudgetSpec{
			MinAvailable: new(intstr.FromInt32(moreThanAnyPods)),
			Selector: &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{
				{Key: scaledJobLabel, Operator: metav1.LabelSelectorOpIn, Values: scaledJobs},
			}},
		},
	}
}

// Unprotected reports whether what was left out protects agents from eviction.
func Unprotected(omitted []Omission) bool {
	return slices.ContainsFunc(omitted, func(o Omission) bool { return o.Field == podAnnotations })
}
