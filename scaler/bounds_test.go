package scaler_test

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap/zapcore"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue/adotest"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/proto/externalscaler"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/attack"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/engine"
)

// from returns an attacker of a scaler.
func (b *bench) from(address string) attack.Target { return attack.Target{GRPC: b.addr, From: address} }

func (b *bench) clientFrom(t *testing.T, address string) externalscaler.ExternalScalerClient {
	t.Helper()
	conn, err := b.from(address).Client()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return externalscaler.NewExternalScalerClient(conn)
}

func TestMessagesAndHeadersAreBounded(t *testing.T) {
	b := start(t, benchOptions{}, azureDevOps(t).URL())
	_, err := b.client.IsActive(t.Context(), attack.Keys(340_000))
	if status.Code(err) != codes.ResourceExhausted {
		t.Errorf("a call with 340,000 keys: %.200v", err)
	}
	_, err = b.client.IsActive(t.Context(), attack.Keys(5000)) // fits
	if status.Code(err) != codes.InvalidArgument || len(err.Error()) > 4<<10 {
		t.Errorf("a call with 5,000 keys: %.200v", err)
	}
	for _, test := range []struct {
		header int
		fits   bool
	}{{8 << 10, true}, {20 << 10, false}} {
		ctx := metadata.AppendToOutgoingContext(t.Context(), "x", strings.Repeat("v", test.header))
		if _, err := b.client.IsActive(ctx, ref("poolName", "Linux")); (err == nil) != test.fits {
			t.Errorf("a header of %d bytes: %v", test.header, err)
		}
	}
	b.settle(t, ref("poolName", "Linux"), 0)
}

// TestOpenStreamsAreShared opens more streams than there are from one address.
func TestOpenStreamsAreShared(t *testing.T) {
	b := start(t, benchOptions{}, azureDevOps(t).URL())
	open := func(client externalscaler.ExternalScalerClient) error {
		stream, err := client.StreamIsActive(t.Context(), ref("poolName", "Linux"))
		if err != nil {
			return err
		}
		_, err = stream.Recv()
		return err
	}
	attacker := b.clientFrom(t, "127.0.0.2")
	opened := 0
	for ; opened < 1000; opened++ {
		if err := open(attacker); err != nil {
			if status.Code(err) != codes.ResourceExhausted {
				t.Fatal(err)
			}
			break
		}
	}
	if opened < 50 || opened > 100 {
		t.Errorf("one caller has %d streams open, want half of 200", opened)
	}
	if err := open(b.client); err != nil {
		t.Errorf("another caller: %v", err)
	}
	b.settle(t, ref("poolName", "Linux"), 0)
}

