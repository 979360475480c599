package housekeeping_test

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue/adotest"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/housekeeping"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/test/cluster"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/test/controlplane"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/test/workload"
)

const (
	patience = 4 * time.Minute // for 200 agents on two cores
	jobs     = 200
	wave     = 10 // jobs queued at a time
	owner    = "test"
	foreign  = "agent-of-others"
	// restartEvery is long enough for the other replica to become the leader.
	restartEvery = 20 * time.Second
)

// scaledJobs are the capabilities of the ScaledJobs, by name.
var scaledJobs = map[string]string{"container": "docker", "java": "java=17", "learning": "docker,gpu"}

// demands are the demands of the queued jobs.
var demands = [][]string{nil, {"docker"}, {"java"}, {"java -gtVersion 11"}, {"gpu"}, {"docker", "gpu"}}

// pool is a pool that starts empty, with two replicas of the scaler.
type pool struct {
	*cluster.Env
	t        *testing.T
	program  string
	env      []string
	replicas [2]*cluster.Scaler
	ids      []int64
	killed   int
}

// TestPoolStaysFit has 200 jobs with mixed demands on a pool that starts without
// a placeholder, while agents are killed at random and the replicas are
// restarted in turn. In the end only the placeholders remain.
func TestPoolStaysFit(t *testing.T) {
	p := newPool(t)
	if _, err := p.Azure.Queue(cluster.Pool, adotest.Job{Demands: []string{"gpu"}}); err == nil {
		t.Fatal("the pool is not empty")
	}
	p.start()
	p.eventually(p.onlyPlaceholders)
	p.eventually(p.allReported)
	p.rage()
	t.Logf("%d agents killed", p.killed)
	if p.killed < jobs/20 {
		t.Error("too few to show anything")
	}
	abandoned := 0
	for _, id := range p.ids {
		if r, _ := p.Azure.Request(id); r.Result != "succeeded" {
			abandoned++
		}
	}
	if abandoned > p.killed {
		t.Errorf("%d jobs did not succeed, more than agents were killed", abandoned)
	}
	p.eventually(p.onlyPlaceholders)
}

func newPool(t *testing.T) *pool {
	t.Helper()
	programs, err := cluster.Build(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	c, err := cluster.New(t.Context(), controlplane.ForTest(t, controlplane.Options{}), programs)
	if err != nil {
		t.Fatal(err)
	}
	env, err := c.NewEnv(t.Context(), cluster.EnvOptions{Azure: adotest.Options{LockDuration: 5 * time.Second}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = env.Close() })
	if err := env.Azure.RemoveAgent(cluster.Pool, cluster.Placeholder); err != nil {
		t.Fatal(err)
	}
	if _, err := env.Azure.AddAgent(cluster.Pool, adotest.Agent{Name: foreign, Offline: true}); err != nil {
		t.Fatal(err)
	}
	return &pool{Env: env, t: t, program: programs.Scaler}
}

// start starts the replicas, the first of which KEDA polls, and applies the
// ScaledJobs.
func (p *pool) start() {
	p.t.Helper()
	address := controlplane.FreeAddress(p.t)
	p.env = []string{
		"KUBE=on", "LEADER_ELECTION=on", "KUBECONFIG=" + p.Plane.Kubeconfig(), "KUBE_NAMESPACES=" + p.Namespace,
		"ORG_URL=" + p.Azure.URL(), "ORG_PAT=" + cluster.ScalerPAT, "POLLING_DELAY=100", "SCALER_ADDRESS=" + address,
		"PLACEHOLDERS=true", "OFFLINE_AGENTS=true", "OFFLINE_AFTER=10s", "HOUSEKEEPING_OWNER=" + owner,
	}
	for i := range p.replicas {
		p.restart(i, address)
	}
	p.t.Cleanup(func() {
		for i := range p.replicas {
			p.stop(i)
		}
	})
	for name, capabilities := range scaledJobs {
		p.deploy(workload.ScaledJob{
			Namespace: p.Namespace, Name: name, ScalerAddress: address, OrganizationURL: p.Azure.URL(), Pool: cluster.Pool,
			Metadata: map[string]string{"capabilities": capabilities}, MaxReplicas: 8,
			Env: map[string]string{"AZP_CAPABILITIES": capabilities, "AZP_IDLE_TIMEOUT": "10s"},
		})
	}
}

// restart starts a replica, after stopping it if it runs.
func (p *pool) restart(i int, address string) {
	p.t.Helper()
	p.stop(i)
	env := p.env
	if i == 0 {
		env = append(slices.Clone(env), "GRPC_ADDR="+address)
	}
	var err error
	if p.replicas[i], err = cluster.StartScaler(p.program, env, io.Discard); err != nil {
		p.t.Fatal(err)
	}
}

func (p *pool) stop(i int) {
	p.t.Helper()
	if p.replicas[i] == nil {
		return
	}
	if err := p.replicas[i].Stop(); err != nil {
		p.t.Errorf("a replica ended with %v", err)
	}
}

func (p *pool) deploy(job workload.ScaledJob) {
	p.t.Helper()
	if err := p.Apply(p.t.Context(), job); err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { // its agents unregister before the organization stops
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		_ = p.Delete(ctx, job.Name)
	})
}

