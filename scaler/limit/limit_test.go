package limit_test

import (
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/http2"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/limit"
)

func takeAll(s *limit.Shares, peer string) (n int) {
	for s.Take(peer) {
		n++
	}
	return n
}

func TestSharesLeaveRoomForTheNextPeer(t *testing.T) {
	s := limit.NewShares(120)
	if n := takeAll(s, "greedy"); n != 60 {
		t.Errorf("one peer gets %d of 120 places, want half", n)
	}
	if n := takeAll(s, "second"); n != 30 {
		t.Errorf("a second one gets %d, want half of the rest", n)
	}
	for _, peer := range []string{"third", "fourth", "fifth"} {
		if !s.Take(peer) {
			t.Errorf("the %s peer gets no place", peer)
		}
	}
	for range 60 {
		s.Return("greedy")
	}
	if n := takeAll(s, "greedy"); n == 0 || n > 60 {
		t.Errorf("%d places after all were given back", n)
	}
}

func TestPeerIsTheHost(t *testing.T) {
	for _, test := range []struct {
		addr net.Addr
		want string
	}{
		{&net.TCPAddr{IP: net.IPv4(10, 0, 0, 1), Port: 50001}, "10.0.0.1"},
		{&net.TCPAddr{IP: net.IPv6loopback, Port: 50001}, "::1"},
		{&net.UnixAddr{Name: "/run/socket"}, "/run/socket"},
		{nil, ""},
	} {
		if got := limit.Peer(test.addr); got != test.want {
			t.Errorf("%v: got %q, want %q", test.addr, got, test.want)
		}
	}
}

func TestRatesAreOfEachPeer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := limit.NewRates(10, 5)
		allowed := func(peer string) (n int) {
			for range 100 {
				if r.Allow(peer) {
					n++
				}
			}
			return n
		}
		if n := allowed("greedy"); n != 5 {
			t.Errorf("%d at once, want the burst of 5", n)
		}
		if !r.Allow("other") {
			t.Error("another peer has to wait")
		}
		time.Sleep(200 * time.Millisecond)
		if n := allowed("greedy"); n != 2 {
			t.Errorf("%d after 0.2 s, want 2", n)
		}
		if d := r.Delay("greedy", 5); d != 500*time.Millisecond {
			t.Errorf("5 more take %v, want 0.5 s", d)
		}
	})
}

// http2Pipe returns what a client writes to, and what a server reads from.
func http2Pipe(t *testing.T, bounds limit.HTTP2) (client, server net.Conn) {
	client, inner := net.Pipe()
	t.Cleanup(func() { _, _ = client.Close(), inner.Close() })
	return client, bounds.Conn(inner)
}

func TestHTTP2IsSlowedDown(t *testing.T) {
	for _, test := range []struct {
		name          string
		frames, bytes int // per second, and at once
		want          time.Duration
	}{
		{"neither", 10_000, 1 << 20, 0},
		{"by frames", 100, 1 << 20, (3*4 + 2*50 - 100) * time.Second / 100},
		{"by bytes", 10_000, 1000, 1951 * time.Millisecond},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				client, server := http2Pipe(t, limit.HTTP2{Frames: limit.NewRates(test.frames, test.frames), Bytes: limit.NewRates(test.bytes, test.bytes)})
				go func() {
					_, _ = io.WriteString(client, http2.ClientPreface)
					framer := http2.NewFramer(client, client)
					for i := range uint32(3) {
						_ = framer.WriteHeaders(http2.HeadersFrameParam{StreamID: 2*i + 1, EndHeaders: true, BlockFragment: make([]byte, 600)})
					}
					for range 50 {
						_ = framer.WriteSettings()
						_ = framer.WriteWindowUpdate(0, 1)
					}
					_ = client.Close()
				}()
				begin := time.Now()
				if _, err := io.Copy(io.Discard, server); err != nil {
					t.Fatal(err)
				}
				if took := time.Since(begin); took.Round(time.Millisecond) != test.want {
					t.Errorf("took %v, want %v", took, test.want)
				}
			})
		})
	}
}

func TestCloseEndsTheWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, server := http2Pipe(t, limit.HTTP2{Frames: limit.NewRates(1, 1), Bytes: limit.NewRates(1, 1)})
		time.AfterFunc(time.Second, func() { _ = server.Close() })
		go func() { _, _ = io.WriteString(client, http2.ClientPreface) }()
		begin := time.Now()
		_, _ = io.Copy(io.Discard, server)
		if took := time.Since(begin); took != time.Second {
			t.Errorf("it ended after %v, want at its closing", took)
		}
	})
}

// TestPeerThatDoesNotReadIsCutOff has a peer send more than it may and read nothing.
func TestPeerThatDoesNotReadIsCutOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, server := http2Pipe(t, limit.HTTP2{Frames: limit.NewRates(1, 1), Bytes: limit.NewRates(1, 1)})
		go func() { _, _ = io.WriteString(client, http2.ClientPreface) }()
		go func() { _, _ = server.Write([]byte("settings")) }()
		begin := time.Now()
		_, _ = io.Copy(io.Discard, server)
		if took := time.Since(begin); took != 10*time.Second {
			t.Errorf("it ended after %v, want when its peer has not read for 10 s", took)
		}
	})
}

func TestListenerClosesWhatHasNoShare(t *testing.T) {
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	refused := make(chan struct{}, 10)
	listener := limit.NewListener(inner, limit.ListenerOptions{
		Connections: limit.NewShares(4), Opening: limit.NewRates(1, 100), Refused: func() { refused <- struct{}{} },
	})
	defer listener.Close()
	accepted := make(chan net.Conn, 10)
	go func() {
		defer close(accepted)
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			accepted <- conn
		}
	}()
	dial := func(from string) net.Conn {
		dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
		conn, err := dialer.DialContext(t.Context(), "tcp", inner.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		return conn
	}
	dial("127.0.0.2")
	dial("127.0.0.2")
	first, second := <-accepted, <-accepted
	third := dial("127.0.0.2") // of four places a peer gets two
	<-refused
	if _, err := third.Read(make([]byte, 1)); err == nil {
		t.Error("a connection without a share stays open")
	}
	dial("127.0.0.3")
	<-accepted
	_ = first.Close()
	_ = first.Close() // releases one place only
	dial("127.0.0.2")
	<-accepted
	dial("127.0.0.2")
	<-refused
	_ = second.Close()
}
