package e2e_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue/adotest"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/test/cluster"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/test/controlplane"
)

const (
	chaosJobs = 200
	chaosWave = 10 // jobs queued at a time
)

// chaos is 200 jobs, a third of them cancelled at random moments, while agents
// are evicted or killed.
type chaos struct {
	*env
	random *rand.Rand

	ids       []int64
	cancelAt  map[int64]time.Time
	cancelled map[int64]bool
	killed    map[string]bool // agents whose pods got SIGKILL
	crashed   map[string]bool // agents whose container alone got it
	evicted   int
	isolated  bool
}

// TestChaos wants each job to be run but those that were cancelled or whose
// agent was killed, and nothing left in the pool but killed agents.
func TestChaos(t *testing.T) { unleash(t, false) }

// TestChaosIsolated does the same with the credential in a sidecar. It also kills
// the agents' containers alone, as happens where memory is short: of these nothing
// stays, since the sidecar lives.
func TestChaosIsolated(t *testing.T) { unleash(t, true) }

func unleash(t *testing.T, isolated bool) {
	t.Helper()
	notInShort(t)
	t.Parallel()
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	c := &chaos{
		env:      newEnv(t, startCluster(t, controlplane.Options{}), cluster.EnvOptions{Azure: adotest.Options{LockDuration: 10 * time.Second}}),
		random:   rand.New(rand.NewPCG(seed, 0)),
		cancelAt: map[int64]time.Time{}, cancelled: map[int64]bool{}, killed: map[string]bool{},
		crashed: map[string]bool{}, isolated: isolated,
	}
	job := c.scaledJob()
	job.MaxReplicas = 25
	job.Env = map[string]string{"AZP_IDLE_TIMEOUT": "5s"}
	if isolated {
		// Azure DevOps keeps an agent whose job was lost for as long as the lock.
		job.Isolated, job.GracePeriod, job.Env["AZP_LEAVE_TIMEOUT"] = true, 40*time.Second, "20s"
	}
	c.deploy(job)
	c.rage()
	t.Logf("%d jobs cancelled, %d agents killed, %d containers killed, %d evicted", len(c.cancelled), len(c.killed), len(c.crashed), c.evicted)
	if len(c.cancelled) < chaosJobs/6 || len(c.killed) == 0 || c.evicted == 0 || isolated && len(c.crashed) == 0 {
		t.Error("it was not random enough to show anything")
	}
	c.account()
}

// rage goes on until all jobs have been queued and have ended.
func (c *chaos) rage() {
	c.t.Helper()
	wave := time.Now()
	c.eventually(func() string {
		now := time.Now()
		if len(c.ids) < chaosJobs && now.After(wave) {
			wave = now.Add(2 * time.Second)
			for _, id := range c.queue(chaosWave, time.Second+c.randomly(3*time.Second)) {
				c.ids = append(c.ids, id)
				if c.random.IntN(5) < 4 { // on a busy machine most of them end before they are cancelled
					c.cancelAt[id] = now.Add(c.randomly(8 * time.Second))
				}
			}
		}
		c.cancelDue(now)
		if c.random.IntN(25) == 0 {
			c.strike()
		}
		for _, id := range c.ids {
			if r, _ := c.Azure.Request(id); r.State != adotest.Finished {
				return fmt.Sprintf("request %d is %s on %q", id, r.State, r.Agent)
			}
		}
		if len(c.ids) < chaosJobs {
			return fmt.Sprintf("%d of %d jobs are queued", len(c.ids), chaosJobs)
		}
		return ""
	})
}

func (c *chaos) randomly(most time.Duration) time.Duration {
	return time.Duration(c.random.Int64N(int64(most)))
}

func (c *chaos) cancelDue(now time.Time) {
	c.t.Helper()
	for id, at := range c.cancelAt {
		if now.Before(at) {
			continue
		}
		delete(c.cancelAt, id)
		if r, _ := c.Azure.Request(id); r.State == adotest.Finished {
			continue
		}
		if err := c.Azure.Cancel(id); err == nil { // else it has just ended
			c.cancelled[id] = true
		}
	}
}

// strike kills an agent, or evicts it as a node that is drained does.
func (c *chaos) strike() {
	c.t.Helper()
	pods := c.Kube.CoreV1().Pods(c.Namespace)
	list, err := pods.List(c.t.Context(), metav1.ListOptions{})
	if err != nil {
		c.t.Fatal(err)
	}
	running := slices.DeleteFunc(list.Items, func(pod corev1.Pod) bool {
		return pod.Status.Phase != corev1.PodRunning || pod.DeletionTimestamp != nil
	})
	if len(running) == 0 {
		return
	}
	victim := running[c.random.IntN(len(running))].Name
	if c.isolated && c.random.IntN(3) == 0 {
		if err := c.Kubelet.KillContainer(c.Namespace, victim, "agent"); err == nil {
			c.crashed[victim] = true
		}
		return
	}
	if c.random.IntN(2) == 0 {
		if err := c.Kubelet.Kill(c.Namespace, victim); err == nil { // else it has just ended
			c.killed[victim] = true
		}
		return
	}
	if err := pods.Delete(c.t.Context(), victim, metav1.DeleteOptions{}); err == nil {
		c.evicted++
	}
}

// account looks at what has become of each job and each agent.
func (c *chaos) account() {
	c.t.Helper()
	for _, id := range c.ids {
		r, _ := c.Azure.Request(id)
		if r.Result != "succeeded" && !c.cancelled[id] && !c.killed[r.Agent] && !c.crashed[r.Agent] {
			c.t.Errorf("request %d was lost: %+v", id, r)
		}
	}
	c.eventually(func() string {
		for _, agent := range c.Azure.Agents(cluster.Pool) {
			if strings.HasPrefix(agent.Name, "build-") && !c.killed[agent.Name] {
				return "agent " + agent.Name + " is in the pool"
			}
		}
		return ""
	})
}
