package housekeeping_test

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue/adotest"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/fleet"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/housekeeping"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/plan"
)

const owner = "cluster-1/ado/housekeeping"

// world is an organization with a pool "linux", a cluster, and the events and
// logs of Keepers. It runs in a bubble of testing/synctest.
type world struct {
	t        *testing.T
	ado      *adotest.Server
	settings housekeeping.Settings
	pods     housekeeping.Pods
	held     housekeeping.Held
	jobsAPI  housekeeping.Jobs
	registry *prometheus.Registry
	logs     *observer.ObservedLogs
	logger   *zap.Logger
	token    string
	wrap     func(http.RoundTripper) http.RoundTripper

	mu      sync.Mutex
	members []housekeeping.Member
	jobs    []fleet.Job
	events  []string
}

func newWorld(t *testing.T) *world {
	core, logs := observer.New(zap.InfoLevel)
	w := &world{
		t:    t,
		ado:  adotest.New(adotest.Options{AutoAssign: true, LockDuration: 20 * time.Minute}),
		logs: logs, logger: zap.New(core), token: "adotest-pat",
		settings: housekeeping.Settings{Placeholders: true, OfflineAgents: true},
		wrap:     func(next http.RoundTripper) http.RoundTripper { return next },
	}
	w.ado.AddPool(adotest.Pool{Name: "linux"})
	return w
}

func (w *world) client() *adoqueue.Client {
	w.t.Helper()
	url, err := adoqueue.ParseOrganizationURL(w.ado.URL())
	if err != nil {
		w.t.Fatal(err)
	}
	client, err := adoqueue.NewClient(url, adoqueue.PAT(w.token), adoqueue.Options{
		HTTPClient: &http.Client{Transport: w.wrap(w.ado.Transport())},
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return client
}

// keep runs a Keeper until stop is called, which waits until Run returns.
func (w *world) keep(ctx context.Context) (stop func()) {
	w.t.Helper()
	ctx, cancel := context.WithCancel(ctx)
	w.registry = prometheus.NewRegistry()
	keeper := housekeeping.New(housekeeping.Options{
		Settings: w.settings, Owner: owner, Organizations: map[string]*adoqueue.Client{w.ado.URL(): w.client()},
		Members: w.Members, Cluster: w, Pods: w.pods, Held: w.held, Jobs: w.jobsAPI,
		Metrics: housekeeping.NewMetrics(w.registry), Logger: w.logger,
	})
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		keeper.Run(ctx)
	}()
	return func() {
		cancel()
		<-ended
	}
}

// during runs a Keeper for a time.
func (w *world) during(d time.Duration) {
	w.t.Helper()
	stop := w.keep(w.t.Context())
	pass(d)
	stop()
}

func pass(d time.Duration) {
	time.Sleep(d) // the bubble's clock
	synctest.Wait()
}

func (w *world) Members() []housekeeping.Member {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.members)
}

// serve sets the members, given as alternating names and capabilities.
func (w *world) serve(namesAndCapabilities ...string) {
	w.t.Helper()
	var members []housekeeping.Member
	for i := 0; i < len(namesAndCapabilities); i += 2 {
		members = append(members, w.member(namesAndCapabilities[i], namesAndCapabilities[i+1]))
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.members = members
}

func (w *world) member(name, capabilities string) housekeeping.Member {
	return housekeeping.Member{
		Key: plan.Key{Namespace: "ado", Name: name}, Organization: w.ado.URL(),
		Pool: adoqueue.PoolRef{Name: "linux"}, Capabilities: parse(w.t, capabilities),
	}
}

func parse(t testing.TB, list string) adoqueue.Capabilities {
	t.Helper()
	capabilities, err := adoqueue.ParseCapabilities(list)
	if err != nil {
		t.Fatal(err)
	}
	return capabilities
}

func (w *world) Jobs() []fleet.Job {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.jobs)
}

// job adds a Job to the cluster, or changes it.
func (w *world) job(name string, change func(*fleet.Job)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	i := slices.IndexFunc(w.jobs, func(j fleet.Job) bool { return j.Name == name })
	if i < 0 {
		i = len(w.jobs)
		w.jobs = append(w.jobs, fleet.Job{
			UID: "uid-of-" + name, Namespace: "ado", Name: name, ScaledJob: name[:strings.LastIndexByte(name, '-')], Created: time.Now(),
		})
	}
	if change != nil {
		change(&w.jobs[i])
	}
}

