// Package e2e_test runs the scaler as users do: our binary as a process, KEDA's
// own operator, a real API server, and agents that are real processes. Only
// Azure DevOps and the kubelet are stand-ins.
//
// Counts of Jobs are exact in all of them.
package e2e_test

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
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

// TestScenarios has those that can share a KEDA.
func TestScenarios(t *testing.T) {
	c := startCluster(t, controlplane.Options{Controllers: deploymentControllers, MetricsServer: !testing.Short()})
	for name, scenario := range map[string]func(*testing.T, *cluster.Cluster){
		"one job":                          func(t *testing.T, c *cluster.Cluster) { burst(t, c, 1) },
		"ten jobs":                         func(t *testing.T, c *cluster.Cluster) { burst(t, c, 10) },
		"no view of Kubernetes":            func(t *testing.T, c *cluster.Cluster) { burst(t, c, 10, "KUBE=off") },
		"fifty jobs":                       func(t *testing.T, c *cluster.Cluster) { burst(t, c, 50) },
		"jobs queued while others run":     queuedWhileOthersRun,
		"job cancelled before its agent":   cancelledBeforeItsAgent,
		"agent killed in mid-job":          killedInMidJob,
		"Azure DevOps answers 429":         func(t *testing.T, c *cluster.Cluster) { outage(t, c, tooManyRequests) },
		"Azure DevOps answers 503":         func(t *testing.T, c *cluster.Cluster) { outage(t, c, unavailable) },
		"Azure DevOps answers with a page": func(t *testing.T, c *cluster.Cluster) { outage(t, c, signInPage) },
		"scaler restarted":                 scalerRestarted,
		"credential rotated":               credentialRotated,
		"TLS with a TriggerAuthentication": mutualTLS,
		"Jobs that fail":                   jobsThatFail,
		"paused ScaledJob":                 paused,
		"mistake in the trigger":           mistakeInTheTrigger,
		"AGENT_POOLS with KEDA":            agentPools,
		"JOB_ISOLATE_CREDENTIAL":           isolatedPools,
		"eviction":                         eviction,
		"paused and deleted in a burst":    pausedAndDeletedInABurst,
		"long name":                        longName,
		"organization from a variable":     organizationFromEnv,
		"ScaledObject":                     scaledObject,
		"ScaledObject with push":           pushedScaledObject,
		"ScaledObject with an autoscaler":  autoscaledObject,
	} {
		if testing.Short() && !onEveryKEDA[name] {
			continue
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			scenario(t, c)
		})
	}
}

// onEveryKEDA are the scenarios that depend on KEDA's version: with -short they
// and KEDA's restart are all that is run. See [components.KEDAVariable].
var onEveryKEDA = map[string]bool{
	"ten jobs": true, "scaler restarted": true, "TLS with a TriggerAuthentication": true,
	"paused ScaledJob": true, "AGENT_POOLS with KEDA": true, "eviction": true,
}

// notInShort skips what does not depend on KEDA's version.
func notInShort(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("does not depend on KEDA's version")
	}
}

func burst(t *testing.T, c *cluster.Cluster, n int, env ...string) {
	s := newEnv(t, c, cluster.EnvOptions{}, env...)
	job := s.scaledJob()
	if n > 10 {
		// KEDA stops creating Jobs when the next poll is due, and asks at
		// once. Of the last ones it may not know yet then, and make them again.
		job.PollingInterval = 5 * time.Second
	}
	s.deploy(job)
	s.served(s.queue(n, 2*time.Second))
	s.settled(n)
}

func queuedWhileOthersRun(t *testing.T, c *cluster.Cluster) {
	s := newEnv(t, c, cluster.EnvOptions{})
	s.deploy(s.scaledJob())
	first := s.queue(3, 8*time.Second)
	s.running(first)
	second := s.queue(4, time.Second)
	s.served(second)
	for _, id := range first {
		if r, _ := s.Azure.Request(id); r.State != adotest.Running {
			t.Errorf("request %d is %s: the second batch waited for the first", id, r.State)
		}
	}
	s.served(first)
	s.settled(7)
}

// running waits until all these requests run.
func (s *env) running(ids []int64) {
	s.t.Helper()
	s.eventually(func() string {
		for _, id := range ids {
			if r, _ := s.Azure.Request(id); r.State != adotest.Running {
				return fmt.Sprintf("request %d is %s", id, r.State)
			}
		}
		return ""
	})
}

