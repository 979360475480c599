package adotest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Server is the stand-in: an [http.Handler] with the state of one organization.
// All methods may be called at any time from any goroutine.
type Server struct {
	opts   Options
	api    *http.ServeMux // routes below an organization's prefix, in lower case
	root   *http.ServeMux // everything else: control API, agent package, sign-in page
	closed chan struct{}  // ends polls and scripted delays

	http  *http.Server // nil unless listening
	host  string
	serve sync.WaitGroup

	mu          sync.Mutex
	pools       []*pool
	requests    map[int64]*request
	lastAgent   int
	lastRequest int64
	lastMessage int64
	lastSession int64
	credentials map[string]*credential
	sessions    map[string]*session
	faults      []*Fault
	calls       callLog

	clock atomic.Int64 // nanoseconds by which the clock is ahead
}

// SetClock makes the clock that clients see differ from this machine's, in the
// times of requests and agents and in the header Date. Timers do not depend
// on it.
func (s *Server) SetClock(ahead time.Duration) { s.clock.Store(int64(ahead)) }

// New returns a stand-in that does not listen anywhere: use it as a handler, or
// through [Server.Transport].
func New(opts Options) *Server {
	s := &Server{
		opts:        opts.withDefaults(),
		api:         http.NewServeMux(),
		root:        http.NewServeMux(),
		closed:      make(chan struct{}),
		host:        "127.0.0.1",
		requests:    make(map[int64]*request),
		credentials: make(map[string]*credential),
		sessions:    make(map[string]*session),
		calls:       callLog{counts: make(map[callKey]int)},
	}
	s.AllowPAT(s.opts.PAT, ScopeManage)
	s.register()
	return s
}

// Listen returns a stand-in that serves on addr, such as "127.0.0.1:0", until
// [Server.Close].
func Listen(addr string, opts Options) (*Server, error) {
	listener, err := new(net.ListenConfig).Listen(context.Background(), "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("adotest: %w", err)
	}
	s := New(opts)
	s.host = listener.Addr().String()
	s.http = &http.Server{Handler: s, ReadHeaderTimeout: time.Minute}
	s.serve.Go(func() {
		if err := s.http.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			panic("adotest: " + err.Error())
		}
	})
	return s, nil
}

// TB is the part of testing.TB that [Serve] needs; it keeps the package free of
// testing, whose flags have no place in a program.
type TB interface {
	Helper()
	Cleanup(func())
	Fatalf(format string, args ...any)
}

// Serve starts a stand-in on a loopback port for the length of a test.
func Serve(tb TB, opts Options) *Server {
	tb.Helper()
	s, err := Listen("127.0.0.1:0", opts)
	if err != nil {
		tb.Fatalf("%v", err)
	}
	tb.Cleanup(func() { _ = s.Close() })
	return s
}

// Close ends all polls and connections. The state stays readable.
func (s *Server) Close() error {
	s.mu.Lock()
	select {
	case <-s.closed:
	default:
		close(s.closed)
	}
	s.mu.Unlock()
	if s.http == nil {
		return nil
	}
	err := s.http.Close()
	s.serve.Wait()
	return err
}

// URL is the organization's URL, such as http://127.0.0.1:1234/contoso.
func (s *Server) URL() string {
	return "http://" + s.host + "/" + s.opts.Organization
}

// CollectionURL is the same organization in the form of Azure DevOps Server,
// such as http://127.0.0.1:1234/tfs/DefaultCollection.
func (s *Server) CollectionURL() string {
	return "http://" + s.host + "/tfs/" + s.opts.Collection
}

// address is where a request was sent: the prefix that it used and its own
// path, before routing ignores case.
type address struct{ prefix, path string }

type addressKey struct{}

// ServeHTTP routes below the two prefixes without regard to case, as Azure
// DevOps does.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	prefix, rest, ok := s.cutPrefix(r.URL.Path)
	if !ok {
		s.root.ServeHTTP(w, r)
		return
	}
	if strings.Contains(rest, "//") || strings.Contains(r.URL.RawQuery, " ") {
		// The mux would redirect the one and net/http refuses the other: a
		// client must not get away with either.
		http.Error(w, "Bad Request", http.StatusBadRequest)
		return
	}
	ctx := context.WithValue(r.Context(), addressKey{}, address{prefix, r.URL.Path})
	routed := r.WithContext(ctx)
	target := *r.URL
	target.Path, target.RawPath = strings.ToLower(rest), ""
	routed.URL = &target
	s.api.ServeHTTP(w, routed)
}

func (s *Server) cutPrefix(path string) (prefix, rest string, ok bool) {
	for _, prefix := range []string{"/" + s.opts.Organization, "/tfs/" + s.opts.Collection} {
		if len(path) < len(prefix) || !strings.EqualFold(path[:len(prefix)], prefix) {
			continue
		}
		rest := path[len(prefix):]
		if rest == "" || rest[0] == '/' {
			return prefix, "/" + strings.TrimPrefix(rest, "/"), true
		}
	}
	return "", "", false
}
