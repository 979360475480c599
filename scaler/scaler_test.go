package scaler_test

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/zap/zapcore"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue/adotest"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/proto/externalscaler"
)

// azureDevOps is a stand-in with the pool Linux, in which any job can be queued.
func azureDevOps(t testing.TB) *adotest.Server {
	t.Helper()
	s := adotest.Serve(t, adotest.Options{AllowUnmatched: true})
	s.AddPool(adotest.Pool{Name: "Linux"})
	return s
}

func queue(t testing.TB, s *adotest.Server, demands ...string) int64 {
	t.Helper()
	id, err := s.Queue("Linux", adotest.Job{Demands: demands})
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// run puts a request on an agent of this name, which it adds.
func run(t testing.TB, s *adotest.Server, id int64, agent string) {
	t.Helper()
	if _, err := s.AddAgent("Linux", adotest.Agent{Name: agent}); err != nil {
		t.Fatal(err)
	}
	if err := s.Assign(id, agent); err != nil {
		t.Fatal(err)
	}
	if err := s.Receive(id); err != nil {
		t.Fatal(err)
	}
}

func TestCountOwned(t *testing.T) {
	ado := azureDevOps(t)
	b := start(t, benchOptions{}, ado.URL())
	linux := ref("poolName", "linux")
	b.settle(t, linux, 0)

	first, second := queue(t, ado), queue(t, ado)
	third := queue(t, ado)
	b.settle(t, linux, 3)
	run(t, ado, first, "build-bcdfg-fgh2j")
	run(t, ado, second, "somebody-else")
	b.settle(t, linux, 2) // one queued, one on an agent of ours

	other := ref("poolName", "Linux")
	other.Name = "build-gpu" // the queued one only
	b.settle(t, other, 1)
	b.settle(t, ref("poolName", "Linux", "minIdle", "2"), 4)

	for _, id := range []int64{first, second} {
		if err := ado.Finish(id, "succeeded"); err != nil {
			t.Fatal(err)
		}
	}
	if err := ado.Cancel(third); err != nil {
		t.Fatal(err)
	}
	b.settle(t, linux, 0)
}

func TestCapabilities(t *testing.T) {
	ado := azureDevOps(t)
	b := start(t, benchOptions{}, ado.URL())
	queue(t, ado)
	queue(t, ado, "docker")
	queue(t, ado, "Java -gtVersion 17", "docker")
	queue(t, ado, "gpu")
	for capabilities, want := range map[string]float64{"": 1, "docker": 2, "docker,java=21": 3, "docker,java=11": 2, "Docker,Java=17.0.1,GPU": 4} {
		b.settle(t, ref("poolName", "Linux", "capabilities", capabilities), want)
	}
	b.settle(t, ref("poolName", "Linux"), 4)
}

// TestAzureDevOpsOwnWordOnMatches covers requests that all agents registered in
// the pool could run, whatever their demands.
func TestAzureDevOpsOwnWordOnMatches(t *testing.T) {
	ado := azureDevOps(t)
	if _, err := ado.AddAgent("Linux", adotest.Agent{Name: "placeholder", Offline: true, Capabilities: map[string]string{"gpu": "1"}}); err != nil {
		t.Fatal(err)
	}
	b := start(t, benchOptions{}, ado.URL())
	queue(t, ado, "gpu")
	b.settle(t, ref("poolName", "Linux", "capabilities", "docker"), 1)
	b.settle(t, ref("poolName", "Linux", "parent", "placeholder"), 1)
	// With a second agent it is no longer all of them, and the list says which.
	if _, err := ado.AddAgent("Linux", adotest.Agent{Name: "other"}); err != nil {
		t.Fatal(err)
	}
	queue(t, ado, "gpu")
	b.settle(t, ref("poolName", "Linux", "parent", "placeholder"), 2)
	b.settle(t, ref("poolName", "Linux", "parent", "other"), 0)
}

func TestMetricSpecNeedsNoAzureDevOps(t *testing.T) {
	b := start(t, benchOptions{}, "http://127.0.0.1:1/contoso")
	for _, r := range []*externalscaler.ScaledObjectRef{
		ref("poolName", "My Pool / Ünïcode (1)"), ref("poolID", "44"), ref(), ref("count", "nonsense"), nil,
	} {
		spec, err := b.client.GetMetricSpec(t.Context(), r)
		if err != nil || len(spec.GetMetricSpecs()) != 1 {
			t.Fatalf("%v: %v, %v", r, spec, err)
		}
		m := spec.GetMetricSpecs()[0]
		if m.GetTargetSize() != 1 || m.GetTargetSizeFloat() != 1 || strings.Trim(m.GetMetricName(), "abcdefghijklmnopqrstuvwxyz0123456789-") != "" {
			t.Errorf("%v: %v", r, m)
		}
	}
	spec, err := b.client.GetMetricSpec(t.Context(), ref("poolID", "44", "count", "unfinished", "targetPipelinesQueueLength", "3"))
	if err != nil || spec.GetMetricSpecs()[0].GetTargetSize() != 3 || spec.GetMetricSpecs()[0].GetTargetSizeFloat() != 3 {
		t.Errorf("%v, %v, want a target of 3", spec, err)
	}
}

func TestActivationThreshold(t *testing.T) {
	ado := azureDevOps(t)
	b := start(t, benchOptions{}, ado.URL())
	r := ref("poolName", "Linux", "activationTargetPipelinesQueueLength", "2")
	for n, want := range []bool{false, false, false, true} {
		b.settle(t, r, float64(n))
		if got, err := b.client.IsActive(t.Context(), r); err != nil || got.GetResult() != want {
			t.Errorf("%d queued: active %v, %v, want %v", n, got.GetResult(), err, want)
		}
		queue(t, ado)
	}
}

// TestHalvesOfAPollAgree changes the queue as fast as it can while many
// triggers are polled, in either order.
func TestHalvesOfAPollAgree(t *testing.T) {
	ado := azureDevOps(t)
	b := start(t, benchOptions{maxAge: time.Millisecond}, ado.URL())
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() {
		for i := 0; ctx.Err() == nil; i++ {
			list := []string{`[]`, `[{"requestId":1,"queueTime":"2026-01-05T08:00:00Z"}]`}[i%2]
			ado.SetJobRequestsBody("Linux", []byte(list), "application/json")
		}
	})
	var disagreed, seen [2]atomic.Int32
	var pollers sync.WaitGroup
	for i := range 8 {
		pollers.Go(func() {
			r := ref("poolName", "Linux")
			r.Name = fmt.Sprintf("build-%d", i)
			for n := range 150 {
				began := time.Now()
				value, active := b.poll(t, r, i%2 == 0)
				if time.Since(began) > 500*time.Millisecond {
					// KEDA asks for both halves within milliseconds, and they belong together
					// for a second. The next poll comes without a pause, so that its first half
					// would count as the second one of this: go on as another ScaledJob.
					r.Name = fmt.Sprintf("build-%d-%d", i, n)
					continue
				}
				seen[min(int(value), 1)].Add(1)
				if active != (value > 0) {
					disagreed[i%2].Add(1)
				}
			}
		})
	}
	pollers.Wait()
	cancel()
	wg.Wait()
	if disagreed[0].Load() != 0 || disagreed[1].Load() != 0 {
		t.Errorf("%d polls disagreed when metrics came first, %d when they came last", disagreed[0].Load(), disagreed[1].Load())
	}
	if seen[0].Load() == 0 || seen[1].Load() == 0 {
		t.Errorf("saw the queue empty %d times and filled %d times: the test tried nothing", seen[0].Load(), seen[1].Load())
	}
}

