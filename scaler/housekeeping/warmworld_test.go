package housekeeping_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue/adotest"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/engine"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/fleet"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/housekeeping"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/plan"
)

// warmWorld is the pool "linux" with the ScaledJob "build", whose agents wait for
// jobs by a schedule. KEDA, Kubernetes and the launcher are played; the engine, the
// Keeper and their way to Azure DevOps are real. Time is that of a bubble of
// testing/synctest and begins at midnight UTC on 2000-01-01, a Saturday.
type warmWorld struct {
	t      *testing.T
	ado    *adotest.Server
	index  *fleet.Index
	engine *engine.Engine
	build  *fleet.ScaledJob
	random *rand.Rand

	settings    housekeeping.Settings
	idleTimeout time.Duration // of the launcher
	startup     time.Duration // of agents, at most; they take half of it at least
	foreign     bool          // Jobs are not of our launcher
	forbidden   bool          // no Job may be deleted
	// podsOutOfView reports that agents are found by the names of their Jobs.
	podsOutOfView bool

	// mayNotProtect reports that no budget may be written.
	mayNotProtect bool
	warnings      []string

	mu     sync.Mutex
	agents map[string]*playedAgent // by name
	// evictable are the Jobs that the budget leaves out, and budgets is how often it
	// was written.
	evictable []string
	budgets   int
	created   int
	deleted   []string // names of Jobs
	killed    []string // Jobs that were killed with a job
	requests  []int64
}

// playedAgent is the launcher in a Job.
type playedAgent struct {
	job    fleet.Job
	online time.Time // when it comes
	there  bool
	told   bool // to end: its Job was deleted
	worked bool // it has or had a job
}

func (w *warmWorld) Note(string, string, string, string) {}
func (w *warmWorld) Warn(_, _, reason, message string) {
	w.warnings = append(w.warnings, reason+": "+message)
}
func (w *warmWorld) Jobs() []fleet.Job { return w.index.Jobs() }

// Unstarted returns none: all pods start.
func (w *warmWorld) Unstarted(context.Context, string, []fleet.Job) ([]housekeeping.Unstarted, error) {
	return nil, nil
}

// Delete deletes a Job, which makes its agent leave.
func (w *warmWorld) Delete(_ context.Context, job fleet.Job) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.forbidden {
		return fmt.Errorf("delete Job %s: forbidden", job.Name)
	}
	w.deleted = append(w.deleted, job.Name)
	if a := w.agents[job.Name+"-bcdfg"]; a != nil {
		a.told = true
	}
	w.index.DeleteJob(job)
	return nil
}

// ended returns how many Jobs were deleted.
func (w *warmWorld) ended() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.deleted)
}

// Protect keeps the PodDisruptionBudget of a ScaledJob.
func (w *warmWorld) Protect(_ context.Context, scaledJob housekeeping.Member, evictable []string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.mayNotProtect {
		return apierrors.NewForbidden(schema.GroupResource{Resource: "poddisruptionbudgets"}, scaledJob.Key.Name, errors.New("no right"))
	}
	w.evictable = evictable
	w.budgets++
	return nil
}

// view is the index with an event recorder that nobody reads.
type view struct{ *fleet.Index }

func (view) Warn(_, _, _, _ string) {}

func newWarmWorld(t *testing.T, metadata map[string]string) *warmWorld {
	t.Helper()
	w := &warmWorld{
		t: t, index: fleet.NewIndex(2 * time.Minute), random: rand.New(rand.NewPCG(1, 4)), agents: map[string]*playedAgent{},
		ado:      adotest.New(adotest.Options{AutoAssign: true, ReceiveDelay: time.Second, LockDuration: 24 * time.Hour}),
		settings: housekeeping.Settings{EndIdle: true}, startup: 40 * time.Second,
	}
	w.ado.AddPool(adotest.Pool{Name: "linux"})
	if _, err := w.ado.AddAgent("linux", adotest.Agent{Name: "placeholder", Offline: true}); err != nil {
		t.Fatal(err)
	}
	w.ask(metadata)
	return w
}

// ask sets the trigger of the ScaledJob.
func (w *warmWorld) ask(metadata map[string]string) {
	if metadata == nil {
		metadata = map[string]string{}
	}
	metadata["scalerAddress"], metadata["poolName"] = "scaler:9090", "linux"
	w.build = fleet.NewScaledJob(plan.Key{Namespace: "ado", Name: "build"}, metadata)
	w.build.PollingInterval, w.build.MaxReplicas, w.build.Launcher = 5*time.Second, 30, !w.foreign
	w.index.SetScaledJob(w.build)
}

// during runs the engine, a Keeper and the world around them for a time, and has
// step called every second.
func (w *warmWorld) during(d time.Duration, step func()) {
	w.t.Helper()
	url, err := adoqueue.ParseOrganizationURL(w.ado.URL())
	if err != nil {
		w.t.Fatal(err)
	}
	client, err := adoqueue.NewClient(url, adoqueue.PAT("adotest-pat"), adoqueue.Options{
		HTTPClient: &http.Client{Transport: w.ado.Transport()},
	})
	if err != nil {
		w.t.Fatal(err)
	}
	cache := adoqueue.NewCache(client, adoqueue.CacheOptions{StaleFor: 30 * time.Second, Timeout: 10 * time.Second})
	defer cache.Close()
	w.engine = engine.New(engine.Options{
		Organizations: []engine.Organization{{URL: url, Queue: cache}}, Cluster: view{w.index},
		MaxAge: 3 * time.Second, Timeout: 10 * time.Second, EndsIdle: w.settings.EndIdle, Address: "scaler:9090", Logger: zap.NewNop(),
	})
	defer w.engine.Close()
	keeper := housekeeping.New(housekeeping.Options{
		Settings: w.settings, Owner: owner, Organizations: map[string]*adoqueue.Client{url.String(): client},
		Members: w.members, Cluster: w, Pods: w, Budgets: w, Idle: w.engine, Logger: zap.NewNop(),
	})
	ctx, cancel := context.WithCancel(w.t.Context())
	ended := make(chan struct{})
	go func() { defer close(ended); keeper.Run(ctx) }()
	defer func() { cancel(); <-ended }()
	// The Keeper and KEDA look at different moments.
	for second := range int(d / time.Second) {
		time.Sleep(time.Second)
		synctest.Wait()
		w.live()
		if second%5 == 2 {
			w.poll()
		}
		if step != nil {
			step()
		}
	}
}

func (w *warmWorld) members() (members []housekeeping.Member) {
	for _, m := range w.engine.Members() {
		members = append(members, housekeeping.Member{Key: m.Key, Launcher: m.ScaledJob.Launcher})
	}
	return members
}

// poll asks as KEDA does and creates the Jobs that are missing.
func (w *warmWorld) poll() {
	w.t.Helper()
	a, err := w.engine.Answer(w.t.Context(), engine.Request{Key: w.build.Key, Metadata: w.build.Triggers[0], Half: engine.Metric})
	if err != nil {
		w.t.Fatal(err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	unfinished := 0
	for _, job := range w.index.Jobs() {
		if job.Ended.IsZero() {
			unfinished++
		}
	}
	for range max(0, min(int(a.Value), w.build.MaxReplicas)-unfinished) {
		name := fmt.Sprintf("build-%05d", w.created)
		w.created++
		job := fleet.Job{
			UID: "uid-of-" + name, Namespace: "ado", Name: name, ScaledJob: "build", Created: time.Now(),
			IdleTimeout: w.idleTimeout, Launcher: !w.foreign, Pods: nil,
		}
		took := w.startup/2 + time.Duration(w.random.Int64N(int64(w.startup/2)))
		w.agents[name+"-bcdfg"] = &playedAgent{job: job, online: time.Now().Add(took)}
		w.index.SetJob(job)
		if !w.podsOutOfView {
			w.index.SetPod(fleet.Pod{Name: name + "-bcdfg", JobUID: job.UID, Created: job.Created})
		}
	}
}

// live plays the launchers: each leaves once its Job is deleted, or it was idle for too
// long, unless it has a job; and after its job.
func (w *warmWorld) live() {
	w.mu.Lock()
	defer w.mu.Unlock()
	registered := map[string]adotest.AgentState{}
	for _, agent := range w.ado.Agents("linux") {
		registered[agent.Name] = agent
	}
	for name, a := range w.agents {
		state, there := registered[name]
		now := time.Now()
		switch {
		case !a.there && a.told:
			delete(w.agents, name)
		case !a.there && !now.Before(a.online):
			a.there = true
			if _, err := w.ado.AddAgent("linux", adotest.Agent{Name: name}); err != nil {
				w.t.Fatal(err)
			}
		case !a.there:
		case state.Request != 0:
			// It takes one job only.
			if a.worked = true; state.Disabled {
				continue
			}
			if err := w.ado.SetAgentEnabled("linux", name, false); err != nil {
				w.t.Fatal(err)
			}
		case there && (a.worked || a.told || w.idleTimeout > 0 && now.Sub(a.online) >= w.idleTimeout):
			w.leave(a, name)
		}
	}
}

func (w *warmWorld) leave(a *playedAgent, name string) {
	if err := w.ado.RemoveAgent("linux", name); err != nil {
		w.killed = append(w.killed, a.job.Name)
		return
	}
	delete(w.agents, name)
	if !a.told {
		a.job.Ended = time.Now()
		w.index.SetJob(a.job)
	}
}

// idle is how many agents wait for a job.
func (w *warmWorld) idle() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := 0
	for _, a := range w.agents {
		if a.there && !a.worked {
			n++
		}
	}
	return n
}

func (w *warmWorld) queue(duration time.Duration) {
	id, err := w.ado.Queue("linux", adotest.Job{Duration: duration})
	if err != nil {
		w.t.Fatal(err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.requests = append(w.requests, id)
}

// clock is the time of day.
func clock() string { return time.Now().UTC().Format(time.TimeOnly) }
