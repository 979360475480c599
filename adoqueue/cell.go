package adoqueue

import (
	"context"
	"errors"
	"sync"
	"time"
)

// maxBackoff is the longest pause after failures in a row, unless Azure DevOps
// asks for a longer one.
const maxBackoff = 5 * time.Second

// cell holds one value that is fetched when somebody asks for it: by one
// fetch at a time, and not more often than the askers' pace allows.
type cell[T any] struct {
	fetch    func() (T, error)
	spawn    func(func())
	lasting  bool          // a fetched value does not age
	staleFor time.Duration // how long a value serves while fetching fails

	mu        sync.Mutex
	value     T
	has       bool
	sentAt    time.Time // when the fetch of value began
	err       error     // of the last fetch
	failures  int       // in a row
	heldUntil time.Time // no fetch before
	running   chan struct{}
	askedAt   time.Time
}

// get gives the value; stale tells why it is older than maxAge, if it is.
func (c *cell[T]) get(ctx context.Context, maxAge time.Duration) (value T, stale, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.askedAt = time.Now()
	if c.fresh(maxAge) {
		return c.value, nil, nil
	}
	if c.running == nil && time.Now().Before(c.heldUntil) {
		return c.settle(c.err)
	}
	if c.running == nil {
		c.start(maxAge)
	}
	running := c.running
	c.mu.Unlock()
	var gaveUp error
	select {
	case <-running:
	case <-ctx.Done():
		gaveUp = &Error{Operation: "wait for Azure DevOps", Hint: hintRetry, kind: ErrUnavailable, cause: ctx.Err()}
	}
	c.mu.Lock()
	if gaveUp == nil && c.err == nil {
		return c.value, nil, nil
	}
	if gaveUp == nil {
		gaveUp = c.err
	}
	return c.settle(gaveUp)
}

// settle decides what serves when there is no fresh value.
func (c *cell[T]) settle(reason error) (value T, stale, err error) {
	if c.has && !definitive(reason) && (c.lasting || time.Since(c.sentAt) <= c.staleFor) {
		return c.value, reason, nil
	}
	return value, nil, reason
}

func (c *cell[T]) fresh(maxAge time.Duration) bool {
	return c.has && c.err == nil && (c.lasting || time.Since(c.sentAt) < maxAge)
}

// start begins a fetch; pace is the least time between two.
func (c *cell[T]) start(pace time.Duration) {
	done := make(chan struct{})
	c.running = done
	c.spawn(func() {
		sent := time.Now()
		value, err := c.fetch()
		c.mu.Lock()
		defer c.mu.Unlock()
		defer close(done)
		c.running, c.err = nil, err
		if err == nil {
			c.value, c.has, c.sentAt, c.failures = value, true, sent, 0
			return
		}
		c.failures++
		c.heldUntil = sent.Add(pause(err, c.failures, pace))
	})
}

// pause is how long to wait from one failed fetch to the next: what Azure
// DevOps asks for, else twice as long after each failure in a row.
func pause(err error, failures int, pace time.Duration) time.Duration {
	if failure, ok := errors.AsType[*Error](err); ok && failure.RetryAfter > 0 {
		return max(pace, failure.RetryAfter)
	}
	backoff := pace
	for range failures - 1 {
		if backoff >= maxBackoff {
			break
		}
		backoff = min(2*backoff, maxBackoff)
	}
	return backoff
}

// drop gives a value up that has turned out to be wrong. The next fetch keeps
// the pace.
func (c *cell[T]) drop(reason error, pace time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.has {
		c.has, c.err, c.heldUntil = false, reason, time.Now().Add(pace)
	}
}

func (c *cell[T]) idleSince(deadline time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.running == nil && c.askedAt.Before(deadline)
}

func (c *cell[T]) last() T {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.value
}
