package engine_test

import (
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/engine"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/fleet"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/plan"
)

// warmPool is a pool with one ScaledJob, "build", whose agents wait for jobs by a
// schedule. Its time is that of synctest, which begins at midnight UTC on
// 2000-01-01, a Saturday.
type warmPool struct {
	t         *testing.T
	queue     *renewedQueue
	index     *fleet.Index
	engine    *engine.Engine
	scaledJob *fleet.ScaledJob
	template  fleet.Job
	jobs      []fleet.Job
}

func newWarmPool(t *testing.T, endsIdle bool, metadata map[string]string) *warmPool {
	t.Helper()
	w := &warmPool{t: t, index: fleet.NewIndex(2 * time.Minute), queue: &renewedQueue{last: &adoqueue.Snapshot{
		Pool: adoqueue.Pool{ID: 1, Name: "linux"}, RequestedAt: time.Now(),
	}}}
	metadata["scalerAddress"], metadata["poolName"] = "scaler:9090", "linux"
	w.scaledJob = fleet.NewScaledJob(plan.Key{Namespace: "ado", Name: "build"}, metadata)
	w.scaledJob.PollingInterval = 5 * time.Second
	w.index.SetScaledJob(w.scaledJob)
	url, err := adoqueue.ParseOrganizationURL("https://dev.azure.com/contoso")
	if err != nil {
		t.Fatal(err)
	}
	w.engine = engine.New(engine.Options{
		Organizations: []engine.Organization{{URL: url, Queue: w.queue}}, Cluster: view{w.index},
		MaxAge: time.Second, Timeout: time.Second, EndsIdle: endsIdle, Logger: zap.NewNop(),
	})
	t.Cleanup(w.engine.Close)
	return w
}

// poll asks as KEDA does and creates the Jobs that are missing.
func (w *warmPool) poll() {
	w.t.Helper()
	a, err := w.engine.Answer(w.t.Context(), engine.Request{Key: w.scaledJob.Key, Metadata: w.scaledJob.Triggers[0], Half: engine.Metric})
	if err != nil {
		w.t.Fatal(err)
	}
	for range max(0, int(a.Value)-w.unfinished()) {
		w.create()
	}
}

func (w *warmPool) create() *fleet.Job {
	n, job := len(w.jobs), w.template
	job.Namespace, job.ScaledJob, job.Created = "ado", "build", time.Now()
	job.UID, job.Name = fmt.Sprintf("uid-%d", n), fmt.Sprintf("build-%05d", n)
	w.jobs = append(w.jobs, job)
	w.index.SetJob(job)
	return &w.jobs[n]
}

func (w *warmPool) end(job *fleet.Job) {
	job.Ended = time.Now()
	w.index.SetJob(*job)
}

func (w *warmPool) unfinished() int {
	n := 0
	for i := range w.jobs {
		if w.jobs[i].Ended.IsZero() {
			n++
		}
	}
	return n
}

// until polls every five seconds until a time on 2000-01-01.
func (w *warmPool) until(clock string) {
	w.t.Helper()
	then, err := time.Parse(time.DateTime, "2000-01-01 "+clock)
	if err != nil {
		w.t.Fatal(err)
	}
	for time.Now().Before(then) {
		time.Sleep(min(5*time.Second, time.Until(then)))
		w.poll()
	}
}

func (w *warmPool) want(jobs int) {
	w.t.Helper()
	if got := w.unfinished(); got != jobs {
		w.t.Fatalf("at %s: %d Jobs, want %d", time.Now().UTC().Format(time.TimeOnly), got, jobs)
	}
}

// TestWarmBySchedule has Jobs created before a period begins, by as much as an
// agent takes to start, though nothing else changes meanwhile: the last snapshot
// is still good.
func TestWarmBySchedule(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWarmPool(t, false, map[string]string{"warm": "Sat 01:00-02:00 3; 02:00-03:00 5", "warmTimeZone": "UTC", "minIdle": "1"})
		w.poll()
		w.want(1)
		w.until("00:58:50")
		w.want(1)
		w.until("00:58:55") // a minute and a polling interval before
		w.want(3)
		w.until("01:58:50")
		w.want(3)
		w.until("01:58:55")
		w.want(5)
		w.until("03:30:00") // nobody ends idle Jobs here
		w.want(5)
		for i := range w.jobs {
			w.end(&w.jobs[i])
		}
		time.Sleep(5 * time.Second)
		w.queue.renew()
		w.until("04:00:00")
		w.want(1)
	})
}

// run has a request that waited for its agent taken by a Job.
func (w *warmPool) run(job *fleet.Job, start, waited time.Duration) {
	assigned := job.Created.Add(start)
	w.queue.mu.Lock()
	defer w.queue.mu.Unlock()
	snapshot := *w.queue.last
	snapshot.Requests = append(slices.Clip(snapshot.Requests), &adoqueue.JobRequest{
		ID: int64(len(snapshot.Requests) + 1), State: adoqueue.Running, Agent: job.Name + "-bcdfg",
		QueueTime: assigned.Add(-waited), AssignTime: assigned,
	})
	snapshot.RequestedAt = time.Now()
	w.queue.last = &snapshot
}

// TestStartupIsMeasured has the ScaledJob's agents take longer to start than is
// assumed. That an agent was idle before it got a request says nothing of this.
func TestStartupIsMeasured(t *testing.T) {
	for _, test := range []struct {
		name          string
		start, waited time.Duration
		before, from  string
	}{
		{"slow", 4 * time.Minute, 3 * time.Minute, "00:55:50", "00:55:55"},
		{"fast", 2 * time.Second, 5 * time.Second, "00:59:40", "00:59:45"},
		{"very slow", time.Hour, time.Hour, "00:49:50", "00:49:55"},
		{"of agents that were idle", 5 * time.Minute, time.Second, "00:58:50", "00:58:55"},
		{"of agents that were idle, by a slow pool", 8 * time.Minute, 10 * time.Second, "00:58:50", "00:58:55"},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWarmPool(t, false, map[string]string{"warm": "01:00-02:00 1"})
				for range 20 {
					w.run(w.create(), test.start, test.waited)
				}
				w.poll()
				// The requests are done.
				for i := range w.jobs {
					w.end(&w.jobs[i])
				}
				time.Sleep(5 * time.Second)
				w.queue.last = &adoqueue.Snapshot{Pool: w.queue.last.Pool, RequestedAt: time.Now()}
				w.until(test.before)
				w.want(0)
				w.until(test.from)
				w.want(1)
			})
		})
	}
}

// TestStartupIsAPercentile has one agent of twenty take much longer to start than the
// others, and five before them that are forgotten.
func TestStartupIsAPercentile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWarmPool(t, false, map[string]string{"warm": "01:00-02:00 1"})
		observe := func(starts ...time.Duration) {
			for _, start := range starts {
				w.run(w.create(), start, start)
			}
			w.poll()
			for i := range w.jobs {
				w.end(&w.jobs[i])
			}
			time.Sleep(5 * time.Second)
			w.queue.last = &adoqueue.Snapshot{Pool: w.queue.last.Pool, RequestedAt: time.Now()}
			w.poll()
		}
		observe(slices.Repeat([]time.Duration{9 * time.Minute}, 5)...)
		observe(append(slices.Repeat([]time.Duration{20 * time.Second}, 18), 4*time.Minute, 8*time.Minute)...)
		w.until("00:55:50")
		w.want(0)
		w.until("00:55:55") // four minutes and a polling interval before
		w.want(1)
	})
}

// TestShareOfBusyAgents has idle Jobs added while others run requests.
func TestShareOfBusyAgents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWarmPool(t, false, map[string]string{"warm": "00:00-24:00 1 +50% max 3"})
		for i, want := range []int{1, 3, 4, 6, 7, 8} { // busy ones, and 1, 2, 2, 3, 3 and 3 idle ones
			if i > 0 {
				w.run(&w.jobs[i-1], time.Second, 0)
			}
			w.poll()
			w.want(want)
			time.Sleep(5 * time.Second)
		}
	})
}

// TestReplacedBeforeItLeaves has agents with an idle timeout: at each moment as
// many as wanted have been there for long enough to have started, and never more
// than one each besides. That is so with nothing remembered, too.
func TestReplacedBeforeItLeaves(t *testing.T) {
	const started, wanted = 40 * time.Second, 12
	for _, test := range []struct {
		name     string
		endsIdle bool
		timeout  time.Duration
		metadata map[string]string
		atMost   int // Jobs created in three hours
		atLeast  int
	}{
		{"by its idle timeout", false, 10 * time.Minute, map[string]string{"minIdle": "12"}, 285, 200},
		{"by a long one", false, 2 * time.Hour, map[string]string{"minIdle": "12"}, 30, 12},
		{"by a schedule", false, 10 * time.Minute, map[string]string{"warm": "00:00-24:00 12"}, 285, 200},
		{"by its age", true, 0, map[string]string{"minIdle": "12", "warmMaxAge": "1h"}, 48, 30},
		{"by its age, where nobody ends it", false, 0, map[string]string{"minIdle": "12", "warmMaxAge": "1h"}, 12, 12},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWarmPool(t, test.endsIdle, test.metadata)
				w.template = fleet.Job{IdleTimeout: test.timeout, Launcher: true}
				for began := time.Now(); time.Since(began) < 3*time.Hour; time.Sleep(5 * time.Second) {
					w.leave(test.timeout, started)
					w.queue.renew()
					w.poll()
					if since := time.Since(began); since > started && w.ready(started) < wanted {
						t.Fatalf("after %v only %d agents are ready", since, w.ready(started))
					}
					if n := w.unfinished(); n > 2*wanted {
						t.Fatalf("after %v there are %d Jobs", time.Since(began), n)
					}
				}
				if n := len(w.jobs); n > test.atMost || n < test.atLeast {
					t.Errorf("%d Jobs in three hours, want %d to %d", n, test.atLeast, test.atMost)
				}
			})
		})
	}
}

