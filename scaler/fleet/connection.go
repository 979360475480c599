package fleet

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http" //nolint:depguard // client-go has its transports in these types
	"sync"
	"sync/atomic"
	"time"

	"k8s.io/client-go/rest"
)

const (
	// retryPause is between two attempts to follow Kubernetes while it does not
	// answer. Informers by themselves wait for up to a minute.
	retryPause = 500 * time.Millisecond
	// tolerance is for how long the view may be without news of what it follows.
	// Connections break and are made again all the time.
	tolerance = time.Second
	// settling is how long what has been missed takes to get into the view.
	settling = 500 * time.Millisecond
)

// connection is how informers reach Kubernetes. It tries again until there is an
// answer, and knows for how long the view has been without one: decisions made from
// an old view create Jobs twice, or none for jobs that wait.
type connection struct {
	mu      sync.Mutex
	outages map[string]*outage // by what is followed: its path
}

// outage is a time without news.
type outage struct {
	began, ended time.Time // ended is zero as long as it goes on
	reason       string
}

func newConnection() *connection { return &connection{outages: map[string]*outage{}} }

// configure returns a configuration of clients that use the connection.
func (c *connection) configure(config *rest.Config) *rest.Config {
	config = rest.CopyConfig(config)
	config.Wrap(func(next http.RoundTripper) http.RoundTripper { return &follower{c, next} })
	return config
}

// err returns why the view may be out of date, nil if it is not.
func (c *connection) err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	for path, o := range c.outages {
		switch {
		case o.ended.IsZero() && now.Sub(o.began) > tolerance:
			return fmt.Errorf("the view of Kubernetes has been out of date for %v, retried automatically: GET %s: %s",
				now.Sub(o.began).Round(time.Second), path, o.reason)
		case o.ended.IsZero():
		case now.Sub(o.ended) > settling:
			delete(c.outages, path)
		case o.ended.Sub(o.began) > tolerance:
			return errors.New("the view of Kubernetes is being brought up to date")
		}
	}
	return nil
}

func (c *connection) begin(path, reason string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	o := c.outages[path]
	if o == nil || !o.ended.IsZero() && time.Since(o.ended) > settling { // a new one
		o = &outage{began: time.Now()}
		c.outages[path] = o
	}
	o.ended, o.reason = time.Time{}, reason
}

func (c *connection) end(path string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if o := c.outages[path]; o != nil && o.ended.IsZero() {
		o.ended = time.Now()
	}
}

// follower sends the requests of informers.
type follower struct {
	connection *connection
	next       http.RoundTripper
}

// RoundTrip tries again, within the request's context, until the answer is one that
// an informer can go on from. A server that has just started refuses for a moment
// what it will allow.
func (f *follower) RoundTrip(request *http.Request) (*http.Response, error) {
	path := request.URL.Path
	for {
		response, err := f.next.RoundTrip(request)
		switch {
		case err != nil && request.Context().Err() != nil:
			return nil, err // the caller's own doing
		case err != nil:
			f.connection.begin(path, err.Error())
		case response.StatusCode == http.StatusOK:
			f.connection.end(path)
			response.Body = &followed{ReadCloser: response.Body, ctx: request.Context(), broken: func(err error) { f.connection.begin(path, err.Error()) }}
			return response, nil
		case response.StatusCode == http.StatusUnauthorized, response.StatusCode == http.StatusTooManyRequests:
			f.connection.begin(path, response.Status)
			return response, nil // client-go renews the token, and knows when to ask again
		case response.StatusCode < http.StatusInternalServerError && response.StatusCode != http.StatusForbidden:
			return response, nil // such as one about a version that is too old
		default:
			f.connection.begin(path, response.Status)
			_ = response.Body.Close()
		}
		if !sleep(request.Context(), retryPause) {
			return nil, context.Cause(request.Context())
		}
	}
}

// sleep waits, and reports false if ctx ended first.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// followed is the body of an answer. It reports that it broke off.
type followed struct {
	io.ReadCloser

	ctx    context.Context
	broken func(error)
	closed atomic.Bool // by the informer, which does not read to the end
}

func (b *followed) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil && !errors.Is(err, io.EOF) && b.ctx.Err() == nil && !b.closed.Load() {
		b.broken(err)
	}
	return n, err
}

func (b *followed) Close() error {
	b.closed.Store(true)
	return b.ReadCloser.Close()
}
