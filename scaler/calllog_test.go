package scaler

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/proto/externalscaler"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/plan"
)

// callsThat end with an error, or none, each about the same ScaledJob.
func callsThat(l *callLog, times int, err error) {
	request := &externalscaler.GetMetricsRequest{ScaledObjectRef: &externalscaler.ScaledObjectRef{Namespace: "ado", Name: "build"}}
	for range times {
		_, _ = l.unary(context.Background(), request, &grpc.UnaryServerInfo{FullMethod: "/GetMetrics"},
			func(context.Context, any) (any, error) { return nil, err })
	}
}

func TestFailuresAreLoggedEveryMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		core, logs := observer.New(zap.InfoLevel)
		l := newCallLog(zap.New(core), func(plan.Key) bool { return true })
		outage := status.Error(codes.Unavailable, "Azure DevOps does not answer")
		callsThat(l, 20, outage)
		time.Sleep(time.Minute)
		callsThat(l, 20, outage)
		time.Sleep(10 * time.Second)
		callsThat(l, 1, nil)
		callsThat(l, 20, outage) // within the minute
		callsThat(l, 1, nil)
		callsThat(l, 1, status.Error(codes.Canceled, "the caller has gone"))
		var got []string
		for _, entry := range logs.All() {
			got = append(got, fmt.Sprint(entry.Message, " ", entry.ContextMap()["failuresNotLogged"]))
		}
		want := []string{"call failed <nil>", "call failed 19", "calls succeed again <nil>"}
		if !slices.Equal(got, want) {
			t.Errorf("logged %q, want %q", got, want)
		}
	})
}

// TestFailingIsForgotten checks that what is kept of callers does not grow.
func TestFailingIsForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newCallLog(zap.NewNop(), func(plan.Key) bool { return false })
		for i := range 10 * maxFailing {
			l.failed(plan.Key{Namespace: "made-up", Name: strconv.Itoa(i)})
		}
		if n := len(l.failing); n > maxFailing+1 {
			t.Errorf("%d names are kept", n)
		}
		time.Sleep(3 * logEvery)
		l.failed(plan.Key{Namespace: "made-up", Name: "later"})
		if n := len(l.failing); n != 1 {
			t.Errorf("%d names are kept, want those of the last minutes", n)
		}
	})
}
