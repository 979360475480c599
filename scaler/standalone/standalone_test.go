package standalone_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
	batchv1 "k8s.io/api/batch/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue/adotest"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/engine"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/fleet"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/plan"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/standalone"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// kubernetes is where Jobs are created. They come into view when catchUp says
// so, as with an informer that lags.
type kubernetes struct {
	*fleet.Index

	mu      sync.Mutex
	made    []fleet.Job
	refuses error
}

func (k *kubernetes) Create(_ context.Context, job *batchv1.Job, _ metav1.CreateOptions) (*batchv1.Job, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.refuses != nil {
		return nil, k.refuses
	}
	job.Name = fmt.Sprintf("%s%s", job.GenerateName, strings.Repeat(string("bcdfghjklmnpqrstvwxz"[len(k.made)]), 5))
	job.UID, job.CreationTimestamp = types.UID(job.Name), metav1.NewTime(time.Now().Truncate(time.Second))
	k.made = append(k.made, k.JobOf(job))
	return job, nil
}

func (k *kubernetes) JobOf(job *batchv1.Job) fleet.Job {
	return fleet.Job{
		UID: string(job.UID), Namespace: "ado", Name: job.Name, ScaledJob: strings.TrimSuffix(job.GenerateName, "-"),
		Created: job.CreationTimestamp.Time,
	}
}

func (k *kubernetes) Warn(_, _, _, _ string) {}

func (k *kubernetes) catchUp() {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, job := range k.made {
		k.SetJob(job)
	}
}

func (k *kubernetes) refuse(err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.refuses = err
}

func (k *kubernetes) count() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return len(k.made)
}

// site is a Runner between Azure DevOps and Kubernetes, in a bubble of time.
type site struct {
	*standalone.Runner
	t          *testing.T
	azure      *adotest.Server
	kubernetes *kubernetes
	logs       *observer.ObservedLogs
}

// settings are what a test changes.
type settings struct {
	pools        []string
	min, minIdle int
	cap          bool
}

func inBubble(t *testing.T, change func(*settings), test func(*testing.T, *site)) {
	synctest.Test(t, func(t *testing.T) {
		azure := adotest.New(adotest.Options{AllowUnmatched: true, ParallelJobs: 4})
		defer azure.Close()
		url, err := adoqueue.ParseOrganizationURL("https://dev.azure.com/contoso")
		if err != nil {
			t.Fatal(err)
		}
		client, err := adoqueue.NewClient(url, adoqueue.PAT("adotest-pat"), adoqueue.Options{HTTPClient: &http.Client{Transport: azure.Transport()}})
		if err != nil {
			t.Fatal(err)
		}
		cache := adoqueue.NewCache(client, adoqueue.CacheOptions{})
		defer cache.Close()
		set := settings{pools: []string{"linux", "windows"}}
		change(&set)
		core, logs := observer.New(zap.InfoLevel)
		s := &site{t: t, azure: azure, kubernetes: &kubernetes{Index: fleet.NewIndex(2 * time.Minute)}, logs: logs}
		options := standalone.Options{Cluster: s.kubernetes, Creator: s.kubernetes, Delay: time.Second, Timeout: 30 * time.Second, Logger: zap.New(core)}
		for _, name := range set.pools {
			azure.AddPool(adotest.Pool{Name: name})
			options.Pools = append(options.Pools, pool(name))
			s.kubernetes.SetScaledJob(scaledJob(name, set))
		}
		decisions := engine.New(engine.Options{
			Organizations: []engine.Organization{{URL: url, Queue: cache}}, Cluster: s.kubernetes, Address: "run",
			MaxAge: time.Second, Timeout: 10 * time.Second, CapByParallelJobs: set.cap, Logger: zap.New(core),
		})
		defer decisions.Close()
		options.Engine = decisions
		s.Runner = standalone.New(options)
		test(t, s)
	})
}

func pool(name string) standalone.Pool {
	return standalone.Pool{
		Key: plan.Key{Namespace: "ado", Name: name}, Name: name,
		Job: &batchv1.Job{ObjectMeta: metav1.ObjectMeta{GenerateName: name + "-"}},
	}
}

func scaledJob(name string, set settings) *fleet.ScaledJob {
	s := fleet.NewScaledJob(plan.Key{Namespace: "ado", Name: name}, map[string]string{
		"scalerAddress": "run", "poolName": name, "minIdle": strconv.Itoa(set.minIdle),
	})
	s.MinReplicas, s.MaxReplicas = set.min, 10
	return s
}

func (s *site) queue(pool string, n int) (ids []int64) {
	s.t.Helper()
	for range n {
		id, err := s.azure.Queue(pool, adotest.Job{})
		if err != nil {
			s.t.Fatal(err)
		}
		ids = append(ids, id)
	}
	return ids
}

