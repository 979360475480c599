package e2e_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue/adotest"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/jobtemplate"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/test/cluster"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/test/controlplane"
)

// disruption is a row of the table of disruptions in docs/warm.md: a node has to go
// on which an agent waits for a job or, if job is not 0, has one of this length. The
// grace period of agents' pods is two minutes.
type disruption struct {
	name    string
	protect protection
	job     time.Duration
	how     func(s *env, pod string)
	want    outcome
}

// protection is what protects the agents' pods.
type protection int

const (
	unprotected protection = iota
	annotated              // by the annotations that are on agents by default
	budgeted               // by a PodDisruptionBudget, with disruptionBudget of the chart
	evictable              // by that of the scaler, with EVICTABLE_IDLE
)

// outcome is what has to become of the agent.
type outcome int

const (
	stays    outcome = iota // on its node, with its job
	leaves                  // its pool, having no job; another one comes
	finishes                // its job, though its pod is to end
	loses                   // its job
)

// spotAzure and spotAWS are the notices of providers that reclaim a node, by which the
// grace period is cut short.
const spotAzure, spotAWS = 30 * time.Second, 2 * time.Minute

var disruptions = []disruption{
	{"drain, idle", unprotected, 0, drained, leaves},
	{"drain, busy", unprotected, 8 * time.Second, drained, finishes},
	{"drain, idle, annotations", annotated, 0, drained, leaves},
	{"drain, idle, budget", budgeted, 0, drainRefused, stays},
	{"drain, busy, budget", budgeted, 8 * time.Second, drainRefused, stays},
	{"drain, idle, evictable", evictable, 0, drainedOnceIdle, leaves},
	{"drain, busy, evictable", evictable, time.Minute, drainRefusedSoon, stays},
	{"drain, busy after it was evictable", evictable, 0, busyOnceEvictable, stays},
	{"autoscaler, idle, annotations", annotated, 0, autoscaled, stays},
	{"autoscaler, busy, annotations", annotated, 8 * time.Second, autoscaled, stays},
	{"autoscaler, idle, evictable", evictable, 0, drainedOnceIdle, leaves},
	{"preemption, idle", annotated, 0, preempted, leaves},
	{"preemption, busy", annotated, 8 * time.Second, preempted, finishes},
	{"spot, idle", annotated, 0, reclaimed(spotAzure), leaves},
	{"spot on Azure, busy", annotated, 8 * time.Second, reclaimed(spotAzure), finishes},
	{"spot on Azure, busy for longer", annotated, 5 * time.Minute, reclaimed(spotAzure), loses},
	{"spot on AWS, busy", annotated, 45 * time.Second, reclaimed(spotAWS), finishes},
	{"node pressure, busy", annotated, 5 * time.Minute, killed, loses},
	{"Job deleted, idle", annotated, 0, jobDeleted, leaves},
	{"Job deleted, busy", annotated, 8 * time.Second, jobDeleted, finishes},
}

// TestDisruptions has nodes go in each way that the table in docs/warm.md lists, by
// the calls that Kubernetes, autoscalers and cloud providers make.
func TestDisruptions(t *testing.T) {
	notInShort(t)
	c := startCluster(t, controlplane.Options{})
	for _, d := range disruptions {
		t.Run(d.name, func(t *testing.T) {
			t.Parallel()
			d.try(t, c)
		})
	}
}

func (d *disruption) try(t *testing.T, c *cluster.Cluster) {
	t.Helper()
	env := []string{"LEADER_ELECTION=off", "SCALER_ADDRESS=scaler.example:9090", "STUCK_AFTER=0"}
	if d.protect == evictable {
		env = append(env, "EVICTABLE_IDLE=true")
	}
	s := newEnv(t, c, cluster.EnvOptions{Azure: adotest.Options{LockDuration: 15 * time.Second}}, env...)
	job := s.warmJob(1)
	job.GracePeriod = 2 * time.Minute
	if d.protect == annotated {
		job.PodAnnotations = protecting
	}
	s.deployWarm(job)
	switch d.protect {
	case budgeted:
		s.addBudget()
	case evictable:
		s.budgetInForce("build")
	case unprotected, annotated:
	}
	s.waitIdle(1)
	pod := s.online()[0]
	var ids []int64
	if d.job > 0 {
		ids = s.queue(1, d.job)
		s.running(ids)
		if r, _ := s.Azure.Request(ids[0]); r.Agent != pod {
			t.Fatalf("%s has the job, not %s", r.Agent, pod)
		}
	}
	d.how(s, pod)
	d.check(s, pod, ids)
	s.waitIdle(1) // that one, or another
}

