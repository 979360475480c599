package faults

import (
	"cmp"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue/adotest"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/test/cluster"
)

// Result is what became of a fault's jobs.
type Result struct {
	Fault    string
	Requests int           // pipeline jobs
	Jobs     int           // made by KEDA
	Surplus  int           // Jobs that nothing needed
	Lost     int           // requests that no agent ran although nobody cancelled them or killed their agent
	Longest  time.Duration // that a request waited for its agent
	// Recovered is the time from the fault's end until all requests of before had
	// their Jobs.
	Recovered time.Duration
	// Measured are all those times if the fault was tried again; Recovered is their
	// median then.
	Measured []time.Duration
	// Lag is how long the Jobs took of the jobs queued before the fault: what KEDA
	// and the machine need.
	Lag time.Duration
	// Pause is the Fault's.
	Pause   time.Duration
	Answers int      // that KEDA got
	Errors  int      // of these
	Zeros   []string // answers that were 0 although a request was known that lacked a Job
}

// String sums it up.
func (r Result) String() string {
	return fmt.Sprintf("%d requests, %d Jobs, %d surplus, %d lost, longest wait %.1f s, recovered after %s, %d of %d answers were errors, %d wrong zeros",
		r.Requests, r.Jobs, r.Surplus, r.Lost, r.Longest.Seconds(), r.Recovery(), r.Errors, r.Answers, len(r.Zeros))
}

// Recovery is Recovered in words, with all that was measured.
func (r Result) Recovery() string {
	text := fmt.Sprintf("%.1f s", r.Recovered.Seconds())
	if len(r.Measured) == 0 {
		return text
	}
	all := make([]string, len(r.Measured))
	for i, took := range r.Measured {
		all[i] = fmt.Sprintf("%.1f", took.Seconds())
	}
	return text + " (median of " + strings.Join(all, ", ") + ")"
}

// Miscounts returns what must never be, however slow the machine is.
func (r Result) Miscounts() []string {
	if r.Surplus == 0 && r.Lost == 0 && len(r.Zeros) == 0 {
		return nil
	}
	return append([]string{r.String()}, r.Zeros...)
}

// Late returns what is wrong with the time to recover, or "". On a machine that has
// much else to do, where Jobs take longer than usual without a fault too, recovery may
// take longer.
func (r Result) Late(within, lag time.Duration) string {
	bound := within + r.Pause + 3*max(0, lag-usualLag)
	if r.Recovered <= bound {
		return ""
	}
	return fmt.Sprintf("recovered after %s, want at most %.1f s", r.Recovery(), bound.Seconds())
}

// Median is the result of a fault that was tried several times: the median of the
// times, and otherwise the worst.
func Median(tries []Result) Result {
	all := tries[0]
	all.Measured = nil
	for _, r := range tries {
		all.Measured = append(all.Measured, r.Recovered)
	}
	for _, r := range tries[1:] {
		if len(all.Miscounts()) == 0 && len(r.Miscounts()) > 0 {
			r.Measured = all.Measured
			all = r
		}
	}
	all.Recovered = slices.Sorted(slices.Values(all.Measured))[len(all.Measured)/2]
	return all
}

const (
	// RecoverWithin is how long a recovery may take.
	RecoverWithin = 5 * time.Second
	// usualLag is KEDA's polling interval and half a second for the Jobs.
	usualLag = 2500 * time.Millisecond
	// onTheWay is how long after its job was cancelled a Job may still be made: the
	// list may be a second old, and KEDA takes some time too.
	onTheWay = 2 * time.Second
)

func (t *Trial) result() (Result, error) {
	r := Result{Fault: t.Fault.Name, Pause: t.Fault.Pause, Requests: len(t.requests)}
	jobs := t.jobs()
	r.Jobs = len(jobs)
	took := map[string]bool{}
	var lost []cluster.Span
	for _, id := range t.requests {
		request, _ := t.Azure.Request(id)
		served := !request.ReceiveTime.IsZero()
		if served {
			r.Longest = max(r.Longest, request.ReceiveTime.Sub(request.QueueTime))
		}
		// An agent that was killed before it received the request has had it.
		if request.Agent != "" {
			took[cluster.JobOf(request.Agent)] = true
		}
		switch {
		case t.cancelled[id] && !served:
			lost = append(lost, cluster.Span{From: request.QueueTime, To: cmp.Or(request.AssignTime, request.FinishTime).Add(onTheWay)})
		case request.Result != "succeeded" && !t.cancelled[id] && !t.killed[request.Agent]:
			r.Lost++
		}
	}
	for job := range t.killed {
		took[cluster.JobOf(job)] = true
	}
	if t.setup.Failing {
		jobs = slices.DeleteFunc(jobs, func(job cluster.MadeJob) bool { return job.Failed })
	}
	interrupted, err := t.interrupted()
	if err != nil {
		return Result{}, err
	}
	r.Surplus = max(0, cluster.Surplus(jobs, took, lost)-interrupted)
	for _, job := range jobs {
		r.Recovered = max(r.Recovered, job.Made.Sub(t.end))
	}
	err = t.judge(&r)
	made := make([]time.Time, len(jobs))
	for i := range jobs {
		made[i] = jobs[i].Made
	}
	slices.SortFunc(made, time.Time.Compare)
	if first, _ := t.Azure.Request(t.requests[0]); len(made) > 1 {
		r.Lag = made[1].Sub(first.QueueTime)
	}
	return r, err
}