func (b *bench) poll(t *testing.T, r *externalscaler.ScaledObjectRef, metricsFirst bool) (value float64, active bool) {
	t.Helper()
	isActive := func() {
		answer, err := b.client.IsActive(t.Context(), r)
		if err != nil {
			t.Error(err)
		}
		active = answer.GetResult()
	}
	if !metricsFirst {
		isActive()
	}
	value, err := b.metric(t.Context(), r)
	if err != nil {
		t.Error(err)
	}
	if metricsFirst {
		isActive()
	}
	return value, active
}

// TestManyTriggersCostOneRequestPerPool polls 200 triggers on 4 pools as fast
// as it can, far faster than KEDA would.
func TestManyTriggersCostOneRequestPerPool(t *testing.T) {
	ado := azureDevOps(t)
	pools := []string{"Linux", "Windows", "Arm", "Mac"}
	ids := map[string]int{}
	for _, name := range pools[1:] {
		ids[name] = ado.AddPool(adotest.Pool{Name: name})
	}
	b := start(t, benchOptions{maxAge: 500 * time.Millisecond}, ado.URL())
	begin := time.Now()
	var wg sync.WaitGroup
	for i := range 200 {
		wg.Go(func() {
			r := ref("poolName", pools[i%4])
			r.Name = fmt.Sprintf("build-%d", i)
			for time.Since(begin) < 2*time.Second {
				b.poll(t, r, true)
			}
		})
	}
	wg.Wait()
	most := int(time.Since(begin)/(500*time.Millisecond)) + 1
	for name, id := range ids {
		if n := ado.Count(adotest.OpJobRequests, id); n < 2 || n > most {
			t.Errorf("pool %s: %d requests, want 2 to %d", name, n, most)
		}
	}
	if n := ado.Count(adotest.OpPools, 0); n != 1 {
		t.Errorf("%d requests for the list of pools, want 1", n)
	}
}