// check wants the outcome.
func (d *disruption) check(s *env, pod string, ids []int64) {
	s.t.Helper()
	object, err := s.Kube.CoreV1().Pods(s.Namespace).Get(s.t.Context(), pod, metav1.GetOptions{})
	if going := err != nil || object.DeletionTimestamp != nil; going == (d.want == stays) && d.want != loses {
		s.t.Errorf("pod %s is going: %v, %v", pod, going, err)
	}
	switch {
	case d.want == leaves:
		s.eventually(func() string {
			if s.registered(pod) {
				return "agent " + pod + " is still in its pool"
			}
			return ""
		})
	case d.want == loses:
		s.eventually(func() string {
			r, _ := s.Azure.Request(ids[0])
			if r.State == adotest.Finished && r.Result == "succeeded" {
				s.t.Fatalf("the job was not lost: %+v", r)
			}
			if r.State != adotest.Finished {
				return "the job of an agent that was killed is " + string(r.State)
			}
			return ""
		})
	case len(ids) > 0:
		s.served(ids)
		if r, _ := s.Azure.Request(ids[0]); r.Agent != pod {
			s.t.Errorf("%s has run the job, not %s", r.Agent, pod)
		}
	}
}

// protecting are the annotations that autoscalers read before they evict a pod.
var protecting = map[string]string{
	"cluster-autoscaler.kubernetes.io/safe-to-evict": "false",
	"karpenter.sh/do-not-disrupt":                    "true",
}

func (s *env) registered(agent string) bool {
	return slices.ContainsFunc(s.Azure.Agents(cluster.Pool), func(a adotest.AgentState) bool { return a.Name == agent })
}

// addBudget creates the PodDisruptionBudget of all agents.
func (s *env) addBudget() {
	s.t.Helper()
	budgets := s.Kube.PolicyV1().PodDisruptionBudgets(s.Namespace)
	budget := jobtemplate.DisruptionBudget("agents", s.Namespace, "build")
	if _, err := budgets.Create(s.t.Context(), budget, metav1.CreateOptions{}); err != nil {
		s.t.Fatal(err)
	}
	s.budgetInForce(budget.Name)
}

func (s *env) budgetInForce(name string) {
	s.t.Helper()
	s.eventually(func() string {
		now, err := s.Kube.PolicyV1().PodDisruptionBudgets(s.Namespace).Get(s.t.Context(), name, metav1.GetOptions{})
		if err != nil || now.Status.ObservedGeneration == 0 {
			return "the PodDisruptionBudget is not in force"
		}
		return ""
	})
}

// evictNow evicts a pod.
func (s *env) evictNow(pod string) error {
	return s.Kube.PolicyV1().Evictions(s.Namespace).Evict(context.Background(), &policyv1.Eviction{
		ObjectMeta: metav1.ObjectMeta{Name: pod, Namespace: s.Namespace},
	})
}

func drained(s *env, pod string) {
	s.t.Helper()
	if err := s.evictNow(pod); err != nil {
		s.t.Fatal(err)
	}
}

func drainRefused(s *env, pod string) {
	s.t.Helper()
	if err := s.evictNow(pod); !apierrors.IsTooManyRequests(err) {
		s.t.Fatalf("the eviction of %s: %v", pod, err)
	}
}

