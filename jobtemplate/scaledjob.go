package jobtemplate

import (
	"cmp"
	"strconv"

	kedav1alpha1 "github.com/kedacore/keda/v2/apis/keda/v1alpha1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// keptJobs is how many finished Jobs KEDA keeps of each kind, however young.
const keptJobs = 5

// ScaledJob makes KEDA's ScaledJob for a pool, named as Name says. Its Jobs are
// as Job makes them. The error holds every mistake in the settings and in the
// Definition, each with its field.
func ScaledJob(s Settings) (*kedav1alpha1.ScaledJob, error) {
	found := &problems{}
	job, name := s.job(found)
	s = s.withDefaults()
	s.Scaling.check(found)
	if err := found.err(); err != nil {
		return nil, err
	}
	return &kedav1alpha1.ScaledJob{
		TypeMeta: metav1.TypeMeta{APIVersion: kedav1alpha1.SchemeGroupVersion.String(), Kind: "ScaledJob"},
		ObjectMeta: metav1.ObjectMeta{
			Name: name, Namespace: s.Namespace,
			// KEDA sets them on its Jobs.
			Labels: job.Labels, Annotations: job.Annotations,
		},
		Spec: kedav1alpha1.ScaledJobSpec{
			JobTargetRef:               withProtocols(&job.Spec),
			PollingInterval:            new(int32(s.Scaling.PollingInterval.Seconds())),
			SuccessfulJobsHistoryLimit: new(int32(keptJobs)),
			FailedJobsHistoryLimit:     new(int32(keptJobs)),
			MinReplicaCount:            new(int32(s.Scaling.MinReplicas)), //nolint:gosec // check bounds it
			MaxReplicaCount:            new(int32(s.Scaling.MaxReplicas)), //nolint:gosec // check bounds it
			// No scaling strategy stands for default, the only one with which the
			// scaler's count is exact: the CRDs of KEDA 2.20.0 and 2.20.1 reject
			// the word.
			// Any other kills running builds when the ScaledJob changes.
			Rollout:  kedav1alpha1.Rollout{Strategy: "gradual"},
			Triggers: []kedav1alpha1.ScaleTriggers{s.trigger()},
		},
	}, nil
}

// trigger is how KEDA reaches the scaler, and what it asks for.
func (s Settings) trigger() kedav1alpha1.ScaleTriggers {
	metadata := map[string]string{
		"scalerAddress":   s.Scaling.ScalerAddress,
		"organizationURL": s.OrganizationURL,
		"poolName":        s.Pool,
	}
	if len(s.Capabilities) > 0 {
		metadata["capabilities"] = capabilityList(s.Capabilities)
	}
	if s.Scaling.Priority != 0 {
		metadata["priority"] = strconv.Itoa(s.Scaling.Priority)
	}
	if s.Scaling.MinIdle != 0 {
		metadata["minIdle"] = strconv.Itoa(s.Scaling.MinIdle)
	}
	if s.Scaling.Shard != "" {
		metadata["shard"] = s.Scaling.Shard
	}
	if s.Scaling.Warm != "" {
		metadata["warm"] = s.Scaling.Warm
	}
	if s.Scaling.WarmTimeZone != "" {
		metadata["warmTimeZone"] = s.Scaling.WarmTimeZone
	}
	if s.Scaling.WarmMaxAge != 0 {
		metadata["warmMaxAge"] = shortDuration(s.Scaling.WarmMaxAge)
	}
	trigger := kedav1alpha1.ScaleTriggers{Type: "external", Metadata: metadata}
	if s.Scaling.Authentication != "" {
		trigger.AuthenticationRef = &kedav1alpha1.AuthenticationRef{Name: s.Scaling.Authentication}
	}
	return trigger
}

// withProtocols fills in what a Job may leave out, but KEDA's CRD demands.
func withProtocols(spec *batchv1.JobSpec) *batchv1.JobSpec {
	pod := &spec.Template.Spec
	for _, containers := range [][]corev1.Container{pod.InitContainers, pod.Containers} {
		for i := range containers {
			for j := range containers[i].Ports {
				port := &containers[i].Ports[j]
				port.Protocol = cmp.Or(port.Protocol, corev1.ProtocolTCP)
			}
		}
	}
	return spec
}
