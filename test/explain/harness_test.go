package explain_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue/adotest"
	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/klog/v2"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/test/cluster"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/test/controlplane"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/test/workload"
)

// patience bounds each wait, on a machine that does much else.
const patience = 3 * time.Minute

func TestMain(m *testing.M) {
	klog.SetLogger(logr.Discard())
	os.Exit(m.Run())
}

// newBench returns a control plane with KEDA, and the path of our program.
func newBench(t *testing.T) (c *cluster.Cluster, program string) {
	t.Helper()
	programs, err := cluster.Build(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	c, err = cluster.New(t.Context(), controlplane.ForTest(t, controlplane.Options{}), programs)
	if err != nil {
		t.Fatal(err)
	}
	return c, programs.Scaler
}

// place is one case's part of the cluster: a namespace, an organization and a scaler.
type place struct {
	*cluster.Env
	t       *testing.T
	program string
	scaler  *cluster.Scaler
	log     logs
}

// logs are written by the scaler's reader and read by the test.
type logs struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logs) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logs) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// settings of a case.
type settings struct {
	plan   cluster.PlanFunc
	azure  adotest.Options
	scaler []string      // environment
	poll   time.Duration // KEDA's, by default a second
	job    func(*workload.ScaledJob)
}

func newPlace(t *testing.T, c *cluster.Cluster, program string, s settings) *place {
	t.Helper()
	env, err := c.NewEnv(t.Context(), cluster.EnvOptions{Azure: s.azure, Plan: s.plan, Capabilities: map[string]string{"docker": "true"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = env.Close() })
	p := &place{Env: env, t: t, program: program}
	pat := filepath.Join(t.TempDir(), "pat")
	p.must(os.WriteFile(pat, []byte(cluster.ScalerPAT), 0o600))
	p.scaler, err = cluster.StartScaler(program, append([]string{
		"KUBE=on", "KUBECONFIG=" + c.Plane.Kubeconfig(), "KUBE_NAMESPACES=" + env.Namespace, "ORG_URL=" + env.Azure.URL(), "ORG_PAT_FILE=" + pat,
		"POLLING_DELAY=500", "STALE_FOR=5s", "LEADER_ELECTION=off",
	}, s.scaler...), &p.log)
	p.must(err)
	t.Cleanup(func() {
		if err := p.scaler.Stop(); err != nil || t.Failed() {
			t.Logf("%v: %s", err, &p.log)
		}
	})
	job := workload.ScaledJob{
		Namespace: p.Namespace, Name: "build", ScalerAddress: p.scaler.Addr, OrganizationURL: p.Azure.URL(), Pool: cluster.Pool,
		Metadata: map[string]string{"capabilities": "docker"}, PollingInterval: s.poll,
	}
	if s.job != nil {
		s.job(&job)
	}
	p.must(p.Apply(t.Context(), job))
	return p
}

func (p *place) must(err error) {
	p.t.Helper()
	if err != nil {
		p.t.Fatal(err)
	}
}

// queue queues a job that demands these capabilities.
func (p *place) queue(demands ...string) int64 {
	p.t.Helper()
	id, err := p.Azure.Queue(cluster.Pool, adotest.Job{Demands: demands, NoVersionDemand: true, SkipMatch: true})
	p.must(err)
	return id
}

// quota sets a quota that counts as exhausted, which takes a controller in other
// clusters.
func (p *place) quota(name corev1.ResourceName) {
	p.t.Helper()
	none := corev1.ResourceList{name: resource.MustParse("0")}
	quotas := p.Kube.CoreV1().ResourceQuotas(p.Namespace)
	quota, err := quotas.Create(p.t.Context(), &corev1.ResourceQuota{
		ObjectMeta: metav1.ObjectMeta{Name: "none"}, Spec: corev1.ResourceQuotaSpec{Hard: none},
	}, metav1.CreateOptions{})
	p.must(err)
	quota.Status = corev1.ResourceQuotaStatus{Hard: none, Used: none}
	_, err = quotas.UpdateStatus(p.t.Context(), quota, metav1.UpdateOptions{})
	p.must(err)
}

// polledSteadily waits until KEDA has polled, and not again at once, as it does when it
// reconciles a new ScaledJob for the second time.
func (p *place) polledSteadily() {
	p.t.Helper()
	last, since := 0, time.Now()
	p.eventually(func() string {
		polls, err := p.scaler.Polls(p.t.Context())
		p.must(err)
		if polls != last {
			last, since = polls, time.Now()
		}
		if polls == 0 || time.Since(since) < 2*time.Second {
			return fmt.Sprintf("KEDA has polled %d times", polls)
		}
		return ""
	})
}

// eventually waits until a check returns "".
func (p *place) eventually(check func() string) {
	p.t.Helper()
	deadline := time.Now().Add(patience)
	for {
		wrong := check()
		if wrong == "" {
			return
		}
		if time.Now().After(deadline) {
			p.t.Fatal(wrong)
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-p.t.Context().Done():
		}
	}
}

// report is what explain prints with -o json, as far as it is compared.
type report struct {
	Pools []struct {
		Broken     *broken
		ScaledJobs []struct{ Broken *broken }
		Requests   []struct {
			ID       int64
			Progress string
			Pipeline string
			Run      string
			RunID    int64
			URL      string
			Job      string
			Agent    string
			Broken   *broken
			Chain    []struct {
				Step, Status string
				At           time.Time
			}
		}
	}
}

type broken struct{ Code, Sentence, Fix string }

// explain runs the command as a process.
func (p *place) explain(args ...string) (r report, code int) {
	p.t.Helper()
	out, code := p.run(append([]string{"--address", p.scaler.HTTPAddr, "-o", "json"}, args...), nil)
	p.must(json.Unmarshal([]byte(out), &r))
	return r, code
}

func (p *place) run(args, env []string) (out string, code int) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.t.Context(), patience)
	defer cancel()
	command := exec.CommandContext(ctx, p.program, append([]string{"explain"}, args...)...)
	command.Env = env
	var stderr bytes.Buffer
	command.Stderr = &stderr
	printed, err := command.Output()
	if exit := (&exec.ExitError{}); err != nil && !errors.As(err, &exit) {
		p.t.Fatal(err)
	}
	if strings.Contains(string(printed)+stderr.String(), cluster.ScalerPAT) || strings.Contains(string(printed), cluster.AgentsPAT) {
		p.t.Errorf("a token shows in %s%s", printed, &stderr)
	}
	if command.ProcessState.ExitCode() == 1 {
		p.t.Fatalf("explain %v: %s", args, &stderr)
	}
	return string(printed), command.ProcessState.ExitCode()
}

// held leaves pods pending until the test ends.
func held(t *testing.T) cluster.PlanFunc {
	hold := make(chan struct{})
	t.Cleanup(func() { close(hold) })
	return func(*corev1.Pod) controlplane.Plan { return controlplane.Plan{Hold: hold} }
}

// exits ends each container with a code.
func exits(code int) cluster.PlanFunc {
	return func(*corev1.Pod) controlplane.Plan {
		return controlplane.Plan{Run: func(context.Context, controlplane.Container) int { return code }}
	}
}
