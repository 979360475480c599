package faults

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue/adotest"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/proto/externalscaler"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/attack"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/test/cluster"
)

// hostile is an Azure DevOps that answers for all pools but Linux with what costs as
// much as possible.
type hostile struct {
	name  string
	pools int // that callers name, besides Linux
	begin func(t *testing.T, ado *adotest.Server)
	// front stands before the organization, if not nil, and breaks all of it.
	front   func(*adotest.Server, string) (*Front, error)
	callers int // that call without a pause, for each of 8 connections
	// want is how many requests callers have to get once at least, or 0.
	want int64
}

// hostiles are the attacks by answers.
func hostiles() []hostile {
	return []hostile{
		{name: "lists of {}", pools: 50, callers: 40, begin: func(t *testing.T, ado *adotest.Server) {
			body := zipped(t, func(w io.Writer) error { return repeat(w, `{"value":[{}`, `,{}`, `]}`, 10_000_000) })
			ado.Inject(gzipFault(200, body))
		}},
		{name: "gzip bombs of ten statuses", pools: 50, callers: 40, begin: func(t *testing.T, ado *adotest.Server) {
			body := zipped(t, func(w io.Writer) error { return repeat(w, `{"message":"`, strings.Repeat("a", 1000), `"}`, 1<<20) })
			for i := range 20_000 {
				f := gzipFault(bombStatuses[i%len(bombStatuses)], body)
				f.Times = 1
				ado.Inject(f)
			}
		}},
		{name: "100,000 requests of a pool", pools: 1, callers: 1, want: 100_000, begin: func(t *testing.T, ado *adotest.Server) {
			body := zipped(t, func(w io.Writer) error { return manyRequests(w, 100_000) })
			ado.Inject(gzipFault(200, body))
		}},
		{name: "5,000 pools that do not answer", pools: 5000, callers: 40, begin: func(_ *testing.T, ado *adotest.Server) {
			ado.Inject(adotest.Fault{Operation: adotest.OpJobRequests, Delay: time.Hour})
		}},
		{name: "answers that trickle", pools: 50, callers: 40, begin: func(t *testing.T, ado *adotest.Server) {
			body := zipped(t, func(w io.Writer) error { return manyRequests(w, 100_000) })
			f := gzipFault(200, body)
			f.Pace = 100 * time.Millisecond
			ado.Inject(f)
		}},
		{name: "GOAWAY at each stream", pools: 1, callers: 40, front: goAwayFront, begin: func(*testing.T, *adotest.Server) {}},
	}
}

func gzipFault(status int, body []byte) adotest.Fault {
	return adotest.Fault{
		Operation: adotest.OpJobRequests, Status: status, Body: body, ContentType: "application/json",
		Header: http.Header{"Content-Encoding": {"gzip"}},
	}
}

// TestAttacksByAnswers polls pools that are answered so, while KEDA polls one that is
// well.
func TestAttacksByAnswers(t *testing.T) {
	programs, err := cluster.Build(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range hostiles() {
		t.Run(h.name, func(t *testing.T) {
			ado, linux := organization(t)
			for i := range h.pools {
				ado.AddPool(adotest.Pool{Name: hostilePool(i)})
			}
			// The oldest fault hits, and this is none.
			ado.Inject(adotest.Fault{Operation: adotest.OpJobRequests, PoolID: linux})
			h.begin(t, ado)
			env := []string{"ORG_URL=" + ado.URL()}
			k, breakOff := &keda{}, func() {}
			if h.front != nil {
				front, err := h.front(ado, filepath.Clean(t.TempDir()))
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { _ = front.Close() })
				env = append([]string{"ORG_URL=" + front.URL}, front.Env...)
				k.outage, breakOff = true, front.Break
			}
			p := start(t, programs.Scaler, env...)
			k.addr = p.scaler.Addr
			attackBy(t, p, k, func(ctx context.Context, t *testing.T) {
				breakOff()
				pollHostile(ctx, t, h, p.scaler.Addr)
			})
		})
	}
}

func hostilePool(i int) string { return fmt.Sprint("hostile-", i) }

