package explain_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/engine"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/explain"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/fleet"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/plan"
)

// history has an Explainer take in decisions about pools in which requests come and
// go, each with other texts, and ten ScaledJobs to a pool that differ each time.
type history struct {
	explainer *explain.Explainer
	url       adoqueue.OrganizationURL
	now       time.Time
	decided   int
	common    bool // the requests of a pool demand the same
}

func (h *history) decide(pool, requests int) {
	h.decided++
	h.now = h.now.Add(time.Millisecond)
	d := &engine.Decision{
		MadeAt: h.now, Organization: h.url, Blocks: map[plan.Key]engine.Block{}, Plan: plan.Plan{Groups: map[plan.Key]plan.GroupPlan{}},
		Snapshot: &adoqueue.Snapshot{Pool: adoqueue.Pool{ID: pool, Name: fmt.Sprintf("pool-%d", pool)}, RequestedAt: h.now},
	}
	var jobs []fleet.Job
	for g := range 10 {
		key := plan.Key{Namespace: "ado", Name: fmt.Sprintf("build-%d-%d", pool, g)}
		d.Groups = append(d.Groups, plan.Group{Key: key})
		d.Plan.Groups[key] = plan.GroupPlan{Missing: h.decided, Queued: h.decided}
	}
	var common []adoqueue.Demand
	for i := range requests {
		id := int64(1_000_000*pool + 1000*h.decided + i)
		uid := fmt.Sprintf("00000000-0000-4000-8000-%012d", id)
		name := fmt.Sprintf("build-%d-1-%05d", pool, id)
		demands := common
		if !h.common || common == nil {
			demands = make([]adoqueue.Demand, 10)
			for j := range demands {
				demands[j] = adoqueue.ParseDemand(fmt.Sprintf("capability-%d -equals %d-%s", j, id, strings.Repeat("v", 200)))
			}
			common = demands
		}
		d.Snapshot.Requests = append(d.Snapshot.Requests, &adoqueue.JobRequest{
			ID: id, State: adoqueue.Running, Agent: name + "-22222", Demands: demands, QueueTime: h.now, AssignTime: h.now, ReceiveTime: h.now,
			Definition: fmt.Sprintf("pipeline %d %s", id, strings.Repeat("p", 300)), Run: fmt.Sprintf("run %d %s", id, strings.Repeat("r", 300)), RunID: id,
		})
		d.Plan.Requests = append(d.Plan.Requests, plan.Verdict{
			RequestID: id, Outcome: plan.ByBusyJob, Job: uid, Group: d.Groups[1].Key,
		})
		jobs = append(jobs, fleet.Job{UID: uid, Namespace: "ado", Name: name, Created: h.now, Pods: []fleet.Pod{{Name: name + "-22222", JobUID: uid}}})
	}
	d.Jobs = [][]fleet.Job{jobs}
	h.explainer.Decided(d)
}

