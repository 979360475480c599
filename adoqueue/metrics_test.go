package adoqueue

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

func TestMetrics(t *testing.T) {
	registry := prometheus.NewPedanticRegistry()
	metrics := NewMetrics(registry)
	s := server(t, func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/pools") {
			_, _ = io.WriteString(w, `{"value":[{"id":1,"name":"Linux"}]}`)
			return
		}
		_, _ = io.WriteString(w, `{"value":[{"requestId":1,"queueTime":"2026-01-05T08:00:00Z"},{"requestId":2,"receiveTime":"2026-01-05T08:00:00Z"}]}`)
	})
	client := newMeasuredClient(t, s.URL, PAT(secret), metrics)
	cache := NewCache(client, CacheOptions{})
	defer cache.Close()
	if _, err := cache.Snapshot(t.Context(), linux, time.Minute); err != nil {
		t.Fatal(err)
	}
	want := fmt.Sprintf(`
# HELP ado_agent_orchestrator_pool_job_requests Unfinished job requests of a pool, by state, in its last snapshot.
# TYPE ado_agent_orchestrator_pool_job_requests gauge
ado_agent_orchestrator_pool_job_requests{organization=%[1]q,pool="Linux",state="assigned"} 0
ado_agent_orchestrator_pool_job_requests{organization=%[1]q,pool="Linux",state="queued"} 1
ado_agent_orchestrator_pool_job_requests{organization=%[1]q,pool="Linux",state="running"} 1
# HELP ado_agent_orchestrator_pool_oldest_queued_timestamp_seconds When the longest waiting queued job request was queued; 0 if none waits.
# TYPE ado_agent_orchestrator_pool_oldest_queued_timestamp_seconds gauge
ado_agent_orchestrator_pool_oldest_queued_timestamp_seconds{organization=%[1]q,pool="Linux"} 1.7675999e+09
# HELP ado_agent_orchestrator_azure_devops_requests_total Requests to Azure DevOps, retries included, by operation and HTTP status; code 0 means no answer.
# TYPE ado_agent_orchestrator_azure_devops_requests_total counter
ado_agent_orchestrator_azure_devops_requests_total{code="200",operation="jobrequests",organization=%[1]q} 1
ado_agent_orchestrator_azure_devops_requests_total{code="200",operation="pools",organization=%[1]q} 1
`, s.URL+"/contoso")
	want = strings.Replace(want, "1.7675999e+09", fmt.Sprint(float64(time.Date(2026, 1, 5, 8, 0, 0, 0, time.UTC).Unix())), 1)
	if err := testutil.GatherAndCompare(registry, strings.NewReader(want), "ado_agent_orchestrator_pool_job_requests",
		"ado_agent_orchestrator_pool_oldest_queued_timestamp_seconds", "ado_agent_orchestrator_azure_devops_requests_total"); err != nil {
		t.Error(err)
	}
}

// TestMetricsOfPoolsThatAreServed wants the gauges of a pool while somebody needs
// it, failures of Azure DevOps included, and not for longer.
func TestMetricsOfPoolsThatAreServed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		registry := prometheus.NewPedanticRegistry()
		fake := &organizationFake{}
		client, err := NewClient(parseURL(t, "https://dev.azure.com/contoso"), PAT(secret), Options{HTTPClient: fake, Metrics: NewMetrics(registry)})
		if err != nil {
			t.Fatal(err)
		}
		cache := NewCache(client, CacheOptions{})
		series := func() int {
			t.Helper()
			n, err := testutil.GatherAndCount(registry, "ado_agent_orchestrator_pool_job_requests",
				"ado_agent_orchestrator_pool_oldest_queued_timestamp_seconds", "ado_agent_orchestrator_snapshot_timestamp_seconds")
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
		need := func() { _, _ = cache.Snapshot(t.Context(), linux, time.Second) }
		const ofOnePool = 5
		if _, err := cache.Snapshot(Peeking(t.Context()), linux, time.Second); err != nil {
			t.Fatal(err)
		}
		if n := series(); n != 0 {
			t.Errorf("%d series of a pool that is not served", n)
		}
		need()
		if n := series(); n != ofOnePool {
			t.Errorf("%d series of a pool that is served, want %d", n, ofOnePool)
		}
		fake.set(func(f *organizationFake) { f.failWith = func() *http.Response { return reply(503, "") } })
		for range 3 {
			time.Sleep(shownFor - time.Second)
			need()
		}
		if n := series(); n != ofOnePool {
			t.Errorf("%d series while Azure DevOps fails, want %d", n, ofOnePool)
		}
		time.Sleep(shownFor + time.Second)
		if n := series(); n != 0 {
			t.Errorf("%d series of a pool that nobody needs", n)
		}
		fake.set(func(f *organizationFake) { f.failWith = nil })
		need()
		fake.set(func(f *organizationFake) { f.gone = true })
		time.Sleep(2 * time.Second)
		need()
		if n := series(); n != 0 {
			t.Errorf("%d series of a pool that is gone", n)
		}
		cache.Close()
		if n, _ := testutil.GatherAndCount(registry, "ado_agent_orchestrator_azure_devops_held_until_timestamp_seconds"); n != 0 {
			t.Errorf("%d series of a closed cache", n)
		}
	})
}

func TestMetricsOfDelays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		metrics := NewMetrics(prometheus.NewPedanticRegistry())
		fake := &organizationFake{failWith: func() *http.Response {
			slow := reply(200, `{"value":[]}`)
			slow.Header.Set(rateLimitDelay, "1.5")
			return slow
		}}
		client, err := NewClient(parseURL(t, "https://dev.azure.com/contoso"), PAT(secret), Options{HTTPClient: fake, Metrics: metrics})
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			_, _ = client.JobRequests(t.Context(), Pool{ID: 1})
			time.Sleep(time.Minute)
		}
		if delay := testutil.ToFloat64(metrics.delays.WithLabelValues(client.organization.String())); delay != 3 {
			t.Errorf("%v seconds of delay, want 3", delay)
		}
	})
}
