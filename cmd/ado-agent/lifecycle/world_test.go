package lifecycle_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
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

// agent does over the stand-in's API what Microsoft's run --once does: it opens
// a session, takes one job and ends.
type agent struct {
	w       *world
	working chan struct{}
	exited  chan struct{}

	interrupted, killed context.Context
	interrupt, kill     context.CancelFunc
	code                int
	crash               time.Duration // into the job, 0: never
	deaf                bool          // does not heed Interrupt
	silent              bool          // never gets to hear of its job
	quits               bool          // ends at once, with code
}

func newAgent(w *world) *agent {
	a := &agent{w: w, working: make(chan struct{}), exited: make(chan struct{})}
	a.killed, a.kill = context.WithCancel(context.Background())
	a.interrupted, a.interrupt = context.WithCancel(a.killed)
	return a
}

func (a *agent) Working() <-chan struct{} { return a.working }
func (a *agent) Exited() <-chan struct{}  { return a.exited }
func (a *agent) ExitCode() int            { return a.code }

func (a *agent) Interrupt() error {
	if !a.deaf {
		a.interrupt()
	}
	return nil
}

func (a *agent) Kill() error {
	a.kill()
	return nil
}

// run is the agent's process.
func (a *agent) run() {
	defer close(a.exited)
	switch {
	case a.quits:
		return
	case a.silent:
		if err := a.w.ado.SetAgentOnline("linux", podName, true); err != nil {
			panic(err)
		}
		<-a.interrupted.Done()
		return
	}
	var session struct{ SessionID string }
	a.ask(a.killed, "POST", "sessions", fmt.Sprintf(`{"ownerName":"test","agent":{"id":%d}}`, a.w.id), &session)
	last := int64(0)
	for a.interrupted.Err() == nil {
		var message struct {
			MessageID         int64
			MessageType, Body string
		}
		status := a.ask(a.interrupted, "GET", fmt.Sprintf("messages?sessionId=%s&lastMessageId=%d", session.SessionID, last), "", &message)
		if status == http.StatusNotFound { // it was removed
			a.code = 1
			return
		}
		if status != http.StatusOK {
			continue
		}
		last = message.MessageID
		a.ask(a.killed, "DELETE", fmt.Sprintf("messages/%d?sessionId=%s", last, session.SessionID), "", nil)
		if strings.Contains(message.MessageType, "JobRequest") {
			a.job(session.SessionID, message.Body)
			break
		}
	}
	if a.killed.Err() == nil && a.code == 0 {
		a.ask(a.killed, "DELETE", "sessions/"+session.SessionID, "", nil)
	}
}

func (a *agent) job(session, body string) {
	close(a.working)
	var job struct {
		RequestID, DurationMilliseconds int64
		LockToken, Result               string
	}
	if err := json.Unmarshal([]byte(body), &job); err != nil {
		panic(err)
	}
	cancelled, cancel := context.WithCancel(a.interrupted)
	defer cancel()
	go func() { // a cancellation is the only message that can come
		if a.ask(cancelled, "GET", "messages?lastMessageId=0&sessionId="+session, "", nil) == http.StatusOK {
			cancel()
		}
	}()
	var crash <-chan time.Time
	if a.crash > 0 {
		crash = time.After(a.crash)
	}
	select {
	case <-time.After(time.Duration(job.DurationMilliseconds) * time.Millisecond):
	case <-cancelled.Done():
		job.Result = "canceled"
	case <-crash:
		a.code = 134
		return
	}
	if a.killed.Err() == nil {
		a.ask(a.killed, "DELETE", fmt.Sprintf("jobrequests/%d?lockToken=%s&result=%s&agentShuttingDown=true", job.RequestID, job.LockToken, job.Result), "", nil)
	}
}

// ask sends a request of the agent; its connection is good.
func (a *agent) ask(ctx context.Context, method, path, body string, into any) int {
	url := fmt.Sprintf("%s/_apis/distributedtask/pools/%d/%s", a.w.ado.URL(), a.w.pool.ID, path)
	r, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
	if err != nil {
		panic(err)
	}
	r.SetBasicAuth("", "adotest-pat")
	r.Header.Set("Accept", "application/json;api-version=7.1-preview")
	answer, err := a.w.ado.Transport().RoundTrip(r)
	if err != nil {
		return 0
	}
	defer answer.Body.Close()
	if into != nil && answer.StatusCode == http.StatusOK {
		if err := json.NewDecoder(answer.Body).Decode(into); err != nil {
			panic(err)
		}
	}
	return answer.StatusCode
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
