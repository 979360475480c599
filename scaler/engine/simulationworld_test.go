package engine_test

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/engine"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/fleet"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/plan"
)

// world is Azure DevOps, KEDA and Kubernetes in a scenario. Its time is that of
// the test's bubble.
type world struct {
	scenario
	t        *testing.T
	random   drawer
	url      adoqueue.OrganizationURL
	scalers  []*simScaler
	trace    func(string, ...any)
	began    time.Time
	finished bool

	mu         sync.Mutex // the engines read the pool between polls
	requests   []*simRequest
	jobs       []*simJob
	crossed    int // requests that an agent of another cluster took
	surplus    int
	violations []string
}

// simScaler is the scaler of a cluster, with its own view of the pool.
type simScaler struct {
	world  *world
	index  *fleet.Index
	engine *engine.Engine
	last   *adoqueue.Snapshot
}

// simRequest is a pipeline job.
type simRequest struct {
	adoqueue.JobRequest
	kind      int
	arrived   time.Time
	taken     bool
	cancelled bool
	over      bool
}

// simJob is a Job and the agent in it.
type simJob struct {
	fleet.Job
	agent string
	group int
	idle  bool // the agent is in the pool and has no request
	taken bool // it has had one
}

func newWorld(t *testing.T, s scenario) *world {
	t.Helper()
	url, err := adoqueue.ParseOrganizationURL("https://dev.azure.com/contoso")
	if err != nil {
		t.Fatal(err)
	}
	w := &world{scenario: s, t: t, random: drawer{rand.New(rand.NewPCG(s.seed, 1))}, url: url, trace: func(string, ...any) {}, began: time.Now()}
	for range s.clusters {
		scaler := &simScaler{world: w, index: fleet.NewIndex(2 * time.Minute)}
		if s.podsSeen {
			scaler.index.ShowPods()
		}
		scaler.start()
		w.scalers = append(w.scalers, scaler)
	}
	return w
}

func (s *simScaler) start() {
	s.engine = engine.New(engine.Options{
		Organizations: []engine.Organization{{URL: s.world.url, Queue: s}}, Cluster: view{s.index},
		MaxAge: snapshot, Timeout: time.Second, Logger: zap.NewNop(),
	})
}

// play runs the scenario to its end.
func (w *world) play() {
	for i := range w.groups {
		g := &w.groups[i]
		w.scalers[g.cluster].index.SetScaledJob(w.scaledJob(g, g.absence == paused && g.away.min == 0))
		time.AfterFunc(g.phase, func() { w.tick(i) })
		w.scheduleAbsence(g)
	}
	for _, a := range w.arrivals {
		w.after(a.at, func() { w.arrive(a) })
	}
	if w.restart > 0 {
		time.AfterFunc(w.restart, w.restartScalers)
	}
	time.Sleep(horizon)
	for !w.settled() && w.now() < horizon+settling {
		time.Sleep(10 * time.Second)
	}
	time.Sleep(30 * time.Second) // for what would still be created
	w.mu.Lock()
	w.finished = true
	w.checkEnd()
	w.mu.Unlock()
	for _, scaler := range w.scalers {
		scaler.engine.Close()
	}
}

// restartScalers restarts all scalers, without what they remember.
func (w *world) restartScalers() {
	for _, scaler := range w.scalers {
		w.mu.Lock()
		last := scaler.engine
		w.mu.Unlock()
		last.Close() // which waits for a refresh that wants the lock
		w.mu.Lock()
		scaler.start()
		w.mu.Unlock()
	}
}

// after does something later, while nothing else happens.
func (w *world) after(d time.Duration, do func()) {
	time.AfterFunc(d, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		do()
	})
}

func (w *world) now() time.Duration { return time.Since(w.began) }

func (w *world) violate(format string, args ...any) {
	w.violations = append(w.violations, fmt.Sprintf(format, args...))
}

// settled reports whether all requests are over.
func (w *world) settled() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return !slices.ContainsFunc(w.requests, func(r *simRequest) bool { return !r.over })
}

func (w *world) checkEnd() {
	idle, cancelled := 0, 0
	for _, j := range w.jobs {
		if !j.taken {
			idle++
		}
	}
	for _, r := range w.requests {
		switch {
		case r.cancelled:
			cancelled++
		case !r.over:
			w.violate("request %d of kind %d starves", r.ID, r.kind)
		}
	}
	if idle > cancelled {
		w.surplus = idle - cancelled
		w.violate("%d Jobs took nothing, and only %d requests were cancelled", idle, cancelled)
	}
}

// scheduleAbsence has the ScaledJob say that it gets no Jobs, if it does.
func (w *world) scheduleAbsence(g *simGroup) {
	index := w.scalers[g.cluster].index
	switch g.absence {
	case paused:
		w.after(g.away.min, func() { index.SetScaledJob(w.scaledJob(g, true)) })
		w.after(g.away.max, func() { index.SetScaledJob(w.scaledJob(g, false)) })
	case deleted:
		w.after(g.away.min, func() { index.DeleteScaledJob(g.key()) })
	case present, unasked:
	}
}

func (g *simGroup) key() plan.Key { return plan.Key{Namespace: "ado", Name: g.name} }

// metadata is what KEDA sends for a group.
func (w *world) metadata(g *simGroup) map[string]string {
	m := map[string]string{
		trigger: "scaler:9090", "organizationURL": w.url.String(), "poolName": "linux", "capabilities": "docker," + kindName(g.kind),
	}
	if w.clusters > 1 {
		m["shard"] = fmt.Sprintf("%d/%d", g.cluster+1, w.clusters)
	}
	if g.fromEnv {
		for _, key := range []string{"organizationURL", "poolName", "capabilities"} {
			if key == "capabilities" && g.absence != present {
				continue // what it has Jobs for would not be known after a restart
			}
			m[key+"FromEnv"] = m[key]
			delete(m, key)
		}
	}
	return m
}

const trigger = "scalerAddress"

func kindName(kind int) string { return fmt.Sprintf("kind%d", kind) }

// scaledJob is the manifest of a group: variables in place of their values.
func (w *world) scaledJob(g *simGroup, isPaused bool) *fleet.ScaledJob {
	manifest := maps.Clone(w.metadata(g))
	for key := range manifest {
		if strings.HasSuffix(key, "FromEnv") {
			manifest[key] = "VARIABLE"
		}
	}
	s := fleet.NewScaledJob(g.key(), manifest)
	s.PollingInterval, s.Paused = g.poll, isPaused
	return s
}

// tick is a check of a ScaledJob by KEDA.
func (w *world) tick(i int) {
	g := &w.groups[i]
	w.mu.Lock()
	scaler, finished := w.scalers[g.cluster].engine, w.finished
	w.mu.Unlock()
	if finished {
		return
	}
	time.AfterFunc(g.poll, func() { w.tick(i) })
	if g.away.has(w.now()) {
		return
	}
	request := engine.Request{Key: g.key(), Metadata: w.metadata(g), Half: engine.Metric}
	scaler.Target(request.Key, request.Metadata)
	answer, err := scaler.Answer(context.Background(), request)
	w.mu.Lock()
	defer w.mu.Unlock()
	if err != nil || answer.Used != "exact" {
		w.violate("%v %s: got %+v, %v", w.now(), g.name, answer, err)
		return
	}
	// KEDA's strategy "default", with minReplicaCount 0.
	create := min(int(answer.Value), 100) - w.unfinished(i)
	w.trace("%v poll of %s in cluster %d: %+v, %d Jobs created", w.now(), g.name, g.cluster, answer, create)
	for range create {
		w.create(i)
	}
}

func (w *world) unfinished(group int) (n int) {
	for _, j := range w.jobs {
		if j.group == group && j.Ended.IsZero() {
			n++
		}
	}
	return n
}

// create makes a Job, with the names that Kubernetes would generate.
func (w *world) create(group int) {
	g := &w.groups[group]
	j := &simJob{group: group, Job: fleet.Job{
		UID: fmt.Sprintf("uid-%d", len(w.jobs)), Namespace: "ado", Name: w.generate(g.name), ScaledJob: g.name,
		Created: time.Now().Truncate(time.Second),
	}}
	j.agent = w.generate(j.Name)
	w.jobs = append(w.jobs, j)
	index := w.scalers[g.cluster].index
	index.SetJob(j.Job)
	w.after(w.random.between(w.podStart), func() {
		if w.podsSeen {
			index.SetPod(fleet.Pod{Name: j.agent, JobUID: j.UID, Created: time.Now().Truncate(time.Second)})
		}
		w.after(w.random.between(w.register), func() {
			j.idle = true
			w.after(w.random.upTo(dispatch), w.assign)
		})
	})
}

