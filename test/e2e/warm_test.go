package e2e_test

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue/adotest"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/jobtemplate"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/test/cluster"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/test/controlplane"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/test/workload"
)

// TestWarmAgents has agents that wait for jobs. It has a separate KEDA, and its
// parts run one after another, so that what they measure is not each other.
func TestWarmAgents(t *testing.T) {
	notInShort(t)
	c := startCluster(t, controlplane.Options{Controllers: deploymentControllers})
	t.Run("burst", func(t *testing.T) { warmBurst(t, c) })
	t.Run("periods", func(t *testing.T) { warmPeriods(t, c) })
	t.Run("nodes", func(t *testing.T) { warmNodes(t, c) })
}

// newWarmEnv makes an environment whose pods take a while to start. The scaler ends idle
// agents.
func newWarmEnv(t *testing.T, c *cluster.Cluster, podStart time.Duration) *env {
	t.Helper()
	return newEnv(t, c, cluster.EnvOptions{
		Plan: func(*corev1.Pod) controlplane.Plan { return controlplane.Plan{Delay: podStart} },
	}, "END_IDLE=true", "LEADER_ELECTION=off", "SCALER_ADDRESS=scaler.example:9090")
}

// warmJob is a ScaledJob that keeps so many idle agents at all times.
func (s *env) warmJob(idle int) workload.ScaledJob {
	job := s.scaledJob()
	job.PollingInterval = 2 * time.Second
	job.GracePeriod = time.Minute
	job.Labels = map[string]string{jobtemplate.LauncherLabel: jobtemplate.Launcher}
	job.Metadata = map[string]string{"warm": "00:00-24:00 " + strconv.Itoa(idle), "warmTimeZone": "Europe/Berlin"}
	return job
}

// deployWarm deploys a ScaledJob, and only then has it keep idle agents: those are
// created in the first poll, which KEDA cuts off for a new ScaledJob. See deploy.
func (s *env) deployWarm(job workload.ScaledJob) {
	s.t.Helper()
	idle := job.Metadata
	job.Metadata = nil
	s.deploy(job)
	job.Metadata = idle
	if err := s.Apply(s.t.Context(), job); err != nil {
		s.t.Fatal(err)
	}
}

// online are the names of the agents that wait for a job.
func (s *env) online() (names []string) {
	for _, agent := range s.Azure.Agents(cluster.Pool) {
		if !agent.Offline && !agent.Disabled && agent.Request == 0 {
			names = append(names, agent.Name)
		}
	}
	return names
}

func (s *env) waitIdle(want int) {
	s.t.Helper()
	s.eventually(func() string {
		if n := len(s.online()); n != want {
			return fmt.Sprintf("%d idle agents, want %d", n, want)
		}
		return ""
	})
}

// waits are how long requests waited until an agent had received them, and that of
// the slowest.
func (s *env) waits(ids []int64) (waits []time.Duration, p95 time.Duration) {
	s.t.Helper()
	for _, id := range ids {
		r, _ := s.Azure.Request(id)
		waits = append(waits, r.ReceiveTime.Sub(r.QueueTime).Round(10*time.Millisecond))
	}
	return waits, slices.Max(waits)
}

// warmBurst has five of six jobs taken by the agents that are there, and the sixth
// by a new one. The saved time is logged beside that without idle agents.
func warmBurst(t *testing.T, c *cluster.Cluster) {
	const podStart = 5 * time.Second
	cold := newWarmEnv(t, c, podStart)
	job := cold.scaledJob()
	job.PollingInterval = 2 * time.Second
	cold.deploy(job)
	ids := cold.queue(5, time.Second)
	cold.served(ids)
	all, most := cold.waits(ids)
	t.Logf("without idle agents: a burst of five waits %v, at most %v", all, most)

	s := newWarmEnv(t, c, podStart)
	s.deployWarm(s.warmJob(5))
	s.waitIdle(5)
	there := s.online()
	ids = s.queue(6, 20*time.Second)
	s.running(ids)
	var warm, rest []int64
	for _, id := range ids {
		if r, _ := s.Azure.Request(id); slices.Contains(there, r.Agent) {
			warm = append(warm, id)
		} else {
			rest = append(rest, id)
		}
	}
	if len(warm) != 5 || len(rest) != 1 {
		t.Fatalf("idle agents took %d of 6 jobs", len(warm))
	}
	all, most = s.waits(warm)
	t.Logf("with five idle agents: it waits %v, at most %v", all, most)
	all, _ = s.waits(rest)
	t.Logf("the sixth job waits %v", all[0])
	s.served(ids)
	s.waitIdle(5)
}

