package faults

import (
	"context"
	"net"
	"testing"
	"time"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/proto/externalscaler"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
)

// scalerFake answers by the name of the ScaledJob.
type scalerFake struct {
	externalscaler.UnimplementedExternalScalerServer
}

func (scalerFake) GetMetrics(_ context.Context, r *externalscaler.GetMetricsRequest) (*externalscaler.GetMetricsResponse, error) {
	if r.GetScaledObjectRef().GetName() == "broken" {
		return nil, status.Error(codes.Unavailable, "no")
	}
	return &externalscaler.GetMetricsResponse{MetricValues: []*externalscaler.MetricValue{{MetricName: "m", MetricValueFloat: 7}}}, nil
}

func (scalerFake) IsActive(context.Context, *externalscaler.ScaledObjectRef) (*externalscaler.IsActiveResponse, error) {
	return &externalscaler.IsActiveResponse{}, nil
}

// tapped is a scaler, a link to it with a tap, and a client.
func tappedScaler(t *testing.T) (*Link, *Tap, externalscaler.ExternalScalerClient) {
	t.Helper()
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer()
	externalscaler.RegisterExternalScalerServer(server, scalerFake{})
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(server.Stop)
	tap := &Tap{}
	link, err := NewLink(listener.Addr().String(), tap.Connection)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = link.Close() })
	conn, err := grpc.NewClient(link.Addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return link, tap, externalscaler.NewExternalScalerClient(conn)
}

func ask(ctx context.Context, client externalscaler.ExternalScalerClient, name string) error {
	_, err := client.GetMetrics(ctx, &externalscaler.GetMetricsRequest{ScaledObjectRef: &externalscaler.ScaledObjectRef{Name: name}})
	return err
}

func TestTap(t *testing.T) {
	_, tap, client := tappedScaler(t)
	for range 3 { // the table of headers changes what the later ones look like
		if err := ask(t.Context(), client, "build"); err != nil {
			t.Fatal(err)
		}
	}
	if err := ask(t.Context(), client, "broken"); status.Code(err) != codes.Unavailable {
		t.Fatal(err)
	}
	if _, err := client.IsActive(t.Context(), &externalscaler.ScaledObjectRef{Name: "build"}); err != nil {
		t.Fatal(err)
	}
	answers, err := tap.Answers()
	if err != nil || len(answers) != 5 || tap.Polls() != 4 {
		t.Fatalf("%d answers, %d polls, %v", len(answers), tap.Polls(), err)
	}
	for i, want := range []Answer{
		{Method: "GetMetrics", Value: 7, Status: "0"},
		{Method: "GetMetrics", Value: 7, Status: "0"},
		{Method: "GetMetrics", Value: 7, Status: "0"},
		{Method: "GetMetrics", Status: "14"},
		{Method: "IsActive", Status: "0"},
	} {
		got := answers[i]
		if got.Begin.After(got.End) || got.Method != want.Method || got.Value != want.Value || got.Status != want.Status {
			t.Errorf("answer %d is %+v, want %+v", i, got, want)
		}
	}
}

func TestLink(t *testing.T) {
	link, _, client := tappedScaler(t)
	if err := ask(t.Context(), client, "build"); err != nil {
		t.Fatal(err)
	}
	link.Cut()
	if err := ask(t.Context(), client, "build"); status.Code(err) != codes.Unavailable {
		t.Errorf("cut: %v", err)
	}
	link.Restore()
	wait := grpc.WaitForReady(true)
	request := &externalscaler.GetMetricsRequest{ScaledObjectRef: &externalscaler.ScaledObjectRef{Name: "build"}}
	if _, err := client.GetMetrics(t.Context(), request, wait); err != nil {
		t.Errorf("restored: %v", err)
	}
	link.Stall()
	answered := make(chan error, 1)
	go func() { answered <- ask(t.Context(), client, "build") }()
	select {
	case err := <-answered:
		t.Errorf("stalled: %v", err)
	case <-time.After(100 * time.Millisecond):
	}
	link.Restore()
	if err := <-answered; err != nil {
		t.Errorf("what was held back: %v", err)
	}
}
