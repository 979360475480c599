package e2e_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue/adotest"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/test/controlplane"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/test/workload"
)

// patience bounds each wait. On two busy cores fifty agents take a minute.
const patience = 3 * time.Minute

// scalerProgram is our binary, built once as a user would.
var scalerProgram = sync.OnceValues(func() (string, error) {
	path := filepath.Join(programDir, "ado-agent-orchestrator")
	build := exec.Command("go", "build", "-C", "../..", "-o", path, "./cmd/ado-agent-orchestrator")
	if output, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w: %s", err, output)
	}
	return path, nil
})

var programDir string

func TestMain(m *testing.M) { os.Exit(withProgramDir(m)) }

func withProgramDir(m *testing.M) int {
	dir, err := os.MkdirTemp("", "ado-agent-orchestrator-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	programDir = dir
	return m.Run()
}

// bench is a Kubernetes with KEDA, and an Azure DevOps.
type bench struct {
	plane   *controlplane.ControlPlane
	kubelet *controlplane.Kubelet
	kube    kubernetes.Interface
	dynamic dynamic.Interface

	mu    sync.Mutex
	plans map[string]func(*corev1.Pod) controlplane.Plan // by namespace
}

func startBench(t *testing.T) *bench {
	t.Helper()
	b := &bench{plane: controlplane.ForTest(t, controlplane.Options{}), plans: map[string]func(*corev1.Pod) controlplane.Plan{}}
	var err error
	if b.kube, err = kubernetes.NewForConfig(b.plane.Config()); err != nil {
		t.Fatal(err)
	}
	if b.dynamic, err = dynamic.NewForConfig(b.plane.Config()); err != nil {
		t.Fatal(err)
	}
	b.kubelet = controlplane.KubeletForTest(t, b.plane, controlplane.KubeletOptions{Plan: b.plan})
	return b
}

func (b *bench) plan(pod *corev1.Pod) controlplane.Plan {
	b.mu.Lock()
	plan := b.plans[pod.Namespace]
	b.mu.Unlock()
	if plan == nil {
		return controlplane.Plan{}
	}
	return plan(pod)
}

// site is one test's part of a bench: a namespace, an organization with the pool
// "linux", and a scaler.
type site struct {
	*bench
	t         *testing.T
	namespace string
	ado       *adotest.Server
	patFile   string
	scaler    *scaler
}

const (
	scalerPAT = "token-of-the-scaler"
	agentsPAT = "token-of-the-agents"
)

type siteOptions struct {
	ado  adotest.Options
	plan func(*corev1.Pod) controlplane.Plan
	env  []string // of the scaler
}

// newSite makes a site in a namespace of its own.
func newSite(t *testing.T, b *bench, options siteOptions) *site {
	t.Helper()
	options.ado.PAT, options.ado.AutoAssign = scalerPAT, true
	s := &site{bench: b, t: t, ado: adotest.Serve(t, options.ado), patFile: filepath.Join(t.TempDir(), "pat")}
	s.ado.AllowPAT(agentsPAT, adotest.ScopeManage)
	s.ado.AddPool(adotest.Pool{Name: "linux"})
	// Azure DevOps fails a job at once if no registered agent could run it.
	if _, err := s.ado.AddAgent("linux", adotest.Agent{Name: "placeholder", Offline: true}); err != nil {
		t.Fatal(err)
	}
	s.writePAT(scalerPAT)

	namespace, err := b.kube.CoreV1().Namespaces().Create(t.Context(),
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "site-"}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	s.namespace = namespace.Name
	b.mu.Lock()
	b.plans[s.namespace] = options.plan
	b.mu.Unlock()
	s.createSecret(workload.TokenSecret, map[string]string{"token": agentsPAT})
	s.scaler = startScaler(t, "127.0.0.1:0", append(options.env, "ORG_URL="+s.ado.URL(), "ORG_PAT_FILE="+s.patFile))
	return s
}

func (s *site) writePAT(pat string) {
	s.t.Helper()
	if err := os.WriteFile(s.patFile, []byte(pat+"\n"), 0o600); err != nil {
		s.t.Fatal(err)
	}
}

func (s *site) createSecret(name string, data map[string]string) {
	s.t.Helper()
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: name}, StringData: data}
	if _, err := s.kube.CoreV1().Secrets(s.namespace).Create(s.t.Context(), secret, metav1.CreateOptions{}); err != nil {
		s.t.Fatal(err)
	}
}

// scaledJob is a ScaledJob "build" with our trigger, as a user would write it.
func (s *site) scaledJob() workload.ScaledJob {
	return workload.ScaledJob{
		Namespace: s.namespace, Name: "build", ScalerAddress: s.scaler.grpcAddr,
		OrganizationURL: s.ado.URL(), Pool: "linux",
	}
}

// deploy applies a ScaledJob and waits until KEDA polls it steadily. KEDA
// reconciles a new one twice, and the second time cancels the loop that the first
// has started: what that was creating just then may or may not come to be, and
// the next loop cannot know. Nobody but KEDA can make that exact.
func (s *site) deploy(job workload.ScaledJob) {
	s.t.Helper()
	s.apply(job)
	s.eventually(func() string {
		if condition, _ := workload.Condition(s.read(), "Ready"); condition.Status != metav1.ConditionTrue {
			return fmt.Sprintf("condition Ready is %+v", condition)
		}
		return ""
	})
	s.polledAgain(3)
}

