package adotest

import (
	"bytes"
	"errors"
	"io"
	"net"
	"net/http"
	"syscall"
)

// Transport returns a round tripper that calls the stand-in in process, whatever
// host a request names. Without sockets it can be used in a testing/synctest
// bubble, with polls and scripted delays waiting in the bubble's time.
func (s *Server) Transport() http.RoundTripper { return inProcess{s} }

type inProcess struct{ handler http.Handler }

// RoundTrip ends with the request's context even if the handler does not.
func (t inProcess) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body != nil {
		defer r.Body.Close()
	}
	in := r.Clone(r.Context())
	in.RequestURI = r.URL.RequestURI()
	in.RemoteAddr = "127.0.0.1:1"
	if in.Host == "" {
		in.Host = r.URL.Host
	}
	if in.Body == nil {
		in.Body = http.NoBody
	}
	done := make(chan *capture, 1)
	go func() { done <- captureAnswer(t.handler, in) }()
	select {
	case <-r.Context().Done():
		return nil, r.Context().Err()
	case c := <-done:
		return c.response(r)
	}
}

// capture is the answer of a handler; aborted says that the handler aborted
// the connection.
type capture struct {
	header  http.Header // of the handler
	sent    http.Header // what header was when the status was written
	status  int
	body    bytes.Buffer
	aborted bool
}

func captureAnswer(h http.Handler, r *http.Request) (c *capture) {
	c = &capture{header: make(http.Header)}
	defer func() {
		if p := recover(); p != nil {
			if err, ok := p.(error); !ok || !errors.Is(err, http.ErrAbortHandler) {
				panic(p)
			}
			c.aborted = true
		}
	}()
	h.ServeHTTP(c, r)
	return c
}

func (c *capture) Header() http.Header { return c.header }

func (c *capture) WriteHeader(status int) {
	if c.status == 0 {
		c.status, c.sent = status, c.header.Clone()
	}
}

func (c *capture) Write(p []byte) (int, error) {
	c.WriteHeader(http.StatusOK)
	return c.body.Write(p)
}

func (c *capture) response(r *http.Request) (*http.Response, error) {
	if c.aborted && c.status == 0 {
		return nil, &net.OpError{Op: "read", Net: "tcp", Err: syscall.ECONNRESET}
	}
	c.WriteHeader(http.StatusOK)
	var body io.Reader = &c.body
	length := int64(c.body.Len())
	if c.aborted {
		body, length = io.MultiReader(&c.body, cut{}), -1
	}
	if r.Method == http.MethodHead {
		body = http.NoBody
	}
	return &http.Response{
		Status:        http.StatusText(c.status),
		StatusCode:    c.status,
		Proto:         "HTTP/1.1",
		ProtoMajor:    1,
		ProtoMinor:    1,
		Header:        c.sent,
		Body:          io.NopCloser(body),
		ContentLength: length,
		Request:       r,
	}, nil
}

// cut is the end of a body whose connection broke.
type cut struct{}

func (cut) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }
