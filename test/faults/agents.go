package faults

import (
	"context"
	"errors"
	"time"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue/adotest"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/test/cluster"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/test/workload"
)

func realAgents(s *Setup) { s.Processes = true }

// agents are faults of agents and of their jobs.
func agents() []Fault {
	return []Fault{
		{Name: "pods are killed", Begin: killPods, Lists: true, Setup: realAgents, Pause: lock},
		{Name: "pods are evicted", Begin: evictPods, Lists: true, Setup: func(s *Setup) {
			s.Processes = true
			s.Job = func(job *workload.ScaledJob) { job.GracePeriod = 30 * time.Second }
		}},
		{Name: "the node is gone, with all pods", Begin: loseNode, Lists: true, Setup: realAgents, Pause: lock},
		{Name: "jobs are cancelled at every stage", Begin: cancelAll, Lists: true},
		// After Jobs that fail the scaler pauses for 10 s, and for 20 s if the next fail too.
		{Name: "the disk of the agents is full", Begin: fillDisk, Lists: true, Root: true, Pause: 20 * time.Second, Setup: func(s *Setup) {
			s.Processes, s.Disk, s.Failing = true, true, true
		}},
	}
}

// killPods kills the agents that run a job.
func killPods(ctx context.Context, t *Trial) (func(context.Context) error, error) {
	return nothing, t.eachRunning(ctx, func(pod *corev1.Pod) error {
		t.loses(pod.Name)
		return t.Kubelet.Kill(pod.Namespace, pod.Name)
	})
}

// evictPods deletes the pods of agents that run a job, as a drain of their node
// does: they may finish it.
func evictPods(ctx context.Context, t *Trial) (func(context.Context) error, error) {
	return nothing, t.eachRunning(ctx, func(pod *corev1.Pod) error {
		return t.Kube.CoreV1().Pods(pod.Namespace).Delete(ctx, pod.Name, metav1.DeleteOptions{})
	})
}

// loseNode kills all pods and removes them without their kubelet's doing.
func loseNode(ctx context.Context, t *Trial) (func(context.Context) error, error) {
	return nothing, t.eachRunning(ctx, func(pod *corev1.Pod) error {
		t.loses(pod.Name)
		return errors.Join(t.Kubelet.Kill(pod.Namespace, pod.Name),
			t.Kube.CoreV1().Pods(pod.Namespace).Delete(ctx, pod.Name, metav1.DeleteOptions{GracePeriodSeconds: new(int64(0))}))
	})
}

// eachRunning is for each pod whose agent runs a job. Of those that have not got
// one yet there must be none: their Jobs would fail before they took work, which
// holds back new ones.
func (t *Trial) eachRunning(ctx context.Context, do func(*corev1.Pod) error) error {
	if err := t.await(ctx, t.requests, adotest.Running); err != nil {
		return err
	}
	holds := map[string]bool{}
	for _, agent := range t.Azure.Agents(cluster.Pool) {
		holds[agent.Name] = agent.Request != 0
	}
	list, err := t.Kube.CoreV1().Pods(t.Namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	for i := range list.Items {
		if pod := &list.Items[i]; holds[pod.Name] && pod.Status.Phase == corev1.PodRunning {
			if err := do(pod); err != nil {
				return err
			}
		}
	}
	return nil
}

func (t *Trial) loses(agent string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.killed[agent] = true
}

// cancelAll cancels a job at each stage: before KEDA asks, while its pod starts,
// while its agent registers, when it is assigned, and while it runs.
func cancelAll(ctx context.Context, t *Trial) (func(context.Context) error, error) {
	ids, err := t.Queue(20, t.Fault.jobTime())
	if err != nil {
		return nil, err
	}
	for _, id := range ids {
		t.Cancel(id)
		if err := cluster.Sleep(ctx, 150*time.Millisecond); err != nil {
			return nil, err
		}
	}
	return nothing, nil
}
