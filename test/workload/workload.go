// Package workload makes the Kubernetes objects of end-to-end runs: a ScaledJob
// that a user of the scaler would write, and its agents.
package workload

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// The resources of KEDA that runs need.
var (
	ScaledJobs             = schema.GroupVersionResource{Group: "keda.sh", Version: "v1alpha1", Resource: "scaledjobs"}
	TriggerAuthentications = schema.GroupVersionResource{Group: "keda.sh", Version: "v1alpha1", Resource: "triggerauthentications"}
)

// TokenSecret is the Secret with the agents' token, under the key "token".
const TokenSecret = "azure-devops" //nolint:gosec // the name of the Secret, not a secret

// AgentImage is the image of agents: that of our launcher.
const AgentImage = "agent"

// keptJobs is how many finished Jobs KEDA leaves alone: all, for runs count them.
const keptJobs = int64(1000)

// ScaledJob describes a ScaledJob.
type ScaledJob struct {
	Namespace, Name string
	// ScalerAddress is where KEDA finds our scaler. Without one it uses its own
	// scaler azure-pipelines.
	ScalerAddress string
	// OrganizationURL and Pool are where its agents go.
	OrganizationURL, Pool string
	// Metadata is added to the trigger's.
	Metadata map[string]string
	// Authentication is the name of a TriggerAuthentication, or "".
	Authentication string
	// Annotations and Labels are those of the ScaledJob, PodAnnotations those of the
	// agents' pods.
	Annotations, Labels, PodAnnotations map[string]string
	// PollingInterval is in whole seconds, by default one.
	PollingInterval time.Duration
	// Strategy is the scaling strategy. Empty leaves KEDA its default.
	Strategy string
	// MaxReplicas bounds the agents, by default at a hundred.
	MaxReplicas int64
	// Env is added to the agents' environment.
	Env map[string]string
	// Isolated keeps the agents' token in a sidecar.
	Isolated bool
	// GracePeriod is the pods', by default ten seconds.
	GracePeriod time.Duration
}

// KeeperContainer is the sidecar of isolated agents.
const KeeperContainer = "keeper"

// Object is the ScaledJob in KEDA's form.
func (s ScaledJob) Object() *unstructured.Unstructured {
	kind := "external"
	metadata := map[string]string{"scalerAddress": s.ScalerAddress, "poolName": s.Pool}
	if s.ScalerAddress == "" {
		kind = "azure-pipelines"
		metadata = map[string]string{"organizationURL": s.OrganizationURL, "poolName": s.Pool}
	}
	maps.Copy(metadata, s.Metadata)
	trigger := map[string]any{"type": kind, "metadata": texts(metadata)}
	if s.Authentication != "" {
		trigger["authenticationRef"] = map[string]any{"name": s.Authentication}
	}
	object := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "keda.sh/v1alpha1",
		"kind":       "ScaledJob",
		"spec": map[string]any{
			"pollingInterval":            int64(max(s.PollingInterval, time.Second) / time.Second),
			"maxReplicaCount":            cmp.Or(s.MaxReplicas, 100),
			"successfulJobsHistoryLimit": keptJobs,
			"failedJobsHistoryLimit":     keptJobs,
			"rollout":                    map[string]any{"strategy": "gradual"},
			"triggers":                   []any{trigger},
			"jobTargetRef": map[string]any{
				"backoffLimit": int64(0),
				"template":     map[string]any{"spec": s.pod()},
			},
		},
	}}
	if s.Strategy != "" {
		spec := object.Object["spec"].(map[string]any)
		spec["scalingStrategy"] = map[string]any{"strategy": s.Strategy}
	}
	if len(s.PodAnnotations) > 0 {
		_ = unstructured.SetNestedStringMap(object.Object, s.PodAnnotations, "spec", "jobTargetRef", "template", "metadata", "annotations")
	}
	object.SetNamespace(s.Namespace)
	object.SetName(s.Name)
	object.SetAnnotations(s.Annotations)
	object.SetLabels(s.Labels)
	return object
}

func (s ScaledJob) pod() map[string]any {
	grace := int64(cmp.Or(s.GracePeriod, 10*time.Second) / time.Second)
	pod := map[string]any{"restartPolicy": "Never", "terminationGracePeriodSeconds": grace}
	times := []any{variable("AZP_GRACE_PERIOD", fmt.Sprintf("%ds", grace))}
	if _, given := s.Env["AZP_LEAVE_TIMEOUT"]; !given {
		times = append(times, variable("AZP_LEAVE_TIMEOUT", "4s"))
	}
	for name, value := range s.Env {
		times = append(times, variable(name, value))
	}
	access := append([]any{
		variable("AZP_URL", s.OrganizationURL),
		variable("AZP_POOL", s.Pool),
		map[string]any{"name": "AZP_AGENT_NAME", "valueFrom": map[string]any{
			"fieldRef": map[string]any{"fieldPath": "metadata.name"},
		}},
		map[string]any{"name": "AZP_TOKEN", "valueFrom": map[string]any{
			"secretKeyRef": map[string]any{"name": TokenSecret, "key": "token"},
		}},
	}, times...)
	if !s.Isolated {
		pod["containers"] = []any{container("agent", access)}
		return pod
	}
	keeper, agent := container(KeeperContainer, access), container("agent", times)
	keeper["restartPolicy"] = "Always"
	for c, role := range map[string]map[string]any{"keeper": keeper, "runner": agent} {
		role["env"] = append(role["env"].([]any), variable("AZP_ROLE", c), variable("AZP_SHARED_DIR", "/azp/shared"))
		role["volumeMounts"] = []any{map[string]any{"name": "keeper", "mountPath": "/azp/shared"}}
	}
	pod["initContainers"], pod["containers"] = []any{keeper}, []any{agent}
	pod["volumes"] = []any{map[string]any{"name": "keeper", "emptyDir": map[string]any{}}}
	return pod
}

func variable(name, value string) map[string]any {
	return map[string]any{"name": name, "value": value}
}

func container(name string, env []any) map[string]any {
	return map[string]any{"name": name, "image": AgentImage, "env": slices.Clone(env)}
}

// TriggerAuthentication provides parameters of a trigger by the keys of a
// Secret.
func TriggerAuthentication(namespace, name, secret string, parameters map[string]string) *unstructured.Unstructured {
	var refs []any
	for parameter, key := range parameters {
		refs = append(refs, map[string]any{"parameter": parameter, "name": secret, "key": key})
	}
	object := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "keda.sh/v1alpha1",
		"kind":       "TriggerAuthentication",
		"spec":       map[string]any{"secretTargetRef": refs},
	}}
	object.SetNamespace(namespace)
	object.SetName(name)
	return object
}

// Condition finds a condition of a ScaledJob by its type; ok is false if it has
// not been set.
func Condition(scaledJob *unstructured.Unstructured, kind string) (condition metav1.Condition, ok bool) {
	list, _, _ := unstructured.NestedSlice(scaledJob.Object, "status", "conditions")
	for _, item := range list {
		fields, _ := item.(map[string]any)
		if fields["type"] != kind {
			continue
		}
		text := func(key string) string {
			value, _ := fields[key].(string)
			return value
		}
		return metav1.Condition{
			Type: kind, Status: metav1.ConditionStatus(text("status")), Reason: text("reason"), Message: text("message"),
		}, true
	}
	return metav1.Condition{}, false
}

func texts(values map[string]string) map[string]any {
	converted := make(map[string]any, len(values))
	for key, value := range values {
		converted[key] = value
	}
	return converted
}