// pass makes one pass in the next second and compares how many Jobs there are.
func (s *site) pass(step string, want int) {
	s.t.Helper()
	time.Sleep(time.Second)
	if err := s.Pass(s.t.Context()); err != nil {
		s.t.Errorf("%s: %v", step, err)
	}
	if n := s.kubernetes.count(); n != want {
		s.t.Errorf("%s: %d Jobs, want %d", step, n, want)
	}
}

func unchanged(*settings) {}

// TestPasses has the view of Kubernetes lag: that must not make a Job twice.
func TestPasses(t *testing.T) {
	inBubble(t, unchanged, func(t *testing.T, s *site) {
		s.pass("nothing queued", 0)
		s.queue("linux", 3)
		ids := s.queue("windows", 2)
		s.pass("queued", 5)
		s.pass("not in view yet", 5)
		s.kubernetes.catchUp()
		s.pass("in view", 5)
		s.queue("linux", 1)
		s.pass("one more", 6)

		// An agent takes a request, and leaves its Job draining.
		agent := s.kubernetes.made[0]
		for _, job := range s.kubernetes.made {
			if job.ScaledJob == "windows" {
				agent = job
			}
		}
		if _, err := s.azure.AddAgent("windows", adotest.Agent{Name: agent.Name + "-22222"}); err != nil {
			t.Fatal(err)
		}
		if err := s.azure.Assign(ids[0], agent.Name+"-22222"); err != nil {
			t.Fatal(err)
		}
		s.pass("taken", 6)
		if err := s.azure.Finish(ids[0], "succeeded"); err != nil {
			t.Fatal(err)
		}
		s.queue("windows", 1)
		s.pass("a drained Job is useless", 7)
		s.queue("linux", 20)
		s.pass("at the most", 7+10-4)
	})
}

func TestMinimum(t *testing.T) {
	inBubble(t, func(s *settings) {
		s.pools, s.min, s.minIdle = s.pools[:1], 2, 1
	}, func(_ *testing.T, s *site) {
		s.pass("at least two", 2)
		s.pass("and not two more", 2)
		s.queue("linux", 2)
		s.pass("one more is to be idle", 3)
	})
}

func TestParallelJobs(t *testing.T) {
	inBubble(t, func(s *settings) { s.cap = true }, func(_ *testing.T, s *site) {
		s.queue("linux", 9)
		s.pass("as many as can run", 4)
	})
}

// TestFailures has Azure DevOps and then Kubernetes fail: that is reported, not in
// every pass, and the Jobs are made when it is over.
func TestFailures(t *testing.T) {
	inBubble(t, func(s *settings) { s.pools = s.pools[:1] }, func(t *testing.T, s *site) {
		s.azure.Inject(adotest.Fault{Operation: adotest.OpPools, Status: 401})
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			s.Run(ctx)
		}()
		reported := func(step, message, part string, want int) {
			t.Helper()
			synctest.Wait()
			times := 0
			for _, log := range s.logs.TakeAll() {
				if log.Message != message {
					continue
				}
				times++
				if text := fmt.Sprint(log.ContextMap()); !strings.Contains(text, part) {
					t.Errorf("%s: reported %q, want %q", step, text, part)
				}
			}
			if times != want {
				t.Errorf("%s: reported %d times, want %d", step, times, want)
			}
		}
		const failed = "serving a pool failed; retried automatically"
		time.Sleep(30 * time.Second)
		reported("refused", failed, "check that the token is valid", 1)
		s.azure.ClearFaults()
		time.Sleep(10 * time.Second)
		reported("accepted", "working again", "", 1)

		s.kubernetes.refuse(errors.New("exceeded quota"))
		s.queue("linux", 2)
		time.Sleep(30 * time.Second)
		reported("no quota", failed, `create a Job for pool "linux": exceeded quota`, 1)
		time.Sleep(2 * time.Minute)
		reported("still none", failed, "exceeded quota", 2)
		s.kubernetes.refuse(nil)
		time.Sleep(2 * time.Second)
		reported("there is", "created Jobs", "linux", 1)
		if n := s.kubernetes.count(); n != 2 {
			t.Errorf("%d Jobs, want 2", n)
		}
		cancel()
		<-ended
	})
}

// TestASlowPoolHoldsUpNoOther has Azure DevOps take its time for one of two pools.
func TestASlowPoolHoldsUpNoOther(t *testing.T) {
	inBubble(t, unchanged, func(t *testing.T, s *site) {
		s.pass("nothing queued", 0)
		id := 0
		for _, call := range s.azure.Calls() {
			id = max(id, call.PoolID) // the one that was added last
		}
		s.azure.Inject(adotest.Fault{PoolID: id, Delay: 8 * time.Second})
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			s.Run(ctx)
		}()
		time.Sleep(2 * time.Second) // the slow pool is being asked about
		s.queue("linux", 2)
		time.Sleep(3 * time.Second)
		if n := s.kubernetes.count(); n != 2 {
			t.Errorf("%d Jobs while another pool is slow, want 2", n)
		}
		cancel()
		<-ended
	})
}
