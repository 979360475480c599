package attack

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/proto/externalscaler"
)

// Keys returns a call's message with that many keys of metadata.
func Keys(n int) *externalscaler.ScaledObjectRef {
	ref := &externalscaler.ScaledObjectRef{Name: "build", Namespace: "attacker", ScalerMetadata: map[string]string{}}
	for i := range n {
		ref.ScalerMetadata[strconv.FormatInt(int64(i), 36)] = ""
	}
	return ref
}

func manyKeys(ctx context.Context, t Target) {
	ref := Keys(340_000)
	clients(ctx, t, 4, func(ctx context.Context, client *grpc.ClientConn) {
		_, _ = externalscaler.NewExternalScalerClient(client).IsActive(ctx, ref)
	})
}

func largestMessages(ctx context.Context, t Target) {
	ref := Keys(340_000)
	keys := slices.Sorted(maps.Keys(ref.GetScalerMetadata()))
	for excess := proto.Size(ref) - 64<<10; excess > 0; excess = proto.Size(ref) - 64<<10 {
		n := max(1, min(excess/10, len(keys)))
		for _, key := range keys[:n] {
			delete(ref.ScalerMetadata, key)
		}
		keys = keys[n:]
	}
	clients(ctx, t, 4, func(ctx context.Context, client *grpc.ClientConn) {
		each(ctx, 250, func(ctx context.Context, _ int) {
			_, _ = externalscaler.NewExternalScalerClient(client).IsActive(ctx, ref)
		})
	})
}

// openStreams keeps 10,000 streams open, or as many as it gets.
func openStreams(ctx context.Context, t Target) {
	ref := &externalscaler.ScaledObjectRef{Name: "build", Namespace: "attacker", ScalerMetadata: map[string]string{"poolName": "Linux"}}
	clients(ctx, t, 20, func(ctx context.Context, client *grpc.ClientConn) {
		each(ctx, 500, func(ctx context.Context, _ int) {
			stream, err := externalscaler.NewExternalScalerClient(client).StreamIsActive(ctx, ref)
			for err == nil {
				_, err = stream.Recv()
			}
			pause(ctx, time.Second)
		})
	})
}

func manyNames(ctx context.Context, t Target) {
	name := strings.Repeat("n", 1000)
	clients(ctx, t, 12, func(ctx context.Context, client *grpc.ClientConn) {
		for i := 0; i < 10_000 && ctx.Err() == nil; i++ {
			_, _ = externalscaler.NewExternalScalerClient(client).IsActive(ctx, &externalscaler.ScaledObjectRef{
				Name: fmt.Sprint(name[:i%1000], i), Namespace: "attacker", ScalerMetadata: map[string]string{"poolName": "Linux"},
			})
		}
	})
}

func unknownPools(ctx context.Context, t Target) {
	var mu sync.Mutex
	pool := 0
	clients(ctx, t, 12, func(ctx context.Context, client *grpc.ClientConn) {
		for range 10_000 {
			mu.Lock()
			pool++
			metadata := map[string]string{"poolName": fmt.Sprint("none-", pool)}
			mu.Unlock()
			_, _ = externalscaler.NewExternalScalerClient(client).IsActive(ctx, &externalscaler.ScaledObjectRef{
				Name: "build", Namespace: "attacker", ScalerMetadata: metadata,
			})
			if ctx.Err() != nil {
				return
			}
		}
	})
}
