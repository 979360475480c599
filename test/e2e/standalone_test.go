package e2e_test

import (
	"bytes"
	"errors"
	"fmt"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue/adotest"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/test/cluster"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/test/controlplane"
)

// pools are those of the older orchestrator's README.
var pools = []string{"Pool1", "Pool2"}

// TestWithoutKEDA runs the program as the older orchestrator was run.
func TestWithoutKEDA(t *testing.T) {
	notInShort(t)
	t.Parallel()
	c := startCluster(t, controlplane.Options{WithoutKEDA: true})
	t.Run("older environment", func(t *testing.T) {
		t.Parallel()
		olderEnvironment(t, c)
	})
	t.Run("two replicas", func(t *testing.T) {
		t.Parallel()
		replicas(t, c)
	})
	t.Run("render", func(t *testing.T) {
		t.Parallel()
		rendered(t, c)
	})
	t.Run("CronJob", func(t *testing.T) {
		t.Parallel()
		cronJob(t, c)
	})
}

// newPools makes an environment with the pools; older is what the older orchestrator was
// given.
func newPools(t *testing.T, c *cluster.Cluster) (s *env, older []string) {
	t.Helper()
	made, err := c.NewEnv(t.Context(), cluster.EnvOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = made.Close() })
	for _, pool := range pools {
		made.Azure.AddPool(adotest.Pool{Name: pool})
		if _, err := made.Azure.AddAgent(pool, adotest.Agent{Name: cluster.Placeholder, Offline: true}); err != nil {
			t.Fatal(err)
		}
	}
	return &env{Env: made, t: t}, []string{
		"ORG_URL=" + made.Azure.URL(), "ORG_PAT=" + cluster.ScalerPAT, "AGENT_POOLS=" + strings.Join(pools, ","),
		"JOB_IMAGE=" + cluster.AgentImage, "JOB_NAMESPACE=" + made.Namespace,
	}
}

// queueIn queues jobs in each pool.
func (s *env) queueIn(pools []string, n int, duration time.Duration) (ids []int64) {
	s.t.Helper()
	for _, pool := range pools {
		for range n {
			id, err := s.Azure.Queue(pool, adotest.Job{Duration: duration})
			if err != nil {
				s.t.Fatal(err)
			}
			ids = append(ids, id)
		}
	}
	return ids
}

// finished waits until all these requests succeeded.
func (s *env) finished(ids []int64) {
	s.t.Helper()
	s.eventually(func() string {
		for _, id := range ids {
			if r, ok := s.Azure.Request(id); !ok || r.Result != "succeeded" {
				return fmt.Sprintf("request %d is %s %s", id, r.State, r.Result)
			}
		}
		return ""
	})
}

// program is our program without a command.
type program struct {
	*exec.Cmd
	log bytes.Buffer
}

func start(t *testing.T, c *cluster.Cluster, env ...string) *program {
	t.Helper()
	programs, err := programs()
	if err != nil {
		t.Fatal(err)
	}
	p := &program{Cmd: exec.Command(programs.Scaler)}
	p.Env = append([]string{"KUBECONFIG=" + c.Plane.Kubeconfig(), "HTTP_ADDR=127.0.0.1:0", "GRPC_ADDR=127.0.0.1:0"}, env...)
	p.Stderr = &p.log
	p.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	return p
}

// end stops the program as Kubernetes does, and returns its log.
func (p *program) end(t *testing.T) string {
	t.Helper()
	err := errors.Join(p.Process.Signal(syscall.SIGTERM), p.Wait())
	if err != nil {
		t.Errorf("ended with %v: %s", err, &p.log)
	}
	return p.log.String()
}

// olderEnvironment has the Jobs gone after a time that is shorter than usual.
func olderEnvironment(t *testing.T, c *cluster.Cluster) {
	s, older := newPools(t, c)
	p := start(t, c, append(older, "JOB_TTL=3s")...)
	ids := s.queueIn(pools, 3, time.Second)
	made := map[string]bool{}
	s.eventually(func() string {
		for _, job := range s.jobs() {
			made[job.Name] = true
			checkJob(t, &job)
		}
		for _, id := range ids {
			if r, _ := s.Azure.Request(id); r.Result != "succeeded" {
				return fmt.Sprintf("request %d is %s %s", id, r.State, r.Result)
			}
		}
		return ""
	})
	s.eventually(func() string {
		for _, job := range s.jobs() {
			made[job.Name] = true
			return job.Name + " is there still"
		}
		return ""
	})
	if len(made) != len(ids) {
		t.Errorf("%d Jobs were made for %d requests: %v", len(made), len(ids), made)
	}
	log := p.end(t)
	if strings.Contains(log, cluster.ScalerPAT) || strings.Contains(log, `"level":"error"`) {
		t.Errorf("the log is\n%s", log)
	}
	events, err := s.Kube.CoreV1().Events(s.Namespace).List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(fmt.Sprint(events.Items), cluster.ScalerPAT) {
		t.Error("the token shows in an event")
	}
}