// warmPeriods changes how many agents wait back and forth while jobs come: no
// job is lost, no agent is ended with a job, and those that are not needed any more
// leave their pool.
func warmPeriods(t *testing.T, c *cluster.Cluster) {
	s := newWarmEnv(t, c, time.Second)
	const most = 6
	s.deployWarm(s.warmJob(most))
	s.waitIdle(most)
	long := s.queue(1, 45*time.Second) // over all of it
	s.running(long)
	stop, queued := make(chan struct{}), make(chan []int64, 1)
	go func() {
		var ids []int64
		defer func() { queued <- ids }()
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			case <-t.Context().Done():
				return
			case <-time.After(10 * time.Second): // so seldom that the scaler finds idle agents to end
				id, err := s.Azure.Queue(cluster.Pool, adotest.Job{Duration: time.Duration(i%5) * time.Second})
				if err == nil {
					ids = append(ids, id)
				}
			}
		}
	}()
	for _, idle := range []int{0, most, 1} {
		before := s.ended()
		if err := s.Apply(t.Context(), s.warmJob(idle)); err != nil {
			t.Fatal(err)
		}
		if idle == most {
			s.eventually(func() string {
				if n := len(s.online()); n < most-1 { // a job may just have taken one
					return fmt.Sprintf("%d idle agents, want %d", n, most)
				}
				return ""
			})
			continue
		}
		s.eventually(func() string {
			if s.ended() == before {
				return "the scaler has ended no idle agent"
			}
			return ""
		})
	}
	close(stop)
	ids := append(<-queued, long...)
	s.served(ids)
	s.waitIdle(1)
	for _, job := range s.jobs() {
		if state(&job) == batchv1.JobFailed {
			t.Errorf("Job %s failed", job.Name)
		}
	}
	t.Logf("%d jobs, %d idle agents ended", len(ids), s.ended())
}

// ended is how many idle agents the scaler has ended.
func (s *env) ended() int {
	s.t.Helper()
	n, err := s.scaler.Metric(s.t.Context(), func(line string) bool {
		return strings.HasPrefix(line, "ado_agent_orchestrator_housekeeping_actions_total{") &&
			strings.Contains(line, `action="end_idle"`) && strings.Contains(line, `outcome="done"`)
	})
	if err != nil {
		s.t.Fatal(err)
	}
	return n
}

// warmNodes scales pods that keep nodes from zero to one by the schedule, and back.
// How many there are in between is the HorizontalPodAutoscaler's, as for other
// ScaledObjects.
func warmNodes(t *testing.T, c *cluster.Cluster) {
	s := newEnv(t, c, cluster.EnvOptions{Plan: func(*corev1.Pod) controlplane.Plan { return controlplane.Plan{Unschedulable: true} }})
	object := workload.ScaledObject{
		Namespace: s.Namespace, Name: "nodes", ScalerAddress: s.scaler.Addr, Pool: cluster.Pool,
		PollingInterval: time.Second, Cooldown: 2 * time.Second,
	}
	if err := s.ApplyTo(t.Context(), workload.Deployments, object.Deployment()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = s.Dynamic.Resource(workload.ScaledObjects).Namespace(s.Namespace).Delete(context.Background(), object.Name, metav1.DeleteOptions{})
	})
	for _, want := range []int32{1, 0} {
		object.Metadata = map[string]string{"count": "scheduled", "warm": fmt.Sprintf("00:00-24:00 %d", 3*want)}
		if err := s.ApplyTo(t.Context(), workload.ScaledObjects, object.Object()); err != nil {
			t.Fatal(err)
		}
		s.eventually(func() string {
			if n := s.replicas(object.Name); n != want {
				return fmt.Sprintf("%d replicas, want %d", n, want)
			}
			return ""
		})
	}
}
