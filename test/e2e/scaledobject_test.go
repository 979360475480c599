package e2e_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue/adotest"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/test/cluster"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/test/controlplane"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/test/workload"
)

// deploymentControllers make pods of Deployments.
var deploymentControllers = []string{"deployment-controller", "replicaset-controller"}

// scaledObject scales a Deployment from zero to one and back.
//
// The cooldown is shorter than the job, so that KEDA ends the agent if the trigger
// is not active while it works.
func scaledObject(t *testing.T, c *cluster.Cluster) {
	scaleWithAgents(t, c, workload.ScaledObject{PollingInterval: time.Second, Cooldown: 2 * time.Second})
}

// pushedScaledObject has KEDA poll too seldom to be of use: what scales up is that
// the scaler says so.
func pushedScaledObject(t *testing.T, c *cluster.Cluster) {
	scaleWithAgents(t, c, workload.ScaledObject{Push: true, PollingInterval: 15 * time.Second, Cooldown: 2 * time.Second})
}

// autoscaledObject has the autoscaler, through KEDA's metrics server, make as many
// agents as have work. Agents without work are kept while others work, by the
// autoscaler's own delay.
func autoscaledObject(t *testing.T, c *cluster.Cluster) {
	s, name := newAgents(t, c, workload.ScaledObject{PollingInterval: time.Second, Cooldown: 2 * time.Second})
	long := s.queue(1, time.Minute)
	s.running(long)
	if n := s.replicas(name); n != 1 {
		t.Errorf("%d replicas for one job", n)
	}
	short := s.queue(2, 20*time.Second)
	s.running(short)
	if n := s.replicas(name); n != 3 {
		t.Errorf("%d replicas for three jobs", n)
	}
	if r, _ := s.Azure.Request(long[0]); r.State != adotest.Running {
		t.Errorf("request %d is %s: the others waited for its agent", long[0], r.State)
	}
	s.finishedByAgents(append(long, short...))
	s.eventually(func() string {
		if n := s.replicas(name); n != 0 {
			return fmt.Sprintf("%d replicas after the jobs", n)
		}
		return ""
	})
}

// finishedByAgents waits until requests have succeeded, whoever ran them.
func (s *env) finishedByAgents(ids []int64) {
	s.t.Helper()
	s.eventually(func() string {
		for _, id := range ids {
			if r, _ := s.Azure.Request(id); r.State != adotest.Finished {
				return fmt.Sprintf("request %d is %s", id, r.State)
			}
		}
		return ""
	})
	for _, id := range ids {
		if r, _ := s.Azure.Request(id); r.Result != "succeeded" {
			s.t.Errorf("request %d: %+v: its agent was scaled away", id, r)
		}
	}
}

// newAgents makes an environment with a ScaledObject of agents that run job after job, and
// waits until KEDA asks for it. It returns the Deployment's name.
func newAgents(t *testing.T, c *cluster.Cluster, object workload.ScaledObject) (s *env, deployment string) {
	t.Helper()
	s = newEnv(t, c, cluster.EnvOptions{
		Azure: adotest.Options{ReceiveDelay: 100 * time.Millisecond, LockDuration: 3 * time.Second},
		Plan: func(pod *corev1.Pod) controlplane.Plan {
			return controlplane.Plan{Run: func(ctx context.Context, _ controlplane.Container) int {
				return runAgent(ctx, s.Azure, pod.Name)
			}}
		},
	})
	object.Namespace, object.Name, object.Pool, object.ScalerAddress = s.Namespace, "agents", cluster.Pool, s.scaler.Addr
	for resource, made := range map[string]func() error{
		"Deployment":   func() error { return s.ApplyTo(t.Context(), workload.Deployments, object.Deployment()) },
		"ScaledObject": func() error { return s.ApplyTo(t.Context(), workload.ScaledObjects, object.Object()) },
	} {
		if err := made(); err != nil {
			t.Fatalf("%s: %v", resource, err)
		}
	}
	t.Cleanup(func() {
		_ = s.Dynamic.Resource(workload.ScaledObjects).Namespace(s.Namespace).Delete(context.Background(), object.Name, metav1.DeleteOptions{})
		_ = s.Dynamic.Resource(workload.Deployments).Namespace(s.Namespace).Delete(context.Background(), object.Name, metav1.DeleteOptions{})
	})
	s.polledAgain(1)
	if n := s.replicas(object.Name); n != 0 {
		t.Fatalf("%d replicas without a job", n)
	}
	return s, object.Name
}

func scaleWithAgents(t *testing.T, c *cluster.Cluster, object workload.ScaledObject) {
	s, name := newAgents(t, c, object)
	begin := time.Now()
	id := s.queue(1, 8*time.Second)[0]
	s.running([]int64{id})
	if took := time.Since(begin); object.Push && took > object.PollingInterval-time.Second {
		t.Errorf("the agent came after %v: it was not pushed", took)
	}
	s.finishedByAgents([]int64{id})
	s.eventually(func() string {
		if n := s.replicas(name); n != 0 {
			return fmt.Sprintf("%d replicas after the job", n)
		}
		return ""
	})
}

// runAgent is an agent that runs job after job.
func runAgent(ctx context.Context, azure *adotest.Server, name string) (exit int) {
	if _, err := azure.AddAgent(cluster.Pool, adotest.Agent{Name: name}); err != nil {
		return 1
	}
	<-ctx.Done()
	// Its job is lost.
	if err := azure.SetAgentOnline(cluster.Pool, name, false); err != nil {
		return 1
	}
	return 0
}

func (s *env) replicas(deployment string) int32 {
	s.t.Helper()
	d, err := s.Kube.AppsV1().Deployments(s.Namespace).Get(s.t.Context(), deployment, metav1.GetOptions{})
	if err != nil {
		s.t.Fatal(err)
	}
	return *d.Spec.Replicas
}