func TestErrorsAreNeverZero(t *testing.T) {
	for _, tt := range []struct {
		name  string
		fault adotest.Fault
		want  codes.Code
	}{
		{"401", adotest.Fault{Status: 401}, codes.Unauthenticated},
		{"403", adotest.Fault{Status: 403}, codes.PermissionDenied},
		{"404", adotest.Fault{Status: 404}, codes.NotFound},
		{"429", adotest.Fault{Status: 429, Header: http.Header{"Retry-After": {"1"}}}, codes.Unavailable},
		{"500", adotest.Fault{Status: 500}, codes.Unavailable},
		{"503", adotest.Fault{Status: 503, Body: []byte("\xef\xbb\xbf{}")}, codes.Unavailable},
		{"sign-in page", adotest.Fault{Status: 203, ContentType: "text/html", Body: []byte("<html>")}, codes.Unauthenticated},
		{"HTML on 200", adotest.Fault{Status: 200, ContentType: "text/html", Body: []byte("<html>")}, codes.Unauthenticated},
		{"empty 200", adotest.Fault{Status: 200, Body: []byte(" ")}, codes.Unavailable},
		{"cut", adotest.Fault{CutAfter: 10}, codes.Unavailable},
		{"reset", adotest.Fault{Reset: true}, codes.Unavailable},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ado := azureDevOps(t)
			b := start(t, benchOptions{}, ado.URL())
			queue(t, ado)
			tt.fault.Operation = adotest.OpJobRequests
			ado.Inject(tt.fault)
			for range 3 {
				value, err := b.metric(t.Context(), ref("poolName", "Linux"))
				if status.Code(err) != tt.want {
					t.Fatalf("metric %v, %v, want %v", value, err, tt.want)
				}
				if active, err := b.client.IsActive(t.Context(), ref("poolName", "Linux")); status.Code(err) != tt.want {
					t.Fatalf("active %v, %v, want %v", active, err, tt.want)
				}
			}
			ado.ClearFaults()
			b.settle(t, ref("poolName", "Linux"), 1)
		})
	}
}

func TestMistakesInMetadata(t *testing.T) {
	ado := azureDevOps(t)
	b := start(t, benchOptions{}, ado.URL())
	r := ref("poolID", "x", "count", "all", "personalAccessToken", "s3cr3t")
	_, err := b.metric(t.Context(), r)
	text := status.Convert(err).Message()
	if status.Code(err) != codes.InvalidArgument || !strings.HasPrefix(text, "3 mistakes in the trigger's metadata: ") || strings.Contains(text, "s3cr3t") {
		t.Errorf("got %v", err)
	}
	if _, err := b.client.IsActive(t.Context(), r); status.Code(err) != codes.InvalidArgument {
		t.Errorf("IsActive: %v", err)
	}
	if n := ado.Count("", 0); n != 0 {
		t.Errorf("%d requests for a trigger that cannot be served", n)
	}
	for _, entry := range b.logs.All() {
		if strings.Contains(fmt.Sprint(entry), "s3cr3t") {
			t.Errorf("the log tells the token: %v", entry)
		}
	}
}