// TestReplacedOnce has agents that nobody ends although they are replaced by age: the
// right to delete Jobs is missing. Their replacements are not replaced again.
func TestReplacedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWarmPool(t, true, map[string]string{"minIdle": "3", "warmMaxAge": "1h"})
		w.template.Launcher = true
		for range 12 * 60 {
			w.queue.renew()
			w.poll()
			time.Sleep(time.Minute)
		}
		w.want(6)
	})
}

// leave ends Jobs: after their idle timeout, or as the scaler does once others of
// the age to have started are enough.
func (w *warmPool) leave(timeout, started time.Duration) {
	for i := range w.jobs {
		job := &w.jobs[i]
		age := time.Since(job.Created)
		if job.Ended.IsZero() && (timeout > 0 && age >= timeout+started || timeout == 0 && age >= time.Hour && w.ready(started) > 12) {
			w.end(job)
		}
	}
}

// ready is how many agents have had the time to start.
func (w *warmPool) ready(started time.Duration) int {
	n := 0
	for i := range w.jobs {
		if w.jobs[i].Ended.IsZero() && time.Since(w.jobs[i].Created) >= started {
			n++
		}
	}
	return n
}

// events keeps the warnings about a ScaledJob.
type events struct {
	*fleet.Index
	messages *[]string
}

func (e events) Warn(_, _, reason, message string) {
	*e.messages = append(*e.messages, reason+": "+message)
}

// TestWarnsOfSchedule has what the author may have meant otherwise reported as an
// event, once.
func TestWarnsOfSchedule(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWarmPool(t, false, map[string]string{"warm": "Mon 08:00-10:00 1; Mon 09:00-11:00 2", "warmMaxAge": "1h"})
		w.engine.Close()
		var messages []string
		url, err := adoqueue.ParseOrganizationURL("https://dev.azure.com/contoso")
		if err != nil {
			t.Fatal(err)
		}
		w.engine = engine.New(engine.Options{
			Organizations: []engine.Organization{{URL: url, Queue: w.queue}}, Cluster: events{w.index, &messages},
			MaxAge: time.Second, Timeout: time.Second, Logger: zap.NewNop(),
		})
		defer w.engine.Close()
		w.poll()
		w.poll()
		want := []string{
			`ScaledJobWarning: warm: periods "Mon 08:00-10:00 1" and "Mon 09:00-11:00 2" overlap, from Mon 09:00 on; the later one counts`,
			"ScaledJobWarning: warmMaxAge has no effect, since the scaler ends no idle agents; set END_IDLE",
		}
		if !slices.Equal(messages, want) {
			t.Errorf("got %q, want %q", messages, want)
		}
	})
}

// TestReplacedWithoutNews has a Job replaced in time though the pool is as it was.
func TestReplacedWithoutNews(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWarmPool(t, false, map[string]string{"minIdle": "1"})
		w.template.IdleTimeout = 10 * time.Minute
		w.until("00:07:00")
		w.want(1)
		w.until("00:09:00")
		w.want(2)
	})
}

// TestSecondPod has a Job start another pod: its agent waits from then on, and
// nobody may delete it.
func TestSecondPod(t *testing.T) {
	for name, test := range map[string]struct {
		timeout  time.Duration
		metadata map[string]string
		one, two string // until when there is one Job, and from when on two
	}{
		"with an idle timeout": {10 * time.Minute, map[string]string{"minIdle": "1"}, "00:12:00", "00:14:00"},
		"with an age":          {0, map[string]string{"minIdle": "1", "warmMaxAge": "10m"}, "01:00:00", ""},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWarmPool(t, true, test.metadata)
				w.template = fleet.Job{IdleTimeout: test.timeout, Launcher: true}
				w.poll()
				first := fleet.Pod{Name: w.jobs[0].Name + "-bcdfg", JobUID: w.jobs[0].UID, Created: time.Now()}
				w.index.SetPod(first)
				w.until("00:05:00")
				first.Ended = true
				w.index.SetPod(first)
				w.index.SetPod(fleet.Pod{Name: w.jobs[0].Name + "-cdfgh", JobUID: w.jobs[0].UID, Created: time.Now()})
				w.until(test.one)
				w.want(1)
				if test.two != "" {
					w.until(test.two)
					w.want(2)
				}
			})
		})
	}
}