func parse(t *testing.T, list string) adoqueue.Capabilities {
	t.Helper()
	capabilities, err := adoqueue.ParseCapabilities(list)
	if err != nil {
		t.Fatal(err)
	}
	return capabilities
}

// rage queues jobs, kills agents and restarts replicas until all jobs have ended.
func (p *pool) rage() {
	p.t.Helper()
	next := 0 // replica to restart
	var nextWave time.Time
	nextRestart := time.Now().Add(restartEvery)
	p.eventually(func() string {
		now := time.Now()
		if len(p.ids) < jobs && now.After(nextWave) {
			nextWave = now.Add(3 * time.Second)
			p.queue()
		}
		if now.After(nextRestart) {
			nextRestart = now.Add(restartEvery)
			p.restart(next, p.replicas[0].Addr)
			next = 1 - next
		}
		if rand.IntN(40) == 0 {
			p.kill()
		}
		for _, id := range p.ids {
			if r, _ := p.Azure.Request(id); r.State != adotest.Finished {
				return fmt.Sprintf("request %d, which demands %v, is %s on %q", id, r.Job.Demands, r.State, r.Agent)
			}
		}
		if len(p.ids) < jobs {
			return fmt.Sprintf("%d of %d jobs are queued", len(p.ids), jobs)
		}
		return ""
	})
}

// queue queues a wave of jobs. Azure DevOps refuses a job that no agent matches.
func (p *pool) queue() {
	p.t.Helper()
	for range wave {
		job := adotest.Job{Demands: demands[rand.IntN(len(demands))], Duration: time.Second + time.Duration(rand.IntN(3000))*time.Millisecond}
		id, err := p.Azure.Queue(cluster.Pool, job)
		if err != nil {
			p.t.Fatal(err)
		}
		p.ids = append(p.ids, id)
	}
}

// kill kills the processes of a random agent, whether it runs a job or not.
func (p *pool) kill() {
	var registered []string
	for _, agent := range p.Azure.Agents(cluster.Pool) {
		if !agent.Offline {
			registered = append(registered, agent.Name)
		}
	}
	if len(registered) > 0 && p.Kubelet.Kill(p.Namespace, registered[rand.IntN(len(registered))]) == nil {
		p.killed++
	}
}

// onlyPlaceholders returns "" if exactly the placeholders are in the pool.
func (p *pool) onlyPlaceholders() (problem string) {
	want, got := []string{foreign}, []string{}
	for _, capabilities := range scaledJobs {
		want = append(want, housekeeping.PlaceholderName(owner, parse(p.t, capabilities)))
	}
	for _, agent := range p.Azure.Agents(cluster.Pool) {
		got = append(got, agent.Name)
	}
	slices.Sort(want)
	slices.Sort(got)
	if slices.Equal(got, want) {
		return ""
	}
	return "the pool has " + strings.Join(got, ", ")
}

// allReported returns "" if every ScaledJob has an event about its placeholder.
func (p *pool) allReported() (problem string) {
	for name := range scaledJobs {
		list, err := p.Kube.CoreV1().Events(p.Namespace).List(p.t.Context(), metav1.ListOptions{
			FieldSelector: "reason=PlaceholderAdded,involvedObject.kind=ScaledJob,involvedObject.name=" + name,
		})
		if err != nil {
			return err.Error()
		}
		if len(list.Items) == 0 {
			return "no event on " + name
		}
	}
	return ""
}

// eventually waits until check returns no problem.
func (p *pool) eventually(check func() (problem string)) {
	p.t.Helper()
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
			p.t.Fatalf("after %v: %s", patience, problem)
		}
	}
}