func TestCredentialStaysWithItsOrganization(t *testing.T) {
	named, other := azureDevOps(t), azureDevOps(t)
	b := start(t, benchOptions{}, named.URL())
	_, err := b.metric(t.Context(), ref("poolName", "Linux", "organizationURL", other.URL()))
	if status.Code(err) != codes.InvalidArgument || !strings.Contains(err.Error(), "the scaler has no credential for it; it serves "+named.URL()) {
		t.Errorf("got %v", err)
	}
	if n := other.Count("", 0); n != 0 {
		t.Errorf("%d requests to an organization that the settings do not name", n)
	}
}

func TestSeveralOrganizations(t *testing.T) {
	first, second := azureDevOps(t), azureDevOps(t)
	b := start(t, benchOptions{}, first.URL(), second.CollectionURL()+"/")
	queue(t, second, "Linux")
	b.settle(t, ref("poolName", "Linux", "organizationURL", first.URL()+"/"), 0)
	b.settle(t, ref("poolName", "Linux", "organizationURL", second.CollectionURL()), 1)
}

func TestRevokedPAT(t *testing.T) {
	ado := azureDevOps(t)
	b := start(t, benchOptions{}, ado.URL())
	queue(t, ado)
	b.settle(t, ref("poolName", "Linux"), 1)
	ado.RevokePAT("adotest-pat")
	var err error
	for deadline := time.Now().Add(5 * time.Second); err == nil && time.Now().Before(deadline); {
		_, err = b.metric(t.Context(), ref("poolName", "Linux"))
	}
	if status.Code(err) != codes.Unauthenticated || !strings.Contains(err.Error(), "check that the token is valid") || strings.Contains(err.Error(), "adotest-pat") {
		t.Fatalf("got %v", err)
	}
	ado.AllowPAT("adotest-pat", adotest.ScopeRead)
	b.settle(t, ref("poolName", "Linux"), 1)
}

func TestQuietWhenAllIsWell(t *testing.T) {
	ado := azureDevOps(t)
	b := start(t, benchOptions{}, ado.URL())
	for range 5 {
		b.poll(t, ref("poolName", "Linux"), true)
	}
	b.stop()
	if entries := b.logs.All(); len(entries) != 0 {
		t.Errorf("logged %v", entries)
	}
}

func TestFailuresAreLoggedOnce(t *testing.T) {
	ado := azureDevOps(t)
	b := start(t, benchOptions{}, ado.URL())
	_, _ = b.metric(t.Context(), ref("poolName", "nowhere"))
	entries := b.logs.FilterLevelExact(zapcore.WarnLevel).All()
	if len(entries) != 1 || !slices.ContainsFunc(entries[0].Context, func(f zapcore.Field) bool { return f.Key == "grpc.code" && f.String == "NotFound" }) ||
		!slices.ContainsFunc(entries[0].Context, func(f zapcore.Field) bool { return f.Key == "name" && f.String == "build" }) {
		t.Errorf("logged %v", entries)
	}
}

func BenchmarkPoll(b *testing.B) {
	ado := azureDevOps(b)
	for range 100 {
		queue(b, ado, "docker")
	}
	bench := start(b, benchOptions{maxAge: time.Hour}, ado.URL())
	r := ref("poolName", "Linux", "capabilities", "docker")
	b.ReportAllocs()
	for b.Loop() {
		answer, err := bench.client.GetMetrics(b.Context(), &externalscaler.GetMetricsRequest{ScaledObjectRef: r})
		if err != nil || answer.GetMetricValues()[0].GetMetricValue() != 100 {
			b.Fatal(answer, err)
		}
		if active, err := bench.client.IsActive(b.Context(), r); err != nil || !active.GetResult() {
			b.Fatal(active, err)
		}
	}
}
