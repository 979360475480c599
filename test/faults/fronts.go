package faults

import (
	"crypto/tls"
	"encoding/pem"
	"net"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue/adotest"
	"golang.org/x/net/http2"
)

// goAwayFront serves the organization by HTTP/2. While it is broken, it says GOAWAY
// instead of answering.
func goAwayFront(azure *adotest.Server, dir string) (*Front, error) {
	organization, err := url.Parse(azure.URL())
	if err != nil {
		return nil, err
	}
	forward := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(&url.URL{Scheme: organization.Scheme, Host: organization.Host})
	}}
	server := httptest.NewUnstartedServer(forward)
	server.EnableHTTP2 = true
	fork := &fork{Listener: server.Listener}
	server.Listener = fork
	server.StartTLS()
	fork.refuse = func(conn net.Conn) { goAway(tls.Server(conn, server.TLS)) }
	caFile := filepath.Join(dir, "azure.pem")
	certificate := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	return &Front{
		URL: server.URL + organization.Path, Env: []string{"CA_FILE=" + caFile},
		Break: fork.breakOff,
		Mend:  func() { fork.broken.Store(false) },
		Close: func() error {
			server.Close()
			return nil
		},
	}, os.WriteFile(caFile, certificate, 0o600)
}

// goAway reads the first request and refuses all streams, without an error.
func goAway(conn net.Conn) {
	defer conn.Close()
	preface := make([]byte, len(http2.ClientPreface))
	if _, err := conn.Read(preface); err != nil {
		return
	}
	framer := http2.NewFramer(conn, conn)
	if framer.WriteSettings() != nil {
		return
	}
	for {
		frame, err := framer.ReadFrame()
		if err != nil {
			return
		}
		if _, ok := frame.(*http2.HeadersFrame); ok {
			_ = framer.WriteGoAway(0, http2.ErrCodeNo, nil)
			return
		}
	}
}

// fork passes connections to a server, or to what refuses them.
type fork struct {
	net.Listener

	broken atomic.Bool
	refuse func(net.Conn)

	mu   sync.Mutex
	open []net.Conn
}

// Accept returns the next connection for the server.
func (f *fork) Accept() (net.Conn, error) {
	for {
		conn, err := f.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if f.broken.Load() {
			go f.refuse(conn)
			continue
		}
		f.mu.Lock()
		f.open = append(f.open, conn)
		f.mu.Unlock()
		return conn, nil
	}
}

// breakOff closes the connections of the server and refuses new ones.
func (f *fork) breakOff() {
	f.broken.Store(true)
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, conn := range f.open {
		_ = conn.Close()
	}
	f.open = nil
}
