package faults

import (
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"sync"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue/adotest"
	"golang.org/x/net/dns/dnsmessage"
)

// resolverAddr is where the only server of names is, by its port the one that a
// resolver asks. azureHost is the only name.
const (
	resolverAddr = "127.0.0.99:53"
	azureHost    = "azure.test."
)

// resolver is a server of names.
type resolver struct {
	mu      sync.Mutex
	conn    net.PacketConn // nil while there is none: nobody answers at its port
	serving sync.WaitGroup
}

// resolverFront reaches the organization by a name. While it is broken, nobody
// resolves that, and connections are closed.
func resolverFront(azure *adotest.Server, dir string) (*Front, error) {
	organization, err := url.Parse(azure.URL())
	if err != nil {
		return nil, err
	}
	link, err := NewLink(organization.Host, nil)
	if err != nil {
		return nil, err
	}
	_, port, err := net.SplitHostPort(link.Addr)
	if err != nil {
		return nil, err
	}
	r := &resolver{}
	if err := r.start(); err != nil {
		return nil, err
	}
	host, _, _ := net.SplitHostPort(resolverAddr)
	file := filepath.Join(dir, "resolv.conf")
	return &Front{
		URL:   fmt.Sprintf("http://%s:%s%s", azureHost[:len(azureHost)-1], port, organization.Path),
		Env:   []string{"ALLOW_HTTP=true", "GODEBUG=netdns=go"},
		Wrap:  []string{"/usr/bin/unshare", "--mount", "/bin/sh", "-c", `/bin/mount --bind "$0" /etc/resolv.conf && exec "$@"`, file},
		Break: func() { r.stop(); link.Break() },
		Mend:  func() { _ = r.start() }, // if it fails, the fault does not end
		Close: func() error { r.stop(); return link.Close() },
	}, os.WriteFile(file, []byte("nameserver "+host+"\n"), 0o600)
}

func (r *resolver) start() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	conn, err := net.ListenPacket("udp", resolverAddr) //nolint:noctx // a socket of this machine
	if err != nil {
		return err
	}
	r.conn = conn
	r.serving.Go(func() {
		buffer := make([]byte, 1500)
		for {
			n, from, err := conn.ReadFrom(buffer)
			if err != nil {
				return
			}
			if answer, err := resolve(buffer[:n]); err == nil {
				_, _ = conn.WriteTo(answer, from)
			}
		}
	})
	return nil
}

func (r *resolver) stop() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.conn != nil {
		_ = r.conn.Close()
		r.serving.Wait()
		r.conn = nil
	}
}

// resolve answers a question: the address is this machine's.
func resolve(question []byte) ([]byte, error) {
	var m dnsmessage.Message
	if err := m.Unpack(question); err != nil {
		return nil, err
	}
	m.Response = true
	m.Additionals = nil
	for _, q := range m.Questions {
		switch {
		case q.Name.String() != azureHost:
			m.RCode = dnsmessage.RCodeNameError
		case q.Type == dnsmessage.TypeA:
			m.Answers = append(m.Answers, dnsmessage.Resource{
				Header: dnsmessage.ResourceHeader{Name: q.Name, Type: q.Type, Class: q.Class, TTL: 5},
				Body:   &dnsmessage.AResource{A: [4]byte{127, 0, 0, 1}},
			})
		}
	}
	return m.Pack()
}
