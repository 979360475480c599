package limit

import (
	"net"
	"sync"
	"time"
)

// HTTP2 bounds what a peer sends on its HTTP/2 connections, in frames and in bytes.
// It slows the peer down: what is not read, the kernel does not take.
type HTTP2 struct{ Frames, Bytes *Rates }

// Conn returns a connection to read HTTP/2 from, including the client's preface.
func (h HTTP2) Conn(conn net.Conn) net.Conn {
	c := &http2Conn{Conn: conn, peer: Peer(conn.RemoteAddr()), bounds: h, closed: make(chan struct{})}
	c.close = sync.OnceFunc(func() { close(c.closed) })
	c.frames.skip = len("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n") // the preface
	return c
}

// writeTimeout is how long a peer may take to read what it is sent at once. The kernel
// takes far more than an answer, so that only one that does not read needs it.
const writeTimeout = 10 * time.Second

type http2Conn struct {
	net.Conn

	peer   string
	bounds HTTP2
	frames frames
	closed chan struct{}
	close  func()
}

func (c *http2Conn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	delay := max(c.bounds.Bytes.Delay(c.peer, n), c.bounds.Frames.Delay(c.peer, c.frames.cost(p[:n])))
	if delay > 0 {
		select {
		case <-time.After(delay):
		case <-c.closed:
		}
	}
	return n, err
}

// Write ends the connection of a peer that is gone or does not read. gRPC would keep its
// calls until Read fails too, which may have to wait for long.
func (c *http2Conn) Write(p []byte) (int, error) {
	_ = c.SetWriteDeadline(time.Now().Add(writeTimeout)) // if it fails, so does Write
	n, err := c.Conn.Write(p)
	if err != nil {
		_ = c.Close()
	}
	return n, err
}

func (c *http2Conn) Close() error {
	c.close()
	return c.Conn.Close()
}

// frames finds the frames in what is read.
type frames struct {
	skip   int // bytes up to the next frame
	header [frameHeader]byte
	have   int // bytes of the header
}

// The frame of HTTP/2: RFC 9113, 4.1 and 6.
const (
	frameHeader  = 9
	headers      = 0x1
	continuation = 0x9
)

// headersCost is what a frame costs that can open a call, counted in other frames.
const headersCost = 4

// cost returns what it costs to work on the next bytes.
func (f *frames) cost(p []byte) (cost int) {
	for len(p) > 0 {
		if f.skip > 0 {
			n := min(f.skip, len(p))
			f.skip -= n
			p = p[n:]
			continue
		}
		n := copy(f.header[f.have:], p)
		f.have += n
		p = p[n:]
		if f.have < frameHeader {
			break
		}
		f.have, f.skip = 0, int(f.header[0])<<16|int(f.header[1])<<8|int(f.header[2])
		cost++
		if kind := f.header[3]; kind == headers || kind == continuation {
			cost += headersCost - 1
		}
	}
	return cost
}
