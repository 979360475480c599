package e2e_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue/adotest"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/test/cluster"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/test/controlplane"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/test/workload"
)

// agentPools runs the program with the older orchestrator's environment and a KEDA:
// it makes the ScaledJobs itself. Then a pool leaves the list while a job runs
// in it.
func agentPools(t *testing.T, c *cluster.Cluster) {
	s, env := newPools(t, c)
	address := controlplane.FreeAddress(t)
	env = append(env, "KUBE=on", "KUBECONFIG="+c.Plane.Kubeconfig(), "GRPC_ADDR="+address, "SCALER_ADDRESS="+address,
		"POLLING_INTERVAL=1s")
	s.scaler = startScaler(t, env)
	s.eventually(func() string {
		names := s.scaledJobs(t)
		if len(names) != len(pools) {
			return fmt.Sprintf("ScaledJobs %v", names)
		}
		return ""
	})
	s.polledAgain(3 * len(pools))
	ids := s.queueIn(pools, 2, time.Second)
	s.finished(ids)
	for _, job := range s.jobs() {
		checkJob(t, &job)
	}
	if n := len(s.jobs()); n != len(ids) {
		t.Errorf("%d Jobs for %d requests", n, len(ids))
	}

	long, err := s.Azure.Queue(pools[1], adotest.Job{Duration: 10 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	s.running([]int64{long})
	s.scaler.stop()
	s.scaler = startScaler(t, append(env, "AGENT_POOLS="+pools[0]))
	s.eventually(func() string {
		if names := s.scaledJobs(t); len(names) != 1 {
			return fmt.Sprintf("ScaledJobs %v", names)
		}
		return ""
	})
	if r, _ := s.Azure.Request(long); r.State != adotest.Running {
		t.Fatalf("%+v: this shows nothing", r)
	}
	s.finished([]int64{long})
	s.eventually(func() string {
		for _, job := range s.jobs() {
			if state(&job) != batchv1.JobComplete {
				return fmt.Sprintf("Job %s is %q", job.Name, state(&job))
			}
		}
		return ""
	})
}

// isolatedPools has the program's own pods keep the credential in a sidecar: only
// that has the Secret, and the jobs are run all the same.
func isolatedPools(t *testing.T, c *cluster.Cluster) {
	s, env := newPools(t, c)
	address := controlplane.FreeAddress(t)
	s.scaler = startScaler(t, append(env, "KUBE=on", "KUBECONFIG="+c.Plane.Kubeconfig(), "GRPC_ADDR="+address,
		"SCALER_ADDRESS="+address, "POLLING_INTERVAL=1s", "JOB_ISOLATE_CREDENTIAL=true", "JOB_CAPABILITIES=docker"))
	s.eventually(func() string {
		if names := s.scaledJobs(t); len(names) != len(pools) {
			return fmt.Sprintf("ScaledJobs %v", names)
		}
		return ""
	})
	s.polledAgain(3 * len(pools))
	ids := s.queueIn(pools, 1, time.Second)
	s.finished(ids)
	for _, job := range s.jobs() {
		pod := job.Spec.Template.Spec
		if n := secretsOf(pod.Containers[0]); n != 0 {
			t.Errorf("the agent's container of Job %s has %d Secrets", job.Name, n)
		}
		if n := secretsOf(pod.InitContainers[0]); n != 1 {
			t.Errorf("the sidecar of Job %s has %d Secrets", job.Name, n)
		}
	}
	s.eventually(func() string {
		for _, job := range s.jobs() {
			if state(&job) != batchv1.JobComplete {
				return fmt.Sprintf("Job %s is %q", job.Name, state(&job))
			}
		}
		return ""
	})
}

func secretsOf(c corev1.Container) (n int) {
	for _, v := range c.Env {
		if v.ValueFrom != nil && v.ValueFrom.SecretKeyRef != nil {
			n++
		}
	}
	return n
}

// scaledJobs are the names of the environment's; none may hold the token.
func (s *env) scaledJobs(t *testing.T) (names []string) {
	t.Helper()
	list, err := s.Dynamic.Resource(workload.ScaledJobs).Namespace(s.Namespace).List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, item := range list.Items {
		if strings.Contains(fmt.Sprint(item.Object), cluster.ScalerPAT) {
			t.Fatalf("the token shows in ScaledJob %s", item.GetName())
		}
		if item.GetDeletionTimestamp() == nil { // Kubernetes takes its time to orphan the Jobs
			names = append(names, item.GetName())
		}
	}
	return names
}
