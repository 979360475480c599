package faults

import (
	"context"
	"io"
	"net"
	"sync"
)

// Link is a network path: a TCP proxy that can break in the ways in which networks
// do.
type Link struct {
	// Addr is where it listens.
	Addr string

	listener net.Listener
	tap      func() (requests, answers io.Writer) // nil, or what sees all bytes of a connection

	mu     sync.Mutex
	target string
	cut    bool
	flow   chan struct{} // closed while bytes pass
	conns  map[net.Conn]bool
	copies sync.WaitGroup
}

// NewLink listens on a free port of this machine and connects to the target.
func NewLink(target string, tap func() (requests, answers io.Writer)) (*Link, error) {
	listener, err := new(net.ListenConfig).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	l := &Link{
		Addr: listener.Addr().String(), listener: listener, tap: tap, target: target,
		flow: make(chan struct{}), conns: map[net.Conn]bool{},
	}
	close(l.flow)
	l.copies.Go(l.accept)
	return l, nil
}

func (l *Link) accept() {
	for {
		conn, err := l.listener.Accept()
		if err != nil {
			return
		}
		l.copies.Go(func() { l.connect(conn) })
	}
}

func (l *Link) connect(near net.Conn) {
	defer near.Close()
	target, ok := l.register(near)
	if !ok {
		return
	}
	defer l.unregister(near)
	far, err := new(net.Dialer).Dial("tcp", target)
	if err != nil {
		return
	}
	defer far.Close()
	requests, answers := io.Discard, io.Discard
	if l.tap != nil {
		requests, answers = l.tap()
	}
	done := make(chan struct{}, 2)
	pass := func(to, from net.Conn, seen io.Writer) {
		l.pass(to, from, seen)
		done <- struct{}{}
	}
	l.copies.Go(func() { pass(far, near, requests) })
	l.copies.Go(func() { pass(near, far, answers) })
	<-done // one side has closed; the other is closed with it
}

// pass copies while bytes may flow.
func (l *Link) pass(to, from net.Conn, seen io.Writer) {
	buffer := make([]byte, 16<<10)
	for {
		n, err := from.Read(buffer)
		if n > 0 {
			<-l.flowing()
			_, _ = seen.Write(buffer[:n])
			if _, err := to.Write(buffer[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

func (l *Link) flowing() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.flow
}

func (l *Link) register(conn net.Conn) (target string, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.cut {
		l.conns[conn] = true
	}
	return l.target, !l.cut
}

func (l *Link) unregister(conn net.Conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.conns, conn)
}

// Retarget sends new connections elsewhere.
func (l *Link) Retarget(target string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.target = target
}

// Cut breaks all connections, and those that come.
func (l *Link) Cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cut = true
	l.breakAll()
}

// Break breaks all connections; new ones work.
func (l *Link) Break() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.breakAll()
}

func (l *Link) breakAll() {
	for conn := range l.conns {
		if tcp, ok := conn.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0) // a reset
		}
		_ = conn.Close()
	}
}

// Stall holds all bytes back, as a network does that loses every packet:
// connections stay, and new ones get no answer.
func (l *Link) Stall() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.flow = make(chan struct{})
}

// Restore ends Cut and Stall. Delayed data passes.
func (l *Link) Restore() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cut = false
	select {
	case <-l.flow:
	default:
		close(l.flow)
	}
}

// Close ends all connections.
func (l *Link) Close() error {
	err := l.listener.Close()
	l.Restore()
	l.Cut()
	l.copies.Wait()
	return err
}
