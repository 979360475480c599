package workload

import (
	"maps"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// The resources of agents that run job after job.
var (
	ScaledObjects = schema.GroupVersionResource{Group: "keda.sh", Version: "v1alpha1", Resource: "scaledobjects"}
	Deployments   = schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: "deployments"}
)

// ScaledObject describes a ScaledObject and the Deployment of its name.
type ScaledObject struct {
	Namespace, Name string
	// ScalerAddress is where KEDA finds our scaler, Pool where the agents go.
	ScalerAddress, Pool string
	// Metadata is added to the trigger's.
	Metadata map[string]string
	// Push has KEDA notified of jobs in place of frequent polls.
	Push bool
	// PollingInterval and Cooldown are in whole seconds. The latter is how long
	// KEDA waits before it scales to zero.
	PollingInterval, Cooldown time.Duration
}

// Object is the ScaledObject in KEDA's form.
func (s ScaledObject) Object() *unstructured.Unstructured {
	kind := "external"
	if s.Push {
		kind = "external-push"
	}
	metadata := map[string]string{"scalerAddress": s.ScalerAddress, "poolName": s.Pool}
	maps.Copy(metadata, s.Metadata)
	object := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "keda.sh/v1alpha1",
		"kind":       "ScaledObject",
		"spec": map[string]any{
			"scaleTargetRef":  map[string]any{"name": s.Name},
			"pollingInterval": int64(s.PollingInterval / time.Second),
			"cooldownPeriod":  int64(s.Cooldown / time.Second),
			"minReplicaCount": int64(0),
			"maxReplicaCount": int64(5),
			"triggers":        []any{map[string]any{"type": kind, "metadata": texts(metadata)}},
		},
	}}
	object.SetNamespace(s.Namespace)
	object.SetName(s.Name)
	return object
}

// Deployment is the Deployment, with no replica.
func (s ScaledObject) Deployment() *unstructured.Unstructured {
	labels := map[string]any{"app": s.Name}
	object := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "apps/v1",
		"kind":       "Deployment",
		"spec": map[string]any{
			"replicas": int64(0),
			"selector": map[string]any{"matchLabels": labels},
			"template": map[string]any{
				"metadata": map[string]any{"labels": labels},
				"spec":     map[string]any{"containers": []any{map[string]any{"name": "agent", "image": AgentImage}}},
			},
		},
	}}
	object.SetNamespace(s.Namespace)
	object.SetName(s.Name)
	return object
}