// pollHostile asks for the hostile pools, in turn, as often as the scaler answers.
func pollHostile(ctx context.Context, t *testing.T, h hostile, addr string) {
	var workers sync.WaitGroup
	var mu sync.Mutex
	next, most := 0, int64(0)
	pool := func() string {
		mu.Lock()
		defer mu.Unlock()
		next++
		return hostilePool(next % h.pools)
	}
	for range 8 {
		workers.Go(func() {
			conn, err := attack.Target{GRPC: addr, From: "127.0.0.9"}.Client()
			if err != nil {
				t.Error(err)
				return
			}
			defer conn.Close()
			client := externalscaler.NewExternalScalerClient(conn)
			var calls sync.WaitGroup
			for range h.callers {
				calls.Go(func() {
					for ctx.Err() == nil {
						n := askFor(ctx, client, pool())
						mu.Lock()
						most = max(most, n)
						mu.Unlock()
						wait(ctx, 100*time.Millisecond)
					}
				})
			}
			calls.Wait()
		})
	}
	workers.Wait()
	if *attackFor >= 10*time.Second && most < h.want {
		t.Errorf("callers got %d requests, want %d", most, h.want)
	}
}

func askFor(ctx context.Context, client externalscaler.ExternalScalerClient, pool string) int64 {
	answer, err := client.GetMetrics(ctx, &externalscaler.GetMetricsRequest{ScaledObjectRef: &externalscaler.ScaledObjectRef{
		Name: "attack", Namespace: "attacker", ScalerMetadata: map[string]string{"poolName": pool},
	}})
	if err != nil {
		return 0
	}
	return answer.GetMetricValues()[0].GetMetricValue()
}

func zipped(t *testing.T, write func(io.Writer) error) []byte {
	t.Helper()
	var body bytes.Buffer
	zip := gzip.NewWriter(&body)
	if err := write(zip); err != nil {
		t.Fatal(err)
	}
	if err := zip.Close(); err != nil {
		t.Fatal(err)
	}
	return body.Bytes()
}

// repeat writes n repetitions of unit between head and tail.
func repeat(w io.Writer, head, unit, tail string, n int) error {
	const block = 1000
	units := []byte(strings.Repeat(unit, block))
	if _, err := io.WriteString(w, head); err != nil {
		return err
	}
	for range n / block {
		if _, err := w.Write(units); err != nil {
			return err
		}
	}
	_, err := io.WriteString(w, tail)
	return err
}

// manyRequests writes a list of n requests of a pool, each with all that Azure DevOps
// says of one.
func manyRequests(w io.Writer, n int) error {
	agents := make([]map[string]any, 5)
	for i := range agents {
		agents[i] = map[string]any{
			"id": i, "name": fmt.Sprint("agent-", i), "version": "4.255.0", "enabled": true, "status": "offline",
			"_links": map[string]any{"self": map[string]string{"href": fmt.Sprint("https://dev.azure.com/contoso/_apis/distributedtask/pools/44/agents/", i)}},
		}
	}
	if _, err := fmt.Fprintf(w, `{"count":%d,"value":[{"requestId":1,"queueTime":"2026-01-05T08:00:00Z"}`, n); err != nil {
		return err
	}
	for id := 2; id <= n; id++ {
		request, err := json.Marshal(map[string]any{
			"requestId": id, "queueTime": "2026-01-05T08:00:00.1266667Z", "planType": "Build",
			"jobId":         fmt.Sprintf("44444444-4444-4444-8444-%012d", id),
			"demands":       []string{"Agent.Version -gtVersion 2.182.1", "docker", fmt.Sprint("size -equals ", id%10)},
			"matchedAgents": agents, "priority": 0,
			"definition": map[string]any{"id": 7, "name": "app - main"},
			"owner":      map[string]any{"id": 501, "name": fmt.Sprint("20260105.", id)},
		})
		if err != nil {
			return err
		}
		if _, err := w.Write(append([]byte(","), request...)); err != nil {
			return err
		}
	}
	_, err := io.WriteString(w, "]}")
	return err
}