// generate makes a name from that of an owner: at most 58 characters of it, and
// five more.
func (w *world) generate(owner string) string {
	const characters = "bcdfghjklmnpqrstvwxz2456789"
	base := owner + "-"
	name := []byte(base[:min(len(base), 58)])
	for range 5 {
		name = append(name, characters[w.random.IntN(len(characters))])
	}
	return string(name)
}

// end completes a Job some time after its request is over.
func (w *world) end(j *simJob) {
	w.after(w.random.between(w.drain), func() {
		index := w.scalers[w.groups[j.group].cluster].index
		if w.podsSeen {
			index.SetPod(fleet.Pod{Name: j.agent, JobUID: j.UID, Created: j.Created, Ended: true})
		}
		j.Ended = time.Now().Truncate(time.Second)
		index.SetJob(j.Job)
		w.after(time.Minute, func() { index.DeleteJob(j.Job) })
	})
}

func (w *world) arrive(a arrival) {
	r := &simRequest{kind: a.kind, arrived: time.Now()}
	r.ID = int64(len(w.requests) + 1)
	r.Demands = []adoqueue.Demand{adoqueue.ParseDemand(kindName(a.kind))}
	w.requests = append(w.requests, r)
	w.trace("%v request %d of kind %d", w.now(), r.ID, r.kind)
	w.after(w.random.upTo(dispatch), w.assign)
	if a.cancelled > 0 {
		w.after(a.cancelled, func() {
			if !r.taken {
				w.trace("%v request %d is cancelled", w.now(), r.ID)
				r.cancelled, r.over = true, true
			}
		})
	}
}

// assign assigns queued requests to idle agents of their kind: to any of them, as
// Azure DevOps does.
func (w *world) assign() {
	for _, r := range w.requests {
		if r.taken || r.over {
			continue
		}
		var fit []*simJob
		for _, j := range w.jobs {
			if j.idle && w.groups[j.group].kind == r.kind {
				fit = append(fit, j)
			}
		}
		if len(fit) > 0 {
			w.take(r, fit[w.random.IntN(len(fit))])
		}
	}
}

func (w *world) take(r *simRequest, j *simJob) {
	g := &w.groups[j.group]
	w.trace("%v request %d goes to %s of cluster %d", w.now(), r.ID, j.agent, g.cluster)
	r.taken, j.idle, j.taken = true, false, true
	r.State, r.Agent, r.AssignTime = adoqueue.Assigned, j.agent, time.Now()
	if w.clusters > 1 && !(adoqueue.Shard{Index: g.cluster + 1, Count: w.clusters}).Has(&r.JobRequest) {
		w.crossed++
	}
	if wait := time.Since(r.arrived); wait > w.unavoidable() {
		w.violate("%v request %d waited %v, and %v is unavoidable", w.now(), r.ID, wait, w.unavoidable())
	}
	w.after(w.random.upTo(dispatch), func() {
		r.State = adoqueue.Running
		w.after(w.random.between(w.run), func() {
			w.trace("%v request %d is done", w.now(), r.ID)
			r.over = true
			w.end(j)
		})
	})
}

// Snapshot returns the unfinished requests, from a moment ago if that is recent
// enough.
func (s *simScaler) Snapshot(_ context.Context, _ adoqueue.PoolRef, maxAge time.Duration) (*adoqueue.Snapshot, error) {
	s.world.mu.Lock()
	defer s.world.mu.Unlock()
	if s.last != nil && time.Since(s.last.RequestedAt) < maxAge {
		return s.last, nil
	}
	s.last = &adoqueue.Snapshot{Pool: adoqueue.Pool{ID: 1, Name: "linux"}, RequestedAt: time.Now()}
	for _, r := range s.world.requests {
		if !r.over {
			seen := r.JobRequest // as it is now
			s.last.Requests = append(s.last.Requests, &seen)
		}
	}
	s.last.Requests = slices.Clip(s.last.Requests)
	return s.last, nil
}

// ParallelJobs is of no interest here.
func (*simScaler) ParallelJobs(context.Context, time.Duration) (adoqueue.ParallelJobs, error) {
	return adoqueue.ParallelJobs{}, nil
}