func ended(j *fleet.Job) { j.Ended, j.Failed = time.Now(), true }

// removeJobs removes all Jobs from the cluster.
func (w *world) removeJobs() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.jobs = nil
}

func (w *world) Note(namespace, scaledJob, reason, message string) {
	w.event("Normal", namespace, scaledJob, reason, message)
}

func (w *world) Warn(namespace, scaledJob, reason, message string) {
	w.event("Warning", namespace, scaledJob, reason, message)
}

func (w *world) event(kind, namespace, scaledJob, reason, message string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.events = append(w.events, fmt.Sprintf("%s %s/%s %s: %s", kind, namespace, scaledJob, reason, message))
}

// eventsWith returns the events that contain all of these parts.
func (w *world) eventsWith(parts ...string) (events []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, event := range w.events {
		if !slices.ContainsFunc(parts, func(part string) bool { return !strings.Contains(event, part) }) {
			events = append(events, event)
		}
	}
	return events
}

// wantEvents checks the number of events that contain all of these parts.
func (w *world) wantEvents(n int, parts ...string) {
	w.t.Helper()
	if events := w.eventsWith(parts...); len(events) != n {
		w.t.Errorf("%d events with %q, want %d; of:\n%s", len(events), parts, n, strings.Join(w.eventsWith(), "\n"))
	}
}

// add registers an agent with the stand-in.
func (w *world) add(agent adotest.Agent) {
	w.t.Helper()
	if _, err := w.ado.AddAgent("linux", agent); err != nil {
		w.t.Fatal(err)
	}
}

// placeholder returns the name of our placeholder with these capabilities.
func (w *world) placeholder(capabilities string) string {
	return housekeeping.PlaceholderName(owner, parse(w.t, capabilities))
}

// marks returns the user capabilities of our placeholder.
func (w *world) marks(capabilities string) map[string]string {
	marks := map[string]string{"ADO_AGENT_ORCHESTRATOR_PLACEHOLDER_OF": owner}
	for name, value := range parse(w.t, capabilities) {
		marks[name] = cmp.Or(value, "true")
	}
	return marks
}

// agents returns the names of the agents in the pool, sorted.
func (w *world) agents() []string {
	var names []string
	for _, agent := range w.ado.Agents("linux") {
		names = append(names, agent.Name)
	}
	slices.Sort(names)
	return names
}

func (w *world) wantAgents(names ...string) {
	w.t.Helper()
	slices.Sort(names)
	if got := w.agents(); !slices.Equal(got, names) {
		w.t.Errorf("the pool has\n%q, want\n%q", got, names)
	}
}

// run assigns a job that does not end to the agent that is online.
func (w *world) run() (request int64) {
	w.t.Helper()
	request, err := w.ado.Queue("linux", adotest.Job{})
	if err == nil {
		err = w.ado.Receive(request)
	}
	if err != nil {
		w.t.Fatal(err)
	}
	return request
}

// calls returns the number of requests about agents with a method, either for the
// list of agents or for a single agent.
func (w *world) calls(method string, list bool) int {
	n := 0
	for _, call := range w.ado.Calls() {
		if call.Operation == adotest.OpAgents && call.Method == method && strings.HasSuffix(call.Path, "/agents") == list {
			n++
		}
	}
	return n
}

func (w *world) listings() int { return w.calls(http.MethodGet, true) }

// writes returns the number of attempted changes.
func (w *world) writes() int {
	n := 0
	for _, call := range w.ado.Calls() {
		if call.Operation == adotest.OpAgents && call.Method != http.MethodGet {
			n++
		}
	}
	return n
}

// bubble runs a test in a separate world.
func bubble(t *testing.T, test func(*testing.T, *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { test(t, newWorld(t)) })
}

// roundTripper is a function that implements http.RoundTripper.
type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// drain completes an exchange whose response is not needed.
func drain(response *http.Response) {
	_, _ = io.Copy(io.Discard, response.Body)
	_ = response.Body.Close()
}
