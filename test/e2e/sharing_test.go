package e2e_test

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/test/cluster"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/test/controlplane"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/test/workload"
)

// second is a ScaledJob on the same pool. The first, "build", comes before it by
// name and gets all jobs that either could have.
func (s *env) second() workload.ScaledJob {
	job := s.scaledJob()
	job.Name = "build-too"
	return job
}

// gate holds the pods of one ScaledJob back while it is shut.
type gate struct {
	scaledJob string
	hold      atomic.Pointer[chan struct{}]
}

func newGate(t *testing.T, scaledJob string) *gate {
	t.Helper()
	g := &gate{scaledJob: scaledJob}
	t.Cleanup(g.open)
	return g
}

func (g *gate) plan(pod *corev1.Pod) controlplane.Plan {
	if hold := g.hold.Load(); hold != nil && pod.Labels["scaledjob.keda.sh/name"] == g.scaledJob {
		return controlplane.Plan{Hold: *hold}
	}
	return controlplane.Plan{}
}

// shut holds back the pods that come from now on.
func (g *gate) shut() {
	hold := make(chan struct{})
	g.hold.Store(&hold)
}

// open lets them go.
func (g *gate) open() {
	if hold := g.hold.Swap(nil); hold != nil {
		close(*hold)
	}
}

// jobsOf is how many Jobs a ScaledJob has, finished ones included.
func (s *env) jobsOf(scaledJob string) (n int) {
	s.t.Helper()
	for _, job := range s.jobs() {
		if job.Labels["scaledjob.keda.sh/name"] == scaledJob {
			n++
		}
	}
	return n
}

// haveJobs waits until the two ScaledJobs have this many Jobs, and then as long as
// KEDA takes to make another.
func (s *env) haveJobs(first, second int) {
	s.t.Helper()
	check := func() string {
		if a, b := s.jobsOf("build"), s.jobsOf("build-too"); a != first || b != second {
			return fmt.Sprintf("%d and %d Jobs, want %d and %d", a, b, first, second)
		}
		return ""
	}
	s.eventually(check)
	s.polledAgain(6) // three for each
	if problem := check(); problem != "" {
		s.t.Fatal(problem)
	}
}

// pausedAndDeletedInABurst takes the first of two ScaledJobs of a pool out of the
// burst that it is in the middle of, releases it, and deletes it while its Jobs
// live on. Requests for these Jobs need no others, and the rest goes to the second.
func pausedAndDeletedInABurst(t *testing.T, c *cluster.Cluster) {
	g := newGate(t, "build")
	s := newEnv(t, c, cluster.EnvOptions{Plan: g.plan})
	s.apply(s.second())
	s.deploy(s.scaledJob())

	g.shut()
	ids := s.queue(3, time.Second)
	s.haveJobs(3, 0)
	s.pause(true)
	ids = append(ids, s.queue(2, time.Second)...)
	s.haveJobs(3, 2)
	g.open()
	s.served(ids)

	s.pause(false)
	g.shut()
	ids = s.queue(2, time.Second)
	s.haveJobs(5, 2)
	orphan := metav1.DeletePropagationOrphan
	if err := s.Dynamic.Resource(workload.ScaledJobs).Namespace(s.Namespace).
		Delete(t.Context(), "build", metav1.DeleteOptions{PropagationPolicy: &orphan}); err != nil {
		t.Fatal(err)
	}
	s.haveJobs(5, 2)
	ids = append(ids, s.queue(1, time.Second)...)
	s.haveJobs(5, 3)
	g.open()
	s.served(ids)
	s.settled(8)
}

// pause pauses the ScaledJob "build" or ends that. KEDA says by a condition that it
// no longer polls, but may leave the condition as it is when it polls again: a loop
// that was just ended writes the status that it knew.
func (s *env) pause(paused bool) {
	s.t.Helper()
	job := s.scaledJob()
	if paused {
		job.Annotations = map[string]string{"autoscaling.keda.sh/paused": "true"}
	}
	if err := s.Apply(s.t.Context(), job); err != nil {
		s.t.Fatal(err)
	}
	if paused {
		s.eventually(func() string {
			if condition, _ := workload.Condition(s.read(), "Paused"); condition.Status != metav1.ConditionTrue {
				return fmt.Sprintf("condition Paused is %q", condition.Status)
			}
			return ""
		})
	}
	s.polledAgain(6)
}

// longName has Jobs whose pods share all that Kubernetes leaves of their names:
// one runs a job, and the other waits for the next.
func longName(t *testing.T, c *cluster.Cluster) {
	name := "build-" + strings.Repeat("n", 54)
	g := newGate(t, name)
	s := newEnv(t, c, cluster.EnvOptions{Plan: g.plan})
	job := s.scaledJob()
	job.Name = name
	s.deploy(job)
	first := s.queue(1, 12*time.Second)
	s.running(first)
	g.shut()
	second := s.queue(1, time.Second)
	s.eventually(func() string {
		if n := len(s.jobs()); n < 2 {
			return fmt.Sprintf("%d Jobs, want 2", n)
		}
		return ""
	})
	s.polledAgain(3)
	s.running(first) // or this shows nothing
	if n := len(s.jobs()); n != 2 {
		t.Errorf("%d Jobs, want 2", n)
	}
	g.open()
	s.served(append(first, second...))
	s.settled(2)
}

// organizationFromEnv has two ScaledJobs share a pool whose organization only KEDA
// reads, from a variable of the agents.
func organizationFromEnv(t *testing.T, c *cluster.Cluster) {
	s := newEnv(t, c, cluster.EnvOptions{})
	first, second := s.scaledJob(), s.second()
	for _, job := range []*workload.ScaledJob{&second, &first} {
		job.Metadata = map[string]string{"organizationURLFromEnv": "AZP_URL"}
	}
	s.apply(second)
	s.deploy(first)
	s.polledAgain(3)
	ids := s.queue(4, 2*time.Second)
	s.haveJobs(4, 0)
	s.served(ids)
	s.settled(4)
}

// TestUnwatchedNamespace has a ScaledJob in a namespace that KEDA does not watch,
// which comes first by name. Its share goes to the other when KEDA has not asked
// for it for a minute.
//
// It has a separate KEDA, which watches one namespace.
func TestUnwatchedNamespace(t *testing.T) {
	t.Parallel()
	notInShort(t)
	c := startCluster(t, controlplane.Options{KEDAEnv: []string{"WATCH_NAMESPACE=watched"}})
	s := newEnv(t, c, cluster.EnvOptions{Namespace: "watched"})
	other := newEnv(t, c, cluster.EnvOptions{Namespace: "ahead"}) // for its namespace
	unwatched := s.scaledJob()
	unwatched.Namespace = other.Namespace
	s.deploy(s.scaledJob())
	begin := time.Now()
	if err := s.Apply(t.Context(), unwatched); err != nil {
		t.Fatal(err)
	}
	s.polledAgain(2)
	ids := s.queue(2, time.Second)
	s.served(ids)
	if took := time.Since(begin); took < 50*time.Second {
		t.Errorf("the job was run after %v: the other ScaledJob had no share, and this shows nothing", took)
	}
	s.settled(2)
	if jobs := other.jobs(); len(jobs) != 0 {
		t.Errorf("KEDA has made %d Jobs in a namespace that it does not watch", len(jobs))
	}
}