// Lag returns the time that nine of ten results' Jobs took without a fault.
func Lag(results []Result) time.Duration {
	if len(results) == 0 {
		return 0
	}
	lags := make([]time.Duration, len(results))
	for i, r := range results {
		lags[i] = r.Lag
	}
	slices.Sort(lags)
	return lags[len(lags)*9/10]
}

// interrupted returns how many Jobs KEDA may have made twice, since the next poll was
// due while it made them: on a machine that has much else to do, that happens.
func (t *Trial) interrupted() (int, error) {
	log, err := os.ReadFile(t.Plane.KEDALog())
	if err != nil {
		return 0, err
	}
	n := 0
	for line := range strings.Lines(string(log)) {
		if strings.Contains(line, "Failed to create a new Job") && strings.Contains(line, t.Namespace) && (strings.Contains(line, "context canceled") || strings.Contains(line, "context deadline exceeded")) {
			n++
		}
	}
	return n, nil
}

// jobs are those that KEDA has made. While Kubernetes does not answer nobody here sees
// them; then Kubernetes' time counts, which has whole seconds.
func (t *Trial) jobs() []cluster.MadeJob {
	jobs := t.lab.Record.Of(t.Namespace)
	for i := range jobs {
		if latest := jobs[i].Created.Add(time.Second); latest.Before(jobs[i].Made) {
			jobs[i].Made = latest
		}
	}
	return jobs
}

// judge looks at all answers that KEDA got since the first request.
func (t *Trial) judge(r *Result) error {
	answers, err := t.tap.Answers()
	if err != nil {
		return err
	}
	v := t.view()
	// Where Jobs fail, the scaler holds back new ones and answers 0 on purpose.
	for _, a := range answers {
		r.Answers++
		if a.Status != "0" {
			r.Errors++
			continue
		}
		if wrong := v.wrongZero(a); wrong != "" && !t.setup.Failing {
			r.Zeros = append(r.Zeros, wrong)
		}
	}
	return nil
}

// view is what the scaler could know at any time.
type view struct {
	lists    []time.Time // when those lists were requested that were answered
	requests []adotest.RequestState
	jobs     []cluster.MadeJob
	killed   map[string]bool
}

func (t *Trial) view() view {
	v := view{jobs: t.jobs(), killed: t.killed}
	for _, call := range t.Azure.Calls() {
		faulty := !t.Fault.Lists && call.Time.After(t.begin) && call.Time.Before(t.end)
		if call.Operation == adotest.OpJobRequests && call.Method == http.MethodGet && call.PoolID == t.pool && call.Status == 200 && !faulty {
			v.lists = append(v.lists, call.Time)
		}
	}
	for _, id := range t.requests {
		request, _ := t.Azure.Request(id)
		v.requests = append(v.requests, request)
	}
	return v
}

// known returns when the newest list was requested that had been answered by then:
// the one before the last, since one is requested at a time.
func (v view) known(then time.Time) (at time.Time, ok bool) {
	i, _ := slices.BinarySearchFunc(v.lists, then, time.Time.Compare)
	if i < 2 {
		return time.Time{}, false
	}
	return v.lists[i-2], true
}

// seen reports whether a list has had the request with its agent by then. If none
// has, nobody can know that the agent's Job waits no longer.
func (v view) seen(r adotest.RequestState, then time.Time) bool {
	for _, list := range v.lists {
		if list.After(r.AssignTime) && list.Before(then) && (r.FinishTime.IsZero() || list.Before(r.FinishTime)) {
			return true
		}
	}
	return false
}

// wrongZero returns what is wrong with an answer of 0: a request was in the newest
// list and still waits, and there are fewer Jobs than such requests.
func (v view) wrongZero(a Answer) string {
	list, ok := v.known(a.Begin)
	if a.Value != 0 || !ok {
		return ""
	}
	var waiting []string
	taken := map[string]bool{}
	for _, r := range v.requests {
		if !r.AssignTime.IsZero() && !r.AssignTime.After(a.End) {
			taken[cluster.JobOf(r.Agent)] = v.seen(r, a.Begin)
			continue
		}
		ended := !r.FinishTime.IsZero() && !r.FinishTime.After(a.End)
		// One that was reserved for an agent that is gone did not wait meanwhile.
		if !ended && r.QueueTime.Before(list) && r.Attempts < 2 {
			waiting = append(waiting, strconv.FormatInt(r.ID, 10))
		}
	}
	supply := 0
	for _, job := range v.jobs {
		if !taken[job.Name] && !job.Created.After(a.End) && (job.Ended.IsZero() || job.Ended.After(list.Add(-time.Second))) {
			supply++
		}
	}
	if len(waiting) <= supply {
		return ""
	}
	return fmt.Sprintf("%s: %s was 0 while requests %s were known to wait and %d Jobs with them",
		a.Begin.UTC().Format("15:04:05.000"), a.Method, strings.Join(waiting, ", "), supply)
}
