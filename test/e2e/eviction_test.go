package e2e_test

import (
	"context"
	"testing"
	"time"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/jobtemplate"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/test/cluster"
)

// eviction has the PodDisruptionBudget that stands in for annotations keep a
// running agent, and only it: without it the pod may be evicted.
func eviction(t *testing.T, c *cluster.Cluster) {
	s := newEnv(t, c, cluster.EnvOptions{})
	s.deploy(s.scaledJob())
	ids := s.queue(1, 20*time.Second)
	s.running(ids)
	request, _ := s.Azure.Request(ids[0])
	if err := s.evict(request.Agent); err != nil {
		t.Fatalf("without a PodDisruptionBudget: %v", err)
	}
	budget := jobtemplate.DisruptionBudget("agents", s.Namespace, "build")
	budgets := s.Kube.PolicyV1().PodDisruptionBudgets(s.Namespace)
	if _, err := budgets.Create(t.Context(), budget, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	s.eventually(func() string {
		now, err := budgets.Get(t.Context(), budget.Name, metav1.GetOptions{})
		if err != nil || now.Status.ObservedGeneration == 0 {
			return "the PodDisruptionBudget is not in force"
		}
		if now.Status.DesiredHealthy == 0 {
			t.Fatalf("the PodDisruptionBudget requires no pods: %+v", now.Status)
		}
		return ""
	})
	if err := s.evict(request.Agent); !apierrors.IsTooManyRequests(err) {
		t.Errorf("the eviction of a running agent: %v", err)
	}
	s.served(ids)
	s.settled(1)
}

// evict asks for an eviction, without carrying it out.
func (s *env) evict(pod string) error {
	return s.Kube.PolicyV1().Evictions(s.Namespace).Evict(context.Background(), &policyv1.Eviction{
		ObjectMeta:    metav1.ObjectMeta{Name: pod, Namespace: s.Namespace},
		DeleteOptions: &metav1.DeleteOptions{DryRun: []string{metav1.DryRunAll}},
	})
}
