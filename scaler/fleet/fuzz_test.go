package fleet

import (
	"encoding/json"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	kubejson "k8s.io/apimachinery/pkg/util/json"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue/memtest"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/plan"
)

// FuzzScaledJob reads ScaledJobs and ScaledObjects that an API server without
// KEDA's schema would let through.
func FuzzScaledJob(f *testing.F) {
	template := map[string]any{"spec": map[string]any{
		"nodeSelector": map[string]any{"kubernetes.io/os": "windows"}, "restartPolicy": "Never", "shareProcessNamespace": true,
		"containers": []any{map[string]any{"name": "agent", "env": []any{map[string]any{"name": "AZP_AGENT_NAME", "value": "x"}}}},
	}}
	for _, seed := range []any{
		map[string]any{
			"metadata": map[string]any{"namespace": "ado", "name": "build", "annotations": map[string]any{pausedAnnotation: "maybe"}},
			"spec": map[string]any{
				"pollingInterval": 5, "minReplicaCount": 1, "maxReplicaCount": 10,
				"scalingStrategy": map[string]any{"strategy": "accurate", "multipleScalersCalculation": "sum"},
				"triggers":        []any{map[string]any{"type": "external", "metadata": map[string]any{"poolName": "Linux"}}, map[string]any{"type": "cron"}},
				"jobTargetRef":    map[string]any{"parallelism": 2, "backoffLimit": 0, "activeDeadlineSeconds": 60, "template": template},
				"scaleTargetRef":  map[string]any{"kind": "StatefulSet", "name": "agents"},
			},
		},
		map[string]any{"metadata": []any{}, "spec": map[string]any{"triggers": []any{nil, 1, map[string]any{"type": 2, "metadata": []any{}}}}},
		map[string]any{"metadata": map[string]any{"deletionTimestamp": "never"}, "spec": map[string]any{"pollingInterval": 1e300, "maxReplicaCount": "x"}},
	} {
		text, err := json.Marshal(seed)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		var content map[string]any
		if kubejson.Unmarshal(text, &content) != nil || content == nil {
			return // it is not for us to read
		}
		memtest.Within(t, len(text), 200, func() {
			u := &unstructured.Unstructured{Object: content}
			job, object := scaledJobOf(u), scaledObjectOf(u)
			if !job.equal(scaledJobOf(u)) || !object.equal(scaledObjectOf(u)) {
				t.Errorf("%s is read as two different objects", text)
			}
			x := NewIndex(0)
			x.SetScaledJob(job)
			x.SetScaledObject(object)
			if found, ok := x.ScaledJob(job.Key); !ok || found != job {
				t.Errorf("%s is not found as %v", text, job.Key)
			}
		})
	})
}

// FuzzNames reads names of agents, which anybody may choose.
func FuzzNames(f *testing.F) {
	f.Add("build", "build-bcdfg-hjklm")
	f.Add("build", "build-gpu-bcdfg-hjklm")
	f.Add("a-name-of-a-scaledjob-that-is-much-longer-than-any-that-fits", "a-name-of-a-scaledjob-that-is-much-longer-than-any-that-fibcdfg")
	f.Fuzz(func(t *testing.T, owner, agent string) {
		if OwnsAgent(owner, agent) && len(owner) <= MaxSoundName {
			// No other name that is not cut may own it as well.
			base := BaseOfPod(agent)
			if other := base[:len(base)-suffixLength-2]; other != owner || OwnsAgent(owner+"-x", agent) {
				t.Errorf("%q is owned by %q, and by %q", agent, owner, other)
			}
		}
		o := ScaledObject{Key: plan.Key{Name: owner}, TargetName: owner, TargetKind: "Deployment"}
		if o.OwnsAgent(agent) && BaseOfPod(agent) == "" {
			t.Errorf("%q is no generated name", agent)
		}
	})
}
