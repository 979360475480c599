package chart_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/test/cluster"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/test/controlplane"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/test/workload"
)

// recipes renders the values that the agent image's README has for building
// container images, and returns the Jobs by the name of their daemon.
func recipes(t *testing.T) map[string]batchv1.JobSpec {
	t.Helper()
	jobs := map[string]batchv1.JobSpec{}
	for _, block := range strings.Split(read(t, "../../linux/README.md"), "```yaml\n")[1:] {
		text, _, _ := strings.Cut(block, "```")
		if !strings.HasPrefix(text, "agents:") {
			continue
		}
		credential := "  credential: {existingSecret: " + workload.TokenSecret + "}\n"
		job := *scaledJobs(t, render(t, parse(t, basis+text+credential+"agentPools: [{pool: linux}]\n")))[0].Spec.JobTargetRef
		jobs[job.Template.Spec.InitContainers[0].Name] = job
	}
	if len(jobs) != 2 {
		t.Errorf("%d recipes", len(jobs))
	}
	return jobs
}

// TestRecipes wants KEDA's and Kubernetes' types to know every field of the recipes,
// and the agent to share with the daemon what that mounts.
func TestRecipes(t *testing.T) {
	for name, job := range recipes(t) {
		pod := job.Template.Spec
		sidecar := pod.InitContainers[0]
		if sidecar.RestartPolicy == nil || *sidecar.RestartPolicy != corev1.ContainerRestartPolicyAlways || sidecar.StartupProbe == nil {
			t.Errorf("%s: the sidecar is %+v", name, sidecar)
		}
		for _, mount := range sidecar.VolumeMounts {
			shared := false
			for _, other := range pod.Containers[0].VolumeMounts {
				shared = shared || other == mount
			}
			if !shared {
				t.Errorf("%s: the agent does not mount %+v", name, mount)
			}
		}
	}
}

// runsRecipes has Kubernetes run the Jobs of the recipes, whose containers are
// stand-ins: the daemon runs beside the agent and ends after it, and so does the
// Job.
func runsRecipes(t *testing.T, c *cluster.Cluster) {
	for name, spec := range recipes(t) {
		t.Run(name, func(t *testing.T) {
			up := make(chan struct{})     // closed when the daemon runs
			ended := make(chan string, 2) // containers, as they end
			serve := sync.OnceFunc(func() { close(up) })
			made, err := c.NewEnv(t.Context(), cluster.EnvOptions{Plan: func(*corev1.Pod) controlplane.Plan {
				return controlplane.Plan{Run: func(ctx context.Context, c controlplane.Container) int {
					var waited <-chan struct{} = up
					if c.Name != "agent" {
						serve()
						waited = ctx.Done()
					}
					<-waited
					ended <- c.Name
					return 0
				}}
			}})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = made.Close() })
			jobs := made.Kube.BatchV1().Jobs(made.Namespace)
			job := &batchv1.Job{ObjectMeta: metav1.ObjectMeta{Name: "recipe"}, Spec: spec}
			if _, err := jobs.Create(t.Context(), job, metav1.CreateOptions{}); err != nil {
				t.Fatal(err)
			}
			newAPIServer(t, c.Plane.Config()).eventually(func(ctx context.Context) string {
				got, err := jobs.Get(ctx, job.Name, metav1.GetOptions{})
				if err != nil || got.Status.Succeeded != 1 {
					return fmt.Sprintf("the Job has not ended: %v, %+v", err, got.Status)
				}
				return ""
			})
			if first, last := <-ended, <-ended; first != "agent" || last != name {
				t.Errorf("%s ended before %s", first, last)
			}
		})
	}
}