func (s *site) apply(job workload.ScaledJob) {
	s.t.Helper()
	_, err := s.dynamic.Resource(workload.ScaledJobs).Namespace(s.namespace).Apply(s.t.Context(), job.Name, job.Object(),
		metav1.ApplyOptions{FieldManager: "e2e", Force: true})
	if err != nil {
		s.t.Fatal(err)
	}
	// KEDA deletes the Jobs with it, and the kubelet their agents, before the
	// organization and the scaler go.
	s.t.Cleanup(func() {
		foreground := metav1.DeletePropagationForeground
		_ = s.dynamic.Resource(workload.ScaledJobs).Namespace(s.namespace).Delete(context.Background(), job.Name,
			metav1.DeleteOptions{PropagationPolicy: &foreground})
	})
}

// queue queues jobs that run for this long.
func (s *site) queue(n int, duration time.Duration) []int64 {
	s.t.Helper()
	var ids []int64
	for range n {
		id, err := s.ado.Queue("linux", adotest.Job{Duration: duration})
		if err != nil {
			s.t.Fatal(err)
		}
		ids = append(ids, id)
	}
	return ids
}

// eventually waits until check says that all is as it should be; until then it
// tells what is not.
func (s *site) eventually(check func() (problem string)) {
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
func (s *site) jobs() []batchv1.Job {
	s.t.Helper()
	list, err := s.kube.BatchV1().Jobs(s.namespace).List(context.Background(), metav1.ListOptions{})
	if err != nil {
		s.t.Fatal(err)
	}
	return list.Items
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

func (s *site) describeJobs() string {
	counts := map[batchv1.JobConditionType]int{}
	for _, job := range s.jobs() {
		counts[state(&job)]++
	}
	return fmt.Sprintf("%d running, %d complete, %d failed", counts[""], counts[batchv1.JobComplete], counts[batchv1.JobFailed])
}

// served waits until all these requests were run by agents of ours.
func (s *site) served(ids []int64) {
	s.t.Helper()
	s.eventually(func() string {
		for _, id := range ids {
			r, ok := s.ado.Request(id)
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
func (s *site) settled(want int) {
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
	for _, agent := range s.ado.Agents("linux") {
		if agent.Name != "placeholder" {
			s.t.Errorf("agent %s was left in the pool", agent.Name)
		}
	}
}

// polledAgain waits until the scaler has asked Azure DevOps this often from now
// on, which it does only when KEDA asks it.
func (s *site) polledAgain(times int) {
	s.t.Helper()
	begin := s.ado.Count(adotest.OpJobRequests, 0)
	s.eventually(func() string {
		if n := s.ado.Count(adotest.OpJobRequests, 0) - begin; n < times {
			return fmt.Sprintf("KEDA polled %d of %d times", n, times)
		}
		return ""
	})
}

// read gives the ScaledJob "build".
func (s *site) read() *unstructured.Unstructured {
	s.t.Helper()
	object, err := s.dynamic.Resource(workload.ScaledJobs).Namespace(s.namespace).Get(s.t.Context(), "build", metav1.GetOptions{})
	if err != nil {
		s.t.Fatal(err)
	}
	return object
}

// scaler is our program, running as a process.
type scaler struct {
	t        *testing.T
	env      []string
	command  *exec.Cmd
	grpcAddr string
	logged   chan struct{} // closed when the log has been read to its end

	mu  sync.Mutex
	log strings.Builder
}

// startScaler runs `serve`. It is stopped when the test ends, and must then have
// logged no error and exit with 0.
func startScaler(t *testing.T, addr string, env []string) *scaler {
	t.Helper()
	program, err := scalerProgram()
	if err != nil {
		t.Fatal(err)
	}
	s := &scaler{t: t, env: env, command: exec.Command(program, "serve"), logged: make(chan struct{})}
	// A short delay keeps the tests short; users have a second.
	s.command.Env = append([]string{"GRPC_ADDR=" + addr, "HTTP_ADDR=127.0.0.1:0", "KUBE=off", "POLLING_DELAY=100"}, env...)
	s.command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	pipe, err := s.command.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.command.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewReader(pipe)
	first, err := lines.ReadString('\n')
	var serving struct{ Msg, GRPC string }
	if jsonErr := json.Unmarshal([]byte(first), &serving); err != nil || jsonErr != nil || serving.Msg != "serving" {
		t.Fatalf("the scaler did not start: %s (%v)", first, err)
	}
	s.grpcAddr = serving.GRPC
	go s.follow(lines)
	t.Cleanup(s.stop)
	return s
}

func (s *scaler) follow(lines *bufio.Reader) {
	defer close(s.logged)
	for {
		line, err := lines.ReadString('\n')
		s.mu.Lock()
		s.log.WriteString(line)
		s.mu.Unlock()
		if err != nil {
			return
		}
	}
}

// stop ends the process as Kubernetes does.
func (s *scaler) stop() {
	s.t.Helper()
	if s.command.ProcessState != nil {
		return
	}
	if err := s.command.Process.Signal(syscall.SIGTERM); err != nil {
		s.t.Error(err)
	}
	<-s.logged
	err := s.command.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	log := s.log.String()
	if err != nil || strings.Contains(log, `"level":"error"`) || strings.Contains(log, scalerPAT) {
		s.t.Errorf("the scaler ended with %v and logged:\n%s", err, log)
	}
}