// TestMemory remembers 13,400 requests with long texts, of which 10,000 are to be
// left, and as many decisions as are remembered of a hundred pools.
func TestMemory(t *testing.T) {
	heap := func() uint64 {
		runtime.GC()
		runtime.GC() // what the first has found to be unused
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := heap()
	h := &history{explainer: explain.New(explain.Options{}), url: organization(t), now: time.Now()}
	for round := range 200 {
		for pool := range 100 {
			h.decide(pool+1, max(0, 2-(round+2)%3*2)) // the requests of a round are gone in the next
		}
	}
	after := heap()
	report := h.explainer.Report(t.Context(), explain.Filter{MaxRequests: 20_000})
	omitted := 0
	for i := range report.Pools {
		omitted += report.Pools[i].Omitted.Requests
	}
	if report.Summary.Finished+report.Summary.Served != 10_000 || omitted > 0 {
		t.Errorf("%+v are remembered, and for %d there was no room, want 10,000 and 0", report.Summary, omitted)
	}
	used := float64(after-before) / (1 << 20)
	t.Logf("%.1f MiB with 10,000 requests and 200 decisions of each of 100 pools", used)
	if used > 30 {
		t.Errorf("%.1f MiB are remembered, more than 30", used)
	}
	if report.SchemaVersion != explain.SchemaVersion {
		t.Error("unreachable; keeps the explainer alive")
	}
}

// TestTooManyUnfinished has more unfinished requests than are remembered.
func TestTooManyUnfinished(t *testing.T) {
	h := &history{explainer: explain.New(explain.Options{}), url: organization(t), now: time.Now()}
	h.decide(1, 999)
	for range 2 {
		for pool := range 11 {
			h.decided = 0
			h.decide(pool+1, 999)
		}
	}
	report := h.explainer.Report(t.Context(), explain.Filter{MaxRequests: 20_000})
	omitted := 0
	for i := range report.Pools {
		omitted += report.Pools[i].Omitted.Requests
	}
	if report.Summary.Served != 10_000 || omitted != 989 {
		t.Errorf("%+v are remembered and %d are not, want 10,000 and 989", report.Summary, omitted)
	}
}

// TestForgottenPools has pools that nobody follows any more make room.
func TestForgottenPools(t *testing.T) {
	h := &history{explainer: explain.New(explain.Options{}), url: organization(t), now: time.Now(), common: true}
	h.decide(1, 9990)
	h.decide(2, 10)
	h.decide(2, 0) // they finish
	h.now = h.now.Add(61 * time.Minute)
	h.decide(3, 100)
	report := h.explainer.Report(t.Context(), explain.Filter{})
	if report.Summary.Served != 100 {
		t.Errorf("%+v are remembered, want the 100 of the third pool", report.Summary)
	}
}

func TestHTTP(t *testing.T) {
	h := &history{explainer: explain.New(explain.Options{}), url: organization(t), now: time.Now()}
	h.decide(1, 999)
	h.decide(2, 999)
	server := httptest.NewServer(h.explainer)
	t.Cleanup(server.Close)
	for _, tt := range []struct {
		query    string
		status   int
		requests int
		words    string
	}{
		{"", http.StatusOK, 1000, ""},
		{"?pool=pool-2", http.StatusOK, 999, ""},
		{"?limit=10", http.StatusOK, 10, ""},
		{"?request=1001003", http.StatusOK, 1, ""},
		{"?run=1001003&scaledjob=build-1-1", http.StatusOK, 1, ""},
		{"?request=x", http.StatusBadRequest, 0, `request must be the id of a job request, not "x"`},
		{"?limit=0&job=3", http.StatusBadRequest, 0, `"job" is unknown; use pool, run, request, scaledjob or limit`},
		{"?limit=10001", http.StatusBadRequest, 0, `limit must be a number from 1 to 10000, not "10001"`},
	} {
		response, err := http.Get(server.URL + explain.Path + tt.query)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(response.Body)
		response.Body.Close()
		if err != nil {
			t.Fatal(err)
		}
		if response.StatusCode != tt.status || !strings.Contains(string(body), tt.words) {
			t.Errorf("%q: %s: %.300s", tt.query, response.Status, body)
		}
		if tt.status != http.StatusOK {
			continue
		}
		var report explain.Report
		if err := json.Unmarshal(body, &report); err != nil {
			t.Fatalf("%q: %v", tt.query, err)
		}
		requests := 0
		for i := range report.Pools {
			requests += len(report.Pools[i].Requests)
		}
		if requests != tt.requests || report.SchemaVersion != 1 || response.Header.Get("Cache-Control") != "no-store" {
			t.Errorf("%q: %d requests, want %d", tt.query, requests, tt.requests)
		}
		if len(body) > 5<<20 {
			t.Errorf("%q: the answer has %d bytes", tt.query, len(body))
		}
	}
}

// slow is a Reader of an Azure DevOps that does not answer.
type slow struct{ reading, most atomic.Int32 }

func (*slow) Status() adoqueue.Status { return adoqueue.Status{} }

func (s *slow) Agents(ctx context.Context, _ adoqueue.Pool, _ time.Duration) ([]adoqueue.Agent, error) {
	s.most.Store(max(s.most.Load(), s.reading.Add(1)))
	defer s.reading.Add(-1)
	<-ctx.Done()
	return nil, ctx.Err()
}

// TestSlowAzureDevOps waits for the agents of all pools together no longer than a
// second, and makes one answer at a time.
func TestSlowAzureDevOps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reader := &slow{}
		url := organization(t)
		h := &history{
			explainer: explain.New(explain.Options{Organizations: []explain.ServedOrganization{{URL: url, Reader: reader}}}), url: url, now: time.Now(),
		}
		for pool := range 20 {
			h.decide(pool+1, 1)
		}
		start := time.Now()
		h.explainer.Report(t.Context(), explain.Filter{})
		if took := time.Since(start); took > time.Second {
			t.Errorf("a report takes %s", took)
		}
		var asking sync.WaitGroup
		for range 3 {
			asking.Go(func() {
				answer := httptest.NewRecorder()
				h.explainer.ServeHTTP(answer, httptest.NewRequest(http.MethodGet, explain.Path, http.NoBody))
				if answer.Code != http.StatusOK {
					t.Errorf("status %d", answer.Code)
				}
			})
		}
		synctest.Wait()
		gone, leave := context.WithCancel(t.Context())
		leave()
		answer := httptest.NewRecorder()
		h.explainer.ServeHTTP(answer, httptest.NewRequestWithContext(gone, http.MethodGet, explain.Path, http.NoBody))
		if answer.Code != http.StatusInternalServerError {
			t.Errorf("somebody who has left gets status %d", answer.Code)
		}
		asking.Wait()
		if most := reader.most.Load(); most != 1 {
			t.Errorf("%d answers are made at once", most)
		}
	})
}

// BenchmarkReportOfOnePool is one pool with as much, of which each job is stopped.
func BenchmarkReportOfOnePool(b *testing.B) {
	d := largeDecision(organization(b))
	x := explain.New(explain.Options{})
	for i := range d.Plan.Requests {
		if v := &d.Plan.Requests[i]; v.Outcome == plan.ByNewJob {
			v.Outcome, v.Cause = plan.Unserved, plan.AtMaxReplicas
		}
	}
	x.Decided(d)
	for b.Loop() {
		x.Report(b.Context(), explain.Filter{MaxRequests: 5000})
	}
}

// TestQuery has a filter survive being a query.
func TestQuery(t *testing.T) {
	want := explain.Filter{Pool: "a b", Run: "1.2", Request: 3, ScaledJob: "ado/x", MaxRequests: 5, MaxDecisions: 5, MaxScaledJobs: 5}
	if got, err := explain.ParseFilter(want.Query()); err != nil || got != want {
		t.Errorf("got %+v, %v, want %+v", got, err, want)
	}
}

// BenchmarkReport is the whole report of an installation with 1,000 ScaledJobs and
// 5,000 requests.
func BenchmarkReport(b *testing.B) {
	h := &history{explainer: explain.New(explain.Options{}), url: organization(b), now: time.Now(), common: true}
	for pool := range 100 {
		h.decide(pool+1, 50)
	}
	for b.Loop() {
		h.explainer.Report(b.Context(), explain.Filter{MaxRequests: 5000})
	}
}
