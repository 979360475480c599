package e2e_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue/adotest"
	"github.com/go-logr/logr"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/version"
	"k8s.io/klog/v2"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/test/cluster"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/test/components"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/test/controlplane"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/test/workload"
)

// patience bounds each wait. On two busy cores fifty agents take a minute.
const patience = 3 * time.Minute

// programs are ours, built once as a user would.
var programs = sync.OnceValues(func() (cluster.Programs, error) {
	return cluster.Build(context.Background(), programDir)
})

var programDir string

func TestMain(m *testing.M) { os.Exit(withProgramDir(m)) }

func withProgramDir(m *testing.M) int {
	// Messages of a client of Kubernetes about a pod that was deleted are of no
	// interest.
	klog.SetLogger(logr.Discard())
	dir, err := os.MkdirTemp("", "ado-agent-orchestrator-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	programDir = dir
	return m.Run()
}

func startCluster(t *testing.T, options controlplane.Options) *cluster.Cluster {
	t.Helper()
	p, err := programs()
	if err != nil {
		t.Fatal(err)
	}
	c, err := cluster.New(t.Context(), controlplane.ForTest(t, options), p)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// env is one test's part of a cluster, and its scaler.
type env struct {
	*cluster.Env
	t       *testing.T
	patFile string
	scaler  *scaler
}

// newEnv makes an environment. The variables are added to the scaler's.
func newEnv(t *testing.T, c *cluster.Cluster, options cluster.EnvOptions, variables ...string) *env {
	t.Helper()
	made, err := c.NewEnv(t.Context(), options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = made.Close() })
	s := &env{Env: made, t: t, patFile: filepath.Join(t.TempDir(), "pat")}
	s.writePAT(cluster.ScalerPAT)
	s.scaler = startScaler(t, append([]string{
		"KUBE=on", "KUBECONFIG=" + c.Plane.Kubeconfig(), "ORG_URL=" + s.Azure.URL(), "ORG_PAT_FILE=" + s.patFile,
	}, variables...))
	return s
}

func (s *env) writePAT(pat string) {
	s.t.Helper()
	if err := os.WriteFile(s.patFile, []byte(pat+"\n"), 0o600); err != nil {
		s.t.Fatal(err)
	}
}

// scaledJob is a ScaledJob "build" with our trigger, as a user would write it.
func (s *env) scaledJob() workload.ScaledJob {
	return workload.ScaledJob{
		Namespace: s.Namespace, Name: "build", ScalerAddress: s.scaler.Addr,
		OrganizationURL: s.Azure.URL(), Pool: cluster.Pool,
	}
}

// deploy applies a ScaledJob and waits until KEDA polls it steadily. KEDA
// reconciles a new one twice, and the second time cancels the loop that the first
// has started: what that was creating just then may or may not come to be, and
// the next loop cannot know. Nobody but KEDA can make that exact.
func (s *env) deploy(job workload.ScaledJob) {
	s.t.Helper()
	s.apply(job)
	s.eventually(func() string { return s.notReady(job.Name) })
	s.polledAgain(3)
}

// notReady is what is missing until KEDA has accepted a ScaledJob, "" afterwards.
// Before 2.16, nothing sets Ready again once it is Unknown. A poll that fails makes it
// so, such as one of a loop that the next reconcile cancels, and so does a loop that
// writes back the conditions which it read before Ready was set. KEDA's event stays.
func (s *env) notReady(name string) string {
	s.t.Helper()
	object, err := s.ScaledJob(s.t.Context(), name)
	if err != nil {
		s.t.Fatal(err)
	}
	condition, _ := workload.Condition(object, "Ready")
	ready := condition.Status == metav1.ConditionTrue
	if !ready && version.MustParseGeneric(components.KEDAVersion()).LessThan(version.MustParseGeneric("2.16")) {
		ready = slices.ContainsFunc(s.eventsOf(object.GetUID()), func(e eventsv1.Event) bool { return e.Reason == "ScaledJobReady" })
	}
	if !ready {
		return fmt.Sprintf("condition Ready is %+v", condition)
	}
	return ""
}

// eventsOf lists the events about an object.
func (s *env) eventsOf(object types.UID) []eventsv1.Event {
	s.t.Helper()
	list, err := s.Kube.EventsV1().Events(s.Namespace).List(s.t.Context(), metav1.ListOptions{})
	if err != nil {
		s.t.Fatal(err)
	}
	return slices.DeleteFunc(list.Items, func(e eventsv1.Event) bool { return e.Regarding.UID != object })
}

func (s *env) apply(job workload.ScaledJob) {
	s.t.Helper()
	if err := s.Apply(s.t.Context(), job); err != nil {
		s.t.Fatal(err)
	}
	// KEDA deletes the Jobs with it, and the kubelet their agents, before the
	// organization and the scaler go. It may have been deleted for another apply.
	s.t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		_ = s.Delete(ctx, job.Name)
	})
}

