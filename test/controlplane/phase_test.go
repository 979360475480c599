package controlplane

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
)

func TestPhase(t *testing.T) {
	t.Parallel()
	const never, onFailure, always = corev1.RestartPolicyNever, corev1.RestartPolicyOnFailure, corev1.RestartPolicyAlways
	var (
		waits    = corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{}}
		runs     = corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}
		finished = corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{}}
		failed   = corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: 1}}
	)
	type states []corev1.ContainerState
	for name, test := range map[string]struct {
		policy       corev1.RestartPolicy
		inits, mains states
		sidecars     states // before the other init containers
		terminating  bool
		want         corev1.PodPhase
	}{
		"created":                    {policy: never, mains: states{waits}, want: corev1.PodPending},
		"init runs":                  {policy: never, inits: states{runs}, mains: states{waits}, want: corev1.PodPending},
		"init failed":                {policy: never, inits: states{failed}, mains: states{waits}, want: corev1.PodFailed},
		"init failed, will restart":  {policy: onFailure, inits: states{failed}, mains: states{waits}, want: corev1.PodPending},
		"init failed, deleted":       {policy: onFailure, inits: states{failed}, mains: states{waits}, terminating: true, want: corev1.PodFailed},
		"one of two runs":            {policy: never, mains: states{runs, waits}, want: corev1.PodRunning},
		"one of two finished":        {policy: never, mains: states{finished, runs}, want: corev1.PodRunning},
		"all finished":               {policy: never, mains: states{finished, finished}, want: corev1.PodSucceeded},
		"one of two failed":          {policy: never, mains: states{finished, failed}, want: corev1.PodFailed},
		"failed, will restart":       {policy: onFailure, mains: states{failed}, want: corev1.PodRunning},
		"failed, deleted":            {policy: onFailure, mains: states{failed}, terminating: true, want: corev1.PodFailed},
		"finished, will restart":     {policy: always, mains: states{finished}, want: corev1.PodRunning},
		"finished, deleted":          {policy: always, mains: states{finished}, terminating: true, want: corev1.PodSucceeded},
		"sidecar is created":         {policy: never, sidecars: states{waits}, mains: states{waits}, want: corev1.PodPending},
		"sidecar runs":               {policy: never, sidecars: states{runs}, mains: states{waits}, want: corev1.PodPending},
		"sidecar before init":        {policy: never, sidecars: states{runs}, inits: states{runs}, mains: states{waits}, want: corev1.PodPending},
		"sidecar beside":             {policy: never, sidecars: states{runs}, inits: states{finished}, mains: states{runs}, want: corev1.PodRunning},
		"sidecar is last":            {policy: never, sidecars: states{runs}, mains: states{finished}, want: corev1.PodRunning},
		"sidecar failed":             {policy: never, sidecars: states{failed}, mains: states{finished}, want: corev1.PodSucceeded},
		"finished, not to run again": {policy: onFailure, mains: states{finished}, want: corev1.PodSucceeded},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			status := &corev1.PodStatus{}
			spec := &corev1.PodSpec{RestartPolicy: test.policy}
			for _, state := range test.sidecars {
				spec.InitContainers = append(spec.InitContainers, corev1.Container{RestartPolicy: new(corev1.ContainerRestartPolicyAlways)})
				status.InitContainerStatuses = append(status.InitContainerStatuses, corev1.ContainerStatus{State: state})
			}
			for _, state := range test.inits {
				spec.InitContainers = append(spec.InitContainers, corev1.Container{})
				status.InitContainerStatuses = append(status.InitContainerStatuses, corev1.ContainerStatus{State: state})
			}
			for _, state := range test.mains {
				status.ContainerStatuses = append(status.ContainerStatuses, corev1.ContainerStatus{State: state})
			}
			if got := phase(status, spec, test.terminating); got != test.want {
				t.Errorf("phase %s, want %s", got, test.want)
			}
		})
	}
}
