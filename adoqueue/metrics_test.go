package adoqueue

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
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
	cache := NewCache(client, CacheOptions{Metrics: metrics})
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
# HELP ado_agent_orchestrator_pool_oldest_queued_timestamp_seconds When the longest waiting queued job request was queued, 0 if none waits.
# TYPE ado_agent_orchestrator_pool_oldest_queued_timestamp_seconds gauge
ado_agent_orchestrator_pool_oldest_queued_timestamp_seconds{organization=%[1]q,pool="Linux"} 1.7675999e+09
# HELP ado_agent_orchestrator_azure_devops_requests_total Requests to Azure DevOps, retries included, by operation and HTTP status; code 0 means no answer.
# TYPE ado_agent_orchestrator_azure_devops_requests_total counter
ado_agent_orchestrator_azure_devops_requests_total{code="200",operation="jobrequests"} 1
ado_agent_orchestrator_azure_devops_requests_total{code="200",operation="pools"} 1
`, s.URL+"/contoso")
	want = strings.Replace(want, "1.7675999e+09", fmt.Sprint(float64(time.Date(2026, 1, 5, 8, 0, 0, 0, time.UTC).Unix())), 1)
	if err := testutil.GatherAndCompare(registry, strings.NewReader(want), "ado_agent_orchestrator_pool_job_requests",
		"ado_agent_orchestrator_pool_oldest_queued_timestamp_seconds", "ado_agent_orchestrator_azure_devops_requests_total"); err != nil {
		t.Error(err)
	}
	metrics.forget(client.organization, Pool{ID: 1, Name: "Linux"})
	if n := testutil.CollectAndCount(metrics.jobs); n != 0 {
		t.Errorf("%d series of a forgotten pool", n)
	}
}