// TestCallsWithoutAMessageEnd holds calls open by not sending their message.
func TestCallsWithoutAMessageEnd(t *testing.T) {
	b := start(t, benchOptions{timeout: time.Second}, azureDevOps(t).URL())
	b.settle(t, ref("poolName", "Linux"), 0)
	before := runtime.NumGoroutine()
	const calls = 250
	handlers := 0
	for range 5 {
		conn, err := b.from("127.0.0.2").Open(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		go conn.Discard()
		for range calls {
			if _, err := conn.Call("/externalscaler.ExternalScaler/IsActive"); err != nil {
				t.Fatal(err)
			}
			handlers = max(handlers, runtime.NumGoroutine()-before)
		}
	}
	for deadline := time.Now().Add(20 * time.Second); ; {
		now := runtime.NumGoroutine() - before
		handlers = max(handlers, now)
		if handlers > calls && now < calls/2 {
			break // they have come and gone
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d goroutines at most, still %d", handlers, now)
		}
		time.Sleep(time.Millisecond)
	}
	b.settle(t, ref("poolName", "Linux"), 0)
}

func TestConnectionsAreShared(t *testing.T) {
	b := start(t, benchOptions{}, azureDevOps(t).URL())
	accepted := 0
	for range 300 {
		conn, err := b.from("127.0.0.2").Dial(t.Context(), b.addr)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		if _, err := conn.Read(make([]byte, 1)); err == nil { // the server's settings
			accepted++
		}
	}
	if accepted < 32 || accepted > 64 {
		t.Errorf("%d of 300 connections of one caller are accepted, want at most half of 128", accepted)
	}
	b.settle(t, ref("poolName", "Linux"), 0)
}

// TestOpenedAndCancelled opens calls and cancels them, while KEDA polls.
func TestOpenedAndCancelled(t *testing.T) {
	b := start(t, benchOptions{}, azureDevOps(t).URL())
	b.settle(t, ref("poolName", "Linux"), 0)
	before := runtime.NumGoroutine()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	attacked := make(chan struct{})
	go func() {
		defer close(attacked)
		attack.OpenAndCancel(ctx, b.from("127.0.0.2"))
	}()
	most := 0
	for ctx.Err() == nil {
		most = max(most, runtime.NumGoroutine()-before)
		b.settle(t, ref("poolName", "Linux"), 0)
	}
	<-attacked
	if most > 2000 {
		t.Errorf("%d goroutines", most)
	}
}

// waiting is a Queue that answers when the caller goes.
type waiting struct {
	begun chan struct{}
	ended chan error
}

func (w waiting) Snapshot(ctx context.Context, _ adoqueue.PoolRef, _ time.Duration) (*adoqueue.Snapshot, error) {
	w.begun <- struct{}{}
	<-ctx.Done()
	w.ended <- ctx.Err()
	return nil, ctx.Err()
}

func (waiting) ParallelJobs(context.Context, time.Duration) (adoqueue.ParallelJobs, error) {
	return adoqueue.ParallelJobs{}, nil
}

func TestCancelledCallEnds(t *testing.T) {
	queue := waiting{make(chan struct{}), make(chan error)}
	b := startWith(t, benchOptions{}, []engine.Organization{{URL: parseURL(t, "https://dev.azure.com/contoso"), Queue: queue}})
	ctx, cancel := context.WithCancel(t.Context())
	go func() { _, _ = b.client.IsActive(ctx, ref("poolName", "Linux")) }()
	<-queue.begun
	cancel()
	if err := <-queue.ended; status.FromContextError(err).Code() != codes.Canceled {
		t.Errorf("the work ends with %v, want it cancelled", err)
	}
}

// TestOutageIsLoggedOnce polls through an outage of Azure DevOps.
func TestOutageIsLoggedOnce(t *testing.T) {
	ado := azureDevOps(t)
	b := start(t, benchOptions{}, ado.URL())
	b.poll(t, ref("poolName", "Linux"), false)
	ado.RevokePAT("adotest-pat")
	failed := 0
	for deadline := time.Now().Add(20 * time.Second); failed < 50 && time.Now().Before(deadline); {
		if _, err := b.metric(t.Context(), ref("poolName", "Linux")); err != nil {
			failed++
		}
	}
	ado.AllowPAT("adotest-pat", adotest.ScopeRead)
	b.settle(t, ref("poolName", "Linux"), 0)
	if n, again := b.logs.FilterMessage("call failed").Len(), b.logs.FilterMessage("calls succeed again").Len(); failed < 50 || n != 1 || again != 1 {
		t.Errorf("%d lines for %d failures, and %d that they have ended", n, failed, again)
	}
}

// TestMadeUpNamesAreNotLogged calls in the name of many ScaledJobs.
func TestMadeUpNamesAreNotLogged(t *testing.T) {
	b := start(t, benchOptions{}, azureDevOps(t).URL())
	for i := range 2000 {
		request := &externalscaler.GetMetricsRequest{ScaledObjectRef: &externalscaler.ScaledObjectRef{Name: fmt.Sprint("n", i, strings.Repeat("x", i)), Namespace: "made-up"}}
		if _, err := b.client.GetMetrics(t.Context(), request); status.Code(err) != codes.InvalidArgument {
			t.Fatal(err)
		}
	}
	entries := b.logs.FilterLevelExact(zapcore.WarnLevel)
	if n := entries.Len(); n == 0 || n > 201 {
		t.Errorf("%d lines", n)
	}
	for _, entry := range entries.All() {
		if name, _ := entry.ContextMap()["name"].(string); len(name) > 300 {
			t.Errorf("a name of %d bytes is logged", len(name))
		}
	}
}
