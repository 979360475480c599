package faults

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue/adotest"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/proto/externalscaler"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/attack"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/test/cluster"
)

// attackFor is how long each attack lasts. The bound on the latency counts from
// ten seconds on: before, it would measure what else the machine does.
var attackFor = flag.Duration("attack.for", 3*time.Second, "how long each attack lasts")

const (
	memoryLimit = 256 << 20 // of the chart
	maxResident = 200 << 20
	maxLatency  = 250 * time.Millisecond
	maxLog      = 1 << 20 // of each attack, and per minute of it
)

// asAttacker names, in the environment, the attack that the test binary makes
// instead of running tests. An attacker has its own processors; here it is a process
// of the lowest priority, so that the bounds are measured and not the machine.
const asAttacker = "ADO_AGENT_ORCHESTRATOR_ATTACK"

func TestMain(m *testing.M) {
	name, attacks := os.LookupEnv(asAttacker)
	if !attacks {
		os.Exit(m.Run())
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	if err := syscall.Setpriority(syscall.PRIO_PROCESS, 0, 19); err != nil {
		panic(err)
	}
	i := slices.IndexFunc(attack.All, func(a attack.Attack) bool { return a.Name == name })
	attack.All[i].Run(ctx, attack.Target{GRPC: os.Args[1], HTTP: os.Args[2], From: os.Args[3]})
}

// attackWith makes an attack until ctx ends.
func attackWith(ctx context.Context, t *testing.T, name string, args ...string) {
	command := exec.CommandContext(ctx, os.Args[0], args...)
	command.Env = []string{asAttacker + "=" + name}
	command.Cancel = func() error { return command.Process.Signal(syscall.SIGTERM) }
	command.WaitDelay = time.Second
	output, err := command.CombinedOutput()
	if ctx.Err() == nil {
		t.Errorf("the attack ended by itself: %v\n%s", err, output)
	}
}

// TestAttacks attacks a scaler from one address while KEDA polls from another.
func TestAttacks(t *testing.T) {
	programs, err := cluster.Build(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for i, a := range attack.All {
		t.Run(a.Name, func(t *testing.T) {
			ado, _ := organization(t)
			p := start(t, programs.Scaler, "ORG_URL="+ado.URL())
			attackBy(t, p, &keda{addr: p.scaler.Addr}, func(ctx context.Context, t *testing.T) {
				attackWith(ctx, t, a.Name, p.scaler.Addr, p.scaler.HTTPAddr, fmt.Sprintf("127.0.0.%d", 2+i))
			})
		})
	}
}

// organization has five jobs in the pool that KEDA polls.
func organization(t *testing.T) (ado *adotest.Server, linux int) {
	t.Helper()
	ado = adotest.Serve(t, adotest.Options{AllowUnmatched: true})
	linux = ado.AddPool(adotest.Pool{Name: "Linux"})
	for range 5 {
		if _, err := ado.Queue("Linux", adotest.Job{}); err != nil {
			t.Fatal(err)
		}
	}
	return ado, linux
}

// attackBy checks the scaler and KEDA's answers while an attack lasts. It begins with
// KEDA's first answer.
func attackBy(t *testing.T, p *process, k *keda, during func(context.Context, *testing.T)) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), *attackFor)
	defer cancel()
	first := make(chan struct{})
	var work sync.WaitGroup
	work.Go(func() { k.poll(ctx, t, first) })
	work.Go(func() { p.watch(ctx) })
	work.Go(func() {
		<-first
		during(ctx, t)
	})
	work.Wait()
	p.check(t)
	k.check(t)
}

// process is a scaler that is watched.
type process struct {
	scaler   *cluster.Scaler
	pid      int
	resident int // the most that was seen, in bytes
	log      bytes.Buffer
}

func start(t *testing.T, program string, env ...string) *process {
	t.Helper()
	p := &process{}
	scaler, err := cluster.StartScaler(program, append(env,
		"ORG_PAT=adotest-pat", "KUBE=off",
		// As in the container: 90 % of its limit.
		"GOMEMLIMIT="+strconv.Itoa(memoryLimit*9/10),
	), &p.log)
	if err != nil {
		t.Fatal(err)
	}
	p.scaler, p.pid = scaler, scaler.PID()
	t.Cleanup(func() { _ = scaler.Stop() })
	return p
}