// queue queues jobs that run for this long.
func (s *env) queue(n int, duration time.Duration) []int64 {
	s.t.Helper()
	var ids []int64
	for range n {
		id, err := s.Azure.Queue(cluster.Pool, adotest.Job{Duration: duration})
		if err != nil {
			s.t.Fatal(err)
		}
		ids = append(ids, id)
	}
	return ids
}

// eventually waits until check says that all is as it should be; until then it
// says what is not.
func (s *env) eventually(check func() (problem string)) {
	s.t.Helper()
	ticker := time.NewTicker(50 * time.Millisecond)
	defer ticker.Stop()
	deadline := time.After(patience)
	for {
		problem := check()
		if problem == "" {
			return
		}
		select {
		case <-ticker.C:
		case <-deadline:
			s.t.Fatalf("after %v: %s\nJobs: %s", patience, problem, s.describeJobs())
		}
	}
}

// jobs are the Jobs that KEDA has made.
func (s *env) jobs() []batchv1.Job {
	s.t.Helper()
	jobs, err := s.Jobs(context.Background())
	if err != nil {
		s.t.Fatal(err)
	}
	return jobs
}

// state of a Job: Complete, Failed or "" while it is neither.
func state(job *batchv1.Job) batchv1.JobConditionType {
	for _, condition := range job.Status.Conditions {
		final := condition.Type == batchv1.JobComplete || condition.Type == batchv1.JobFailed
		if final && condition.Status == corev1.ConditionTrue {
			return condition.Type
		}
	}
	return ""
}

func (s *env) describeJobs() string {
	counts := map[batchv1.JobConditionType]int{}
	for _, job := range s.jobs() {
		counts[state(&job)]++
	}
	return fmt.Sprintf("%d running, %d complete, %d failed", counts[""], counts[batchv1.JobComplete], counts[batchv1.JobFailed])
}

// served waits until all these requests were run by agents of ours.
func (s *env) served(ids []int64) {
	s.t.Helper()
	s.eventually(func() string {
		for _, id := range ids {
			r, ok := s.Azure.Request(id)
			if !ok || r.State != adotest.Finished {
				return fmt.Sprintf("request %d is %s", id, r.State)
			}
			if r.Result != "succeeded" || !strings.HasPrefix(r.Agent, "build-") {
				s.t.Fatalf("request %d: %+v", id, r)
			}
		}
		return ""
	})
}

// settled waits until there are this many Jobs and all are Complete, and then
// until KEDA has polled often enough since that it would have made another.
func (s *env) settled(want int) {
	s.t.Helper()
	s.eventually(func() string {
		complete := 0
		for _, job := range s.jobs() {
			if state(&job) == batchv1.JobComplete {
				complete++
			}
		}
		if complete < want {
			return fmt.Sprintf("%d of %d Jobs are Complete", complete, want)
		}
		return ""
	})
	s.polledAgain(3)
	if jobs := s.jobs(); len(jobs) != want {
		s.t.Errorf("%d Jobs, want %d: %s", len(jobs), want, s.describeJobs())
	}
	for _, agent := range s.Azure.Agents(cluster.Pool) {
		if agent.Name != cluster.Placeholder {
			s.t.Errorf("agent %s was left in the pool", agent.Name)
		}
	}
}

// polledAgain waits until KEDA has asked the scaler this often from now on.
func (s *env) polledAgain(times int) {
	s.t.Helper()
	begin := s.polls()
	s.eventually(func() string {
		if n := s.polls() - begin; n < times {
			return fmt.Sprintf("KEDA polled %d of %d times", n, times)
		}
		return ""
	})
}

func (s *env) polls() int {
	s.t.Helper()
	n, err := s.scaler.Polls(s.t.Context())
	if err != nil {
		s.t.Fatal(err)
	}
	return n
}

// read returns the ScaledJob "build".
func (s *env) read() *unstructured.Unstructured {
	s.t.Helper()
	object, err := s.ScaledJob(s.t.Context(), "build")
	if err != nil {
		s.t.Fatal(err)
	}
	return object
}

// scaler is our program, running as a process.
type scaler struct {
	*cluster.Scaler
	t   *testing.T
	env []string
	log strings.Builder // complete once it has stopped
}

// startScaler runs `serve`. It is stopped when the test ends, and must then have
// logged no error and exit with 0.
func startScaler(t *testing.T, env []string) *scaler {
	t.Helper()
	p, err := programs()
	if err != nil {
		t.Fatal(err)
	}
	s := &scaler{t: t, env: env}
	// A short delay keeps the tests short; users have a second.
	s.Scaler, err = cluster.StartScaler(p.Scaler, append([]string{"POLLING_DELAY=100"}, env...), &s.log)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.stop)
	return s
}

// stop ends the process as Kubernetes does.
func (s *scaler) stop() {
	s.t.Helper()
	err := s.Stop()
	log := s.log.String()
	if err != nil || strings.Contains(log, `"level":"error"`) || strings.Contains(log, cluster.ScalerPAT) {
		s.t.Errorf("the scaler ended with %v and logged:\n%s", err, log)
	}
}