// checkJob wants the token in the Job by reference only.
func checkJob(t *testing.T, job *batchv1.Job) {
	t.Helper()
	if strings.Contains(job.String(), cluster.ScalerPAT) {
		t.Fatalf("the token shows in Job %s", job.Name)
	}
	for _, v := range job.Spec.Template.Spec.Containers[0].Env {
		if v.Name == "AZP_TOKEN" && v.ValueFrom != nil && v.ValueFrom.SecretKeyRef != nil {
			return
		}
	}
	t.Fatalf("Job %s has no token", job.Name)
}

// cronJob has the API server's own controller start a pass each minute.
func cronJob(t *testing.T, c *cluster.Cluster) {
	s, older := newPools(t, c)
	env := []corev1.EnvVar{{Name: "RUN_ONCE", Value: "1"}, {Name: "KUBECONFIG", Value: c.Plane.Kubeconfig()}}
	for _, pair := range older {
		name, value, _ := strings.Cut(pair, "=")
		env = append(env, corev1.EnvVar{Name: name, Value: value})
	}
	cron := &batchv1.CronJob{ObjectMeta: metav1.ObjectMeta{Name: "orchestrator"}, Spec: batchv1.CronJobSpec{
		Schedule: "* * * * *",
		JobTemplate: batchv1.JobTemplateSpec{Spec: batchv1.JobSpec{BackoffLimit: new(int32), Template: corev1.PodTemplateSpec{
			Spec: corev1.PodSpec{
				RestartPolicy: corev1.RestartPolicyNever,
				Containers:    []corev1.Container{{Name: "orchestrator", Image: cluster.ScalerImage, Env: env}},
			},
		}}},
	}}
	ids := s.queueIn(pools, 2, time.Second)
	if _, err := s.Kube.BatchV1().CronJobs(s.Namespace).Create(t.Context(), cron, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	s.finished(ids)
	agents := 0
	for _, job := range s.jobs() {
		if len(job.OwnerReferences) == 0 {
			agents++
		} else if state(&job) == batchv1.JobFailed {
			t.Errorf("the pass %s failed", job.Name)
		}
	}
	if agents != len(ids) {
		t.Errorf("%d Jobs for %d requests", agents, len(ids))
	}
}

// replicas has two of the program work side by side, and the leader go. Jobs take
// longer than the leader's pause between two looks at what to annotate.
func replicas(t *testing.T, c *cluster.Cluster) {
	s, older := newPools(t, c)
	running := map[string]*program{}
	for range 2 {
		p := start(t, c, append(older, "LEADER_ELECTION=on", "ANNOTATE_JOBS=true")...)
		running[strconv.Itoa(p.Process.Pid)] = p
	}
	s.finished(s.queueIn(pools, 2, 4*time.Second))
	leader := running[s.leader(running)]
	leader.end(t)
	s.finished(s.queueIn(pools, 1, 4*time.Second))
	if n := len(s.jobs()); n != 3*len(pools) {
		t.Errorf("%d Jobs for %d requests", n, 3*len(pools))
	}
	for _, job := range s.jobs() {
		if job.Annotations["ado-agent-orchestrator.io/run-url"] == "" {
			t.Errorf("Job %s has the annotations %v", job.Name, job.Annotations)
		}
	}
	for _, p := range running {
		if p != leader {
			p.end(t)
		}
	}
}

// leader is the process that holds the lease.
func (s *env) leader(running map[string]*program) (pid string) {
	s.t.Helper()
	s.eventually(func() string {
		leases, err := s.Kube.CoordinationV1().Leases("default").List(s.t.Context(), metav1.ListOptions{})
		if err != nil {
			s.t.Fatal(err)
		}
		for _, lease := range leases.Items {
			if holder := lease.Spec.HolderIdentity; holder != nil {
				_, pid, _ = strings.Cut(*holder, "_")
				if running[pid] != nil {
					return ""
				}
			}
		}
		return "none of ours leads"
	})
	return pid
}
