package controlplane

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
)

// Ports are taken from below those that the kernel assigns to outgoing
// connections: the many that components open to one another would else now and
// then take a port between its being found free and its being used.
const (
	firstPort = 15000
	lastPort  = 32000
)

// freeAddresses finds n loopback addresses that nobody listens at, other ones
// each time.
func freeAddresses(ctx context.Context, n int) ([]string, error) {
	addresses := make([]string, 0, n)
	// Held until all are found, so that none is found twice.
	listeners := make([]net.Listener, 0, n)
	defer func() {
		for _, listener := range listeners {
			_ = listener.Close()
		}
	}()
	var config net.ListenConfig
	for range 100 * n {
		if len(addresses) == n {
			return addresses, nil
		}
		address := net.JoinHostPort("127.0.0.1", strconv.Itoa(firstPort+rand.IntN(lastPort-firstPort)))
		listener, err := config.Listen(ctx, "tcp", address)
		if err != nil {
			continue
		}
		listeners = append(listeners, listener)
		addresses = append(addresses, address)
	}
	return nil, fmt.Errorf("no free ports from %d to %d", firstPort, lastPort)
}