// cancelledBeforeItsAgent leaves an agent without a job, which waits, and takes
// the next one: no Job is made for that.
func cancelledBeforeItsAgent(t *testing.T, c *cluster.Cluster) {
	hold := make(chan struct{})
	s := newEnv(t, c, cluster.EnvOptions{Plan: func(*corev1.Pod) controlplane.Plan { return controlplane.Plan{Hold: hold} }})
	s.deploy(s.scaledJob())
	ids := s.queue(2, time.Second)
	s.eventually(func() string {
		if n := len(s.jobs()); n != 2 {
			return fmt.Sprintf("%d Jobs, want 2", n)
		}
		return ""
	})
	if err := s.Azure.Cancel(ids[0]); err != nil {
		t.Fatal(err)
	}
	close(hold)
	s.served(ids[1:])
	s.served(s.queue(1, time.Second))
	s.settled(2)
}

// killedInMidJob makes no Job for the request of the lost agent, which Azure
// DevOps regards as running until its lock lapses.
func killedInMidJob(t *testing.T, c *cluster.Cluster) {
	s := newEnv(t, c, cluster.EnvOptions{Azure: adotest.Options{LockDuration: 3 * time.Second}})
	s.deploy(s.scaledJob())
	id := s.queue(1, time.Hour)[0]
	s.running([]int64{id})
	victim, _ := s.Azure.Request(id)
	if err := c.Kubelet.Kill(s.Namespace, victim.Agent); err != nil {
		t.Fatal(err)
	}
	s.eventually(func() string {
		r, _ := s.Azure.Request(id)
		if r.State != adotest.Finished {
			return fmt.Sprintf("request %d is %s", id, r.State)
		}
		if r.Result != "abandoned" {
			t.Fatalf("request %d: %+v", id, r)
		}
		return ""
	})
	s.served(s.queue(1, time.Second))
	s.eventually(func() string {
		if counts := s.describeJobs(); counts != "0 running, 1 complete, 1 failed" {
			return counts
		}
		return ""
	})
	s.polledAgain(3)
	if n := len(s.jobs()); n != 2 {
		t.Errorf("%d Jobs, want the failed one and one more", n)
	}
}

var (
	tooManyRequests = adotest.Fault{Status: http.StatusTooManyRequests, Header: http.Header{"Retry-After": {"1"}}}
	unavailable     = adotest.Fault{Status: http.StatusServiceUnavailable, Body: []byte("\xef\xbb\xbf{}")}
	signInPage      = adotest.Fault{Status: http.StatusNonAuthoritativeInfo, ContentType: "text/html", Body: []byte("<html>Sign in</html>")}
)

// outage has Azure DevOps fail for a while, with jobs running and others queued
// meanwhile.
func outage(t *testing.T, c *cluster.Cluster, fault adotest.Fault) {
	s := newEnv(t, c, cluster.EnvOptions{})
	s.deploy(s.scaledJob())
	before := s.queue(2, 6*time.Second)
	s.running(before)
	fault.Operation = adotest.OpJobRequests
	fault.Method = http.MethodGet // not what agents do to their own request
	s.Azure.Inject(fault)
	s.polledAgain(2) // what was asked before has been answered
	during := s.queue(3, time.Second)
	s.polledAgain(3)
	if n := len(s.jobs()); n != 2 {
		t.Errorf("%d Jobs during the outage, want 2", n)
	}
	s.Azure.ClearFaults()
	s.served(append(before, during...))
	s.settled(5)
}

func scalerRestarted(t *testing.T, c *cluster.Cluster) {
	s := newEnv(t, c, cluster.EnvOptions{})
	s.deploy(s.scaledJob())
	before := s.queue(2, 6*time.Second)
	s.running(before)
	s.scaler.stop()
	during := s.queue(3, time.Second)
	s.scaler = startScaler(t, append(s.scaler.env, "GRPC_ADDR="+s.scaler.Addr))
	s.served(append(before, during...))
	s.settled(5)
}

// events are the messages of all events about the ScaledJob.
func (s *env) events() string {
	s.t.Helper()
	list, err := s.Kube.EventsV1().Events(s.Namespace).List(s.t.Context(), metav1.ListOptions{})
	if err != nil {
		s.t.Fatal(err)
	}
	var c strings.Builder
	for _, event := range list.Items {
		if event.Regarding.Kind == "ScaledJob" {
			fmt.Fprintf(&c, "%s: %s\n", event.Reason, event.Note)
		}
	}
	return c.String()
}

