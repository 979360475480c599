package lifecycle_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue/adotest"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/cmd/ado-agent/lifecycle"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/cmd/ado-agent/pair"
)

const podName = "pod-1"

// world is a stand-in of Azure DevOps with one agent in it, in a synctest bubble.
type world struct {
	t     *testing.T
	ado   *adotest.Server
	pool  adoqueue.Pool
	id    int
	agent *agent
	life  *lifecycle.Life
	end   context.CancelFunc // what SIGTERM does
	hurry chan struct{}

	result lifecycle.Result
	marks  int // calls of OnJob
	done   chan struct{}

	net *network

	// With two containers: the keeper, and how the runner's container ends.
	keeper    *pair.Keeper
	runnerEnd *pair.End
	ended     chan struct{}
	part      func()
}

// newWorld starts an agent's life, with an agent that is changed as given.
func newWorld(t *testing.T, through *network, limits lifecycle.Limits, change ...func(*agent)) *world {
	t.Helper()
	return startWorld(t, through, limits, oneContainer, change...)
}

// containers says how an agent's process and what takes it through its life get
// together: it returns the process, and a context that ends once it is asked to.
type containers func(stopping context.Context, w *world) (lifecycle.Process, context.Context)

func oneContainer(stopping context.Context, w *world) (lifecycle.Process, context.Context) {
	return w.agent, stopping
}

// twoContainers has the agent in a separate container, which is asked to end, and
// whose messages take their time.
func twoContainers(stopping context.Context, w *world) (lifecycle.Process, context.Context) {
	keeper, runner := pair.NewKeeper(), pair.NewRunner(true)
	one, other := net.Pipe()
	var serving sync.WaitGroup
	serving.Go(func() { _ = keeper.Serve(slow{one, w.net.latency}) })
	serving.Go(func() { _ = runner.Serve(slow{other, w.net.latency}) })
	w.keeper, w.ended = keeper, make(chan struct{})
	go func() {
		defer close(w.ended)
		w.runnerEnd = runner.Attend(w.agent, stopping.Done(), pair.Patience{Stopping: time.Hour, Leave: time.Hour})
	}()
	ctx, cancel := context.WithCancel(w.t.Context())
	go func() {
		select {
		case <-keeper.Stopping():
			cancel()
		case <-ctx.Done():
		}
	}()
	w.part = func() {
		one.Close()
		other.Close()
		cancel()
		serving.Wait()
	}
	return keeper, ctx
}

// slow is a connection whose messages take their time.
type slow struct {
	net.Conn
	latency func() time.Duration
}

func (s slow) Write(b []byte) (int, error) {
	if s.latency != nil {
		time.Sleep(s.latency())
	}
	return s.Conn.Write(b)
}

func startWorld(t *testing.T, through *network, limits lifecycle.Limits, by containers, change ...func(*agent)) *world {
	t.Helper()
	ado := adotest.New(adotest.Options{
		AutoAssign: true, AllowUnmatched: true,
		LockDuration: 48 * time.Hour, // the agent of these tests renews none
	})
	w := &world{t: t, ado: ado, net: through, hurry: make(chan struct{}), done: make(chan struct{})}
	w.pool = adoqueue.Pool{ID: ado.AddPool(adotest.Pool{Name: "linux"}), Name: "linux"}
	id, err := ado.AddAgent("linux", adotest.Agent{Name: podName, Offline: true})
	if err != nil {
		t.Fatal(err)
	}
	w.id, through.ado = id, ado
	organization, err := adoqueue.ParseOrganizationURL(ado.URL())
	if err != nil {
		t.Fatal(err)
	}
	client, err := adoqueue.NewClient(organization, adoqueue.PAT("adotest-pat"), adoqueue.Options{HTTPClient: through})
	if err != nil {
		t.Fatal(err)
	}
	w.agent = newAgent(w)
	for _, c := range change {
		c(w.agent)
	}
	go w.agent.run()
	ctx, cancel := context.WithCancel(t.Context())
	w.end = cancel
	process, stopping := by(ctx, w)
	w.life = &lifecycle.Life{
		Registry: client, Pool: w.pool, AgentID: id, Process: process, Limits: limits,
		Hurry: w.hurry, OnJob: func() { w.marks++ }, Log: zap.NewNop(),
	}
	go func() {
		defer close(w.done)
		w.result = w.life.Run(stopping)
	}()
	return w
}

// finish waits for the life's end, in the bubble's time.
func (w *world) finish(within time.Duration) lifecycle.Result {
	w.t.Helper()
	select {
	case <-w.done:
	case <-time.After(within):
		w.t.Errorf("it does not end within %v", within)
		_ = w.agent.Kill()
		w.end()
		<-w.done
	}
	if w.keeper != nil {
		w.keeper.End(pair.End{Code: 7})
		<-w.ended
		if w.runnerEnd == nil || w.runnerEnd.Code != 7 {
			w.t.Errorf("the runner ends by %+v", w.runnerEnd)
		}
		w.part()
	}
	w.end()
	if err := w.ado.Close(); err != nil {
		w.t.Error(err)
	}
	return w.result
}

func (w *world) queue(job adotest.Job) int64 {
	w.t.Helper()
	id, err := w.ado.Queue("linux", job)
	if err != nil {
		w.t.Fatal(err)
	}
	return id
}

// network is what the launcher reaches the stand-in through: slow, and losing
// requests and answers.
type network struct {
	latency func() time.Duration // each way; nil: none
	lost    func() bool          // a request or an answer; nil: none

	ado     *adotest.Server
	mu      sync.Mutex
	arrives func(*http.Request) // may be nil
	log     []string            // method and body of what changed the agent
}

// onArrival has arrives called for each request before the stand-in gets it.
func (n *network) onArrival(arrives func(*http.Request)) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.arrives = arrives
}

func (n *network) Do(r *http.Request) (*http.Response, error) {
	if err := n.travel(r.Context()); err != nil {
		return nil, err
	}
	if r.Method != http.MethodGet {
		body := ""
		if r.Body != nil {
			content, err := io.ReadAll(r.Body)
			if err != nil {
				return nil, err
			}
			body = string(content)
			r.Body = io.NopCloser(bytes.NewReader(content))
		}
		n.mu.Lock()
		n.log = append(n.log, r.Method+" "+body)
		n.mu.Unlock()
	}
	n.mu.Lock()
	arrives := n.arrives
	n.mu.Unlock()
	if arrives != nil {
		arrives(r)
	}
	answer, err := n.ado.Transport().RoundTrip(r)
	if err != nil {
		return nil, err
	}
	return answer, n.travel(r.Context())
}

func (n *network) travel(ctx context.Context) error {
	if n.latency != nil {
		select {
		case <-time.After(n.latency()):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if n.lost != nil && n.lost() {
		return errors.New("connection reset by peer")
	}
	return nil
}

func (n *network) calls() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.log
}

// chance is a source of accidents that many goroutines may ask.
type chance struct {
	mu   sync.Mutex
	rand *rand.Rand
}

func newChance(seed uint64) *chance { return &chance{rand: rand.New(rand.NewPCG(seed, 6))} }

func (c *chance) upTo(d time.Duration) time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Duration(c.rand.Int64N(int64(d)))
}

func (c *chance) oneIn(n int) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.rand.IntN(n) == 0
}
