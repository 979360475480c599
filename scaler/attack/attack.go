// Package attack does to a scaler what any pod that reaches its ports can do. Tests
// of its bounds use it. Every attack goes on until its context ends, and uses no
// more connections and calls than it says.
package attack

import (
	"context"
	"fmt"
	"net"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
)

// Target is a scaler, and whom the attack comes from.
type Target struct {
	// GRPC and HTTP are the addresses of the scaler's ports.
	GRPC, HTTP string
	// From is the attacker's address, such as 127.0.0.2.
	From string
}

// Attack is one way to use up what a scaler has.
type Attack struct {
	Name string
	Run  func(ctx context.Context, target Target)
}

// All are the attacks.
var All = []Attack{
	{"340,000 keys of metadata", manyKeys},
	{"the largest messages", largestMessages},
	{"messages that never end", unfinishedMessages},
	{"headers without end", endlessHeaders},
	{"5,000 calls without a message", callsWithoutMessage},
	{"calls that were refused, with long deadlines", refusedWithDeadline},
	{"10,000 open streams", openStreams},
	{"calls opened and cancelled", OpenAndCancel},
	{"callers that do not read", callersThatDoNotRead},
	{"pings and settings", pings},
	{"5,000 silent connections", silentConnections},
	{"120,000 names", manyNames},
	{"pools that do not exist", unknownPools},
	{"3,000 readers of metrics that do not read", readersThatDoNotRead},
	{"HTTP requests that never end", unfinishedRequests},
}

// Dial returns a connection from the attacker's address.
func (t Target) Dial(ctx context.Context, address string) (net.Conn, error) {
	dialer := net.Dialer{Timeout: 5 * time.Second, LocalAddr: &net.TCPAddr{IP: net.ParseIP(t.From)}}
	return dialer.DialContext(ctx, "tcp", address)
}

// Client returns a well-behaved client at the attacker's address.
func (t Target) Client() (*grpc.ClientConn, error) {
	return grpc.NewClient("passthrough:///"+t.GRPC, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(t.Dial))
}

// each runs n workers until ctx ends. A worker that returns before starts again
// after a pause, which bounds how often it tries.
func each(ctx context.Context, n int, worker func(ctx context.Context, i int)) {
	var workers sync.WaitGroup
	for i := range n {
		workers.Go(func() {
			for ctx.Err() == nil {
				worker(ctx, i)
				pause(ctx, 10*time.Millisecond)
			}
		})
	}
	workers.Wait()
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}

// clients runs n workers with a client each.
func clients(ctx context.Context, t Target, n int, worker func(ctx context.Context, client *grpc.ClientConn)) {
	each(ctx, n, func(ctx context.Context, _ int) {
		client, err := t.Client()
		if err != nil {
			panic(fmt.Sprintf("attack.Target: %v", err)) // a mistake of the test
		}
		defer client.Close()
		worker(ctx, client)
	})
}