// jobsThatFail has the first Job fail before its agent could take the request;
// the next one is made after a pause of ten seconds, not at the next poll.
func jobsThatFail(t *testing.T, c *cluster.Cluster) {
	var pods atomic.Int32
	s := newEnv(t, c, cluster.EnvOptions{Plan: func(*corev1.Pod) controlplane.Plan {
		if pods.Add(1) > 1 {
			return controlplane.Plan{}
		}
		return controlplane.Plan{Run: func(context.Context, controlplane.Container) int { return 1 }}
	}})
	s.deploy(s.scaledJob())
	s.served(s.queue(1, time.Second))
	s.eventually(func() string {
		if counts := s.describeJobs(); counts != "0 running, 1 complete, 1 failed" {
			return counts
		}
		if events := s.events(); !strings.Contains(events, "AgentStartFailed: Jobs fail before accepting work") {
			return "no event reports that Jobs fail: " + events
		}
		return ""
	})
	jobs := s.jobs()
	slices.SortFunc(jobs, func(a, c batchv1.Job) int { return a.CreationTimestamp.Compare(c.CreationTimestamp.Time) })
	if pause := jobs[1].CreationTimestamp.Sub(jobs[0].CreationTimestamp.Time); pause < 9*time.Second { // whole seconds
		t.Errorf("the next Job was made %v after the one that failed", pause)
	}
}

// paused compares with a second ScaledJob, on a separate pool, whose Job shows
// that KEDA had the time to make one for the first.
func paused(t *testing.T, c *cluster.Cluster) {
	s := newEnv(t, c, cluster.EnvOptions{})
	job := s.scaledJob()
	job.Annotations = map[string]string{"autoscaling.keda.sh/paused": "true"}
	s.apply(job)
	s.eventually(func() string {
		if condition, _ := workload.Condition(s.read(), "Paused"); condition.Status != metav1.ConditionTrue {
			return fmt.Sprintf("condition Paused is %q", condition.Status)
		}
		return ""
	})
	ids := s.queue(2, time.Second)
	canary := newEnv(t, c, cluster.EnvOptions{})
	canary.deploy(canary.scaledJob())
	canary.served(canary.queue(1, time.Second))
	if n := len(s.jobs()); n != 0 {
		t.Errorf("%d Jobs while paused", n)
	}
	job.Annotations = nil
	s.apply(job)
	s.served(ids)
	s.settled(2)
}

// mistakeInTheTrigger wants our words in an event. The condition's message is
// KEDA's own and the same for every failure, so only its reason is looked at.
func mistakeInTheTrigger(t *testing.T, c *cluster.Cluster) {
	s := newEnv(t, c, cluster.EnvOptions{})
	job := s.scaledJob()
	job.Metadata = map[string]string{"minIdle": "some", "capabillities": "docker"}
	s.apply(job)
	s.eventually(func() string {
		condition, _ := workload.Condition(s.read(), "Ready")
		if condition.Status != metav1.ConditionFalse || condition.Reason != "TriggerError" {
			return fmt.Sprintf("condition Ready is %+v", condition)
		}
		events := s.events()
		for _, part := range []string{
			"2 mistakes in the trigger's metadata", `minIdle "some": must be a whole number from 0`, "capabillities: is not known",
		} {
			if !strings.Contains(events, part) {
				return fmt.Sprintf("no event says %q: %s", part, events)
			}
		}
		return ""
	})
	ids := s.queue(1, time.Second)
	s.apply(s.scaledJob()) // fixed
	s.served(ids)
	s.settled(1)
}

// TestKEDARestarted needs a separate KEDA.
func TestKEDARestarted(t *testing.T) {
	t.Parallel()
	c := startCluster(t, controlplane.Options{})
	s := newEnv(t, c, cluster.EnvOptions{})
	s.deploy(s.scaledJob())
	before := s.queue(2, 15*time.Second)
	s.running(before)
	if err := c.Plane.StopKEDA(t.Context()); err != nil {
		t.Fatal(err)
	}
	during := s.queue(3, time.Second)
	if err := c.Plane.StartKEDA(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.served(during)
	for _, job := range s.jobs() {
		if state(&job) == batchv1.JobFailed {
			t.Errorf("Job %s failed: KEDA's restart killed a running agent", job.Name)
		}
	}
	s.served(before)
	s.settled(5)
}
