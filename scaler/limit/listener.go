package limit

import (
	"net"
	"sync"
)

// ListenerOptions are the bounds of a Listener.
type ListenerOptions struct {
	// Connections are those that may be open at once.
	Connections *Shares
	// Opening is how fast a peer may open connections.
	Opening *Rates
	// Refused is called for each connection that is not accepted.
	Refused func()
}

// Listener accepts the connections that its bounds allow, and closes others at
// once: connections that waited for their turn would keep out everybody else.
type Listener struct {
	net.Listener

	options ListenerOptions
}

// NewListener bounds the connections that a listener accepts.
func NewListener(listener net.Listener, options ListenerOptions) *Listener {
	return &Listener{Listener: listener, options: options}
}

// Accept returns the next connection that the bounds allow.
func (l *Listener) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		peer := Peer(conn.RemoteAddr())
		if l.options.Opening.Allow(peer) && l.options.Connections.Take(peer) {
			boundBuffers(conn)
			giveBack := sync.OnceFunc(func() { l.options.Connections.Return(peer) })
			return &sharedConn{Conn: conn, giveBack: giveBack}, nil
		}
		l.options.Refused()
		_ = conn.Close() // nothing was sent on it
	}
}

// socketBuffer is what the kernel keeps of a connection in each direction. Its own
// bound is megabytes, which count as the container's memory.
const socketBuffer = 64 << 10

func boundBuffers(conn net.Conn) {
	if tcp, ok := conn.(*net.TCPConn); ok { // an error means that the caller has gone
		_ = tcp.SetReadBuffer(socketBuffer)
		_ = tcp.SetWriteBuffer(socketBuffer)
	}
}

// sharedConn releases its place when it is closed.
type sharedConn struct {
	net.Conn

	giveBack func()
}

func (c *sharedConn) Close() error {
	defer c.giveBack()
	return c.Conn.Close()
}