// watch keeps the largest resident size.
func (p *process) watch(ctx context.Context) {
	for ctx.Err() == nil {
		p.resident = max(p.resident, p.memory())
		wait(ctx, 20*time.Millisecond)
	}
}

// memory returns the resident size in bytes, and one that no bound allows if the
// process is gone.
func (p *process) memory() int {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.pid))
	for line := range strings.Lines(string(text)) {
		if fields := strings.Fields(line); len(fields) == 3 && fields[0] == "VmRSS:" {
			kilobytes, _ := strconv.Atoi(fields[1])
			return kilobytes << 10
		}
	}
	return 1 << 40
}

func (p *process) check(t *testing.T) {
	t.Helper()
	if p.resident > maxResident {
		t.Errorf("resident up to %d MiB, want at most %d", p.resident>>20, maxResident>>20)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for _, path := range []string{"/healthz", "/metrics"} {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+p.scaler.HTTPAddr+path, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatalf("after the attack: %v", err)
		}
		_ = response.Body.Close()
	}
	if err := p.scaler.Stop(); err != nil {
		t.Errorf("it does not stop as usual: %v", err)
	}
	if n := p.log.Len(); n > maxLog*int(1+attackFor.Minutes()) {
		t.Errorf("%d KiB of log", n>>10)
	}
	t.Logf("resident up to %d MiB, %v of processor time, %d KiB of log", p.resident>>20, p.scaler.ProcessorTime(), p.log.Len()>>10)
}

// keda polls a few ScaledJobs on one connection.
type keda struct {
	addr      string
	latencies []time.Duration
	failures  []error

	outage bool // calls may fail, since all of the organization does not answer
	failed int  // of those
}

// enoughCalls is how many have to be answered at least.
const enoughCalls = 5

// poll closes first after the first answer, or its failure.
func (k *keda) poll(ctx context.Context, t *testing.T, first chan struct{}) {
	begin := sync.OnceFunc(func() { close(first) })
	defer begin()
	conn, err := grpc.NewClient(k.addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Error(err)
		return
	}
	defer conn.Close()
	client := externalscaler.NewExternalScalerClient(conn)
	ref := &externalscaler.ScaledObjectRef{Name: "build", Namespace: "ado", ScalerMetadata: map[string]string{"poolName": "Linux"}}
	for ctx.Err() == nil || len(k.latencies) < enoughCalls { // a busy machine makes few in the time
		bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
		sent := time.Now()
		answer, err := client.GetMetrics(bounded, &externalscaler.GetMetricsRequest{ScaledObjectRef: ref})
		cancel()
		if err == nil && answer.GetMetricValues()[0].GetMetricValue() != 5 {
			err = fmt.Errorf("the metric is %v", answer.GetMetricValues())
		}
		begin()
		if k.outage && status.Code(err) == codes.Unavailable {
			k.failed++
		} else if err != nil {
			k.failures = append(k.failures, err)
		}
		k.latencies = append(k.latencies, time.Since(sent))
		wait(ctx, 20*time.Millisecond)
	}
}

func (k *keda) check(t *testing.T) {
	t.Helper()
	if n := len(k.failures); n > 0 {
		t.Errorf("%d of %d calls of KEDA failed, such as: %v", n, len(k.latencies), k.failures[0])
	}
	if len(k.latencies) < enoughCalls {
		t.Fatalf("KEDA made only %d calls", len(k.latencies))
	}
	slices.Sort(k.latencies)
	p99 := k.latencies[len(k.latencies)*99/100]
	if *attackFor >= 10*time.Second && p99 > maxLatency {
		t.Errorf("KEDA's p99 is %v, want at most %v", p99, maxLatency)
	}
	t.Logf("%d calls of KEDA, %d without an answer, p50 %v, p99 %v", len(k.latencies), k.failed, k.latencies[len(k.latencies)/2].Round(time.Millisecond), p99.Round(time.Millisecond))
}

func wait(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}
