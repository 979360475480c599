package fleet

import (
	"cmp"
	"reflect"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/plan"
)

// ScaledObject is what matters here of a ScaledObject, whose agents run job after
// job. It is never changed once it is in an Index.
type ScaledObject struct {
	Key plan.Key
	UID types.UID
	// Triggers are those of type external.
	Triggers []ObjectTrigger
	// TargetKind and TargetName are the workload whose pods the agents run in.
	TargetKind, TargetName string
}

// ObjectTrigger is a trigger of a ScaledObject.
type ObjectTrigger struct {
	// Metadata is as in a ScaledJob's trigger.
	Metadata map[string]string
	// MetricType is how the autoscaler reads the metric, "" for AverageValue.
	MetricType string
}

func (o *ScaledObject) equal(other *ScaledObject) bool { return reflect.DeepEqual(o, other) }

// OwnsAgent reports whether an agent of this name can run in a pod of the
// ScaledObject's workload, where agents are named after their pods. It is false
// for kinds of workloads whose pods' names follow no rule known here.
func (o *ScaledObject) OwnsAgent(agent string) bool {
	switch o.TargetKind {
	case "Deployment":
		return isPodOfDeployment(o.TargetName, agent)
	case "StatefulSet":
		return isPodOfStatefulSet(o.TargetName, agent)
	default:
		return false
	}
}

// scaledObjectOf reads a ScaledObject.
func scaledObjectOf(u *unstructured.Unstructured) *ScaledObject {
	o := &ScaledObject{
		Key: plan.Key{Namespace: u.GetNamespace(), Name: u.GetName()}, UID: u.GetUID(),
		TargetKind: cmp.Or(text(u, "spec", "scaleTargetRef", "kind"), "Deployment"),
		TargetName: text(u, "spec", "scaleTargetRef", "name"),
	}
	eachTrigger(u, func(t triggerFields) {
		if t.external() {
			o.Triggers = append(o.Triggers, ObjectTrigger{Metadata: t.metadata(), MetricType: t.text("metricType")})
		}
	})
	return o
}

// triggerFields are the fields of one trigger.
type triggerFields map[string]any

func eachTrigger(u *unstructured.Unstructured, read func(triggerFields)) {
	list, _, _ := unstructured.NestedSlice(u.Object, "spec", "triggers")
	for _, item := range list {
		fields, _ := item.(map[string]any)
		read(fields)
	}
}

func (t triggerFields) text(key string) string {
	value, _ := t[key].(string)
	return value
}

// external reports whether the trigger is one of an external scaler.
func (t triggerFields) external() bool {
	kind := t.text("type")
	return kind == "external" || kind == "external-push"
}

func (t triggerFields) metadata() map[string]string {
	metadata, _, _ := unstructured.NestedStringMap(t, "metadata")
	return metadata
}