// drainRefusedSoon has the scaler see first that the agent has a job.
func drainRefusedSoon(s *env, pod string) {
	s.t.Helper()
	s.eventually(func() string {
		if err := s.evict(pod); !apierrors.IsTooManyRequests(err) {
			return "the agent may be evicted with its job"
		}
		return ""
	})
	drainRefused(s, pod)
}

// drainedOnceIdle drains as kubectl does: an eviction that is refused, since the agent
// has just come, is tried again.
func drainedOnceIdle(s *env, pod string) {
	s.t.Helper()
	s.eventually(func() string {
		err := s.evictNow(pod)
		if err != nil && !apierrors.IsTooManyRequests(err) {
			s.t.Fatal(err)
		}
		if err != nil {
			return err.Error()
		}
		return ""
	})
}

// busyOnceEvictable has an agent that may be evicted get a job.
func busyOnceEvictable(s *env, pod string) {
	s.t.Helper()
	s.eventually(func() string {
		if err := s.evict(pod); err != nil {
			return err.Error()
		}
		return ""
	})
	ids := s.queue(1, time.Minute)
	s.running(ids)
	drainRefusedSoon(s, pod)
	s.served(ids)
	if r, _ := s.Azure.Request(ids[0]); r.Agent != pod {
		s.t.Errorf("%s has run the job, not %s", r.Agent, pod)
	}
}

// autoscaled reads the annotations as the cluster autoscaler and Karpenter do, and
// evicts the pod if they allow it.
func autoscaled(s *env, pod string) {
	s.t.Helper()
	object, err := s.Kube.CoreV1().Pods(s.Namespace).Get(s.t.Context(), pod, metav1.GetOptions{})
	if err != nil {
		s.t.Fatal(err)
	}
	for key, value := range protecting {
		if object.Annotations[key] == value {
			return
		}
	}
	drained(s, pod)
}

// preempted makes room as the scheduler does for a pod of higher priority.
func preempted(s *env, pod string) {
	s.t.Helper()
	pods := s.Kube.CoreV1().Pods(s.Namespace)
	object, err := pods.Get(s.t.Context(), pod, metav1.GetOptions{})
	if err == nil {
		object.Status.Conditions = append(object.Status.Conditions, corev1.PodCondition{
			Type: corev1.DisruptionTarget, Status: corev1.ConditionTrue, Reason: corev1.PodReasonPreemptionByScheduler,
		})
		_, err = pods.UpdateStatus(s.t.Context(), object, metav1.UpdateOptions{})
	}
	if err == nil {
		err = pods.Delete(s.t.Context(), pod, metav1.DeleteOptions{})
	}
	if err != nil {
		s.t.Fatal(err)
	}
}

// reclaimed takes a spot node after the provider's notice, with what runs on it then.
func reclaimed(notice time.Duration) func(*env, string) {
	return func(s *env, pod string) {
		s.t.Helper()
		err := s.Kube.CoreV1().Pods(s.Namespace).Delete(s.t.Context(), pod, metav1.DeleteOptions{
			GracePeriodSeconds: new(int64(notice / time.Second)),
		})
		if err != nil {
			s.t.Fatal(err)
		}
	}
}

// killed ends the pod's processes without notice, as a node does that is short of
// memory or disk.
func killed(s *env, pod string) {
	s.t.Helper()
	if err := s.Kubelet.Kill(s.Namespace, pod); err != nil {
		s.t.Fatal(err)
	}
}

// jobDeleted deletes the pod's Job as the scaler does.
func jobDeleted(s *env, pod string) {
	s.t.Helper()
	background := metav1.DeletePropagationBackground
	name := pod[:strings.LastIndexByte(pod, '-')]
	if err := s.Kube.BatchV1().Jobs(s.Namespace).Delete(s.t.Context(), name, metav1.DeleteOptions{PropagationPolicy: &background}); err != nil {
		s.t.Fatal(err)
	}
	s.eventually(func() string {
		object, err := s.Kube.CoreV1().Pods(s.Namespace).Get(s.t.Context(), pod, metav1.GetOptions{})
		if err == nil && object.DeletionTimestamp == nil {
			return "the pod of the deleted Job is not going"
		}
		return ""
	})
}
