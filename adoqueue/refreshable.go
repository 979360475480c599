package adoqueue

import (
	"context"
	"errors"
	"sync"
	"time"
)

const (
	// maxBackoff is the longest pause after failures in a row, unless Azure DevOps
	// asks for a longer one. With the poll that follows, jobs have their agents
	// within 5 s of an outage's end.
	maxBackoff = 2 * time.Second
	// patience is how long callers wait for a new value while an old one can
	// serve, from the beginning of its fetch.
	patience = time.Second
	// turnPatience is how long callers wait until the next fetch may begin.
	turnPatience = 100 * time.Millisecond
)

// refreshable holds one value that is fetched when somebody needs it: by one
// fetch at a time, which goes on when its callers leave, and no more often than
// their pace allows.
type refreshable[T any] struct {
	fetch    func() (T, error)
	spawn    func(func())
	lasting  bool          // a value serves while fetching fails, however old it is
	staleFor time.Duration // else for so long
	// mark returns a copy of a value that says why there is no newer one; nil
	// leaves it as it is. Called once per failure.
	mark func(value T, reason error) T

	mu        sync.Mutex
	value     T
	has       bool
	sentAt    time.Time // when the fetch of value began
	err       error     // of the last fetch
	failures  int       // in a row
	failingAt time.Time // when the first of them began
	failedAt  time.Time // when the last one began that was sent
	heldUntil time.Time // no fetch before, since Azure DevOps asks for that
	running   *fetching
	askedAt   time.Time

	marked    T // value, marked with markedFor
	markedFor error
}

// fetching is one fetch under way.
type fetching struct {
	began time.Time
	done  chan struct{}
	slow  error // why an old value serves before it is done
}

// get returns the value. If that is older than maxAge, stale says why there is
// no newer one. A caller fetches no sooner than pace after the fetch before; one
// with a long pace keeps no other waiting.
func (r *refreshable[T]) get(ctx context.Context, maxAge, pace time.Duration) (value T, stale, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	asked := time.Now()
	r.askedAt = asked
	for !r.fresh(maxAge) {
		if turn := r.turn(pace); r.running == nil && time.Now().Before(turn) {
			if !r.awaitTurn(ctx, asked, turn) && r.err != nil {
				return r.fallBack(r.err)
			}
			continue // others may have fetched it meanwhile
		}
		if r.running == nil {
			r.start()
		}
		if reason := r.wait(ctx, r.running, asked); reason != nil {
			return r.fallBack(reason)
		}
		if r.err == nil {
			break // what took long may be old already
		}
		if !unsent(r.err) {
			return r.fallBack(r.err)
		}
	}
	return r.value, nil, nil
}

// turn returns when a caller with that pace may fetch again.
func (r *refreshable[T]) turn(pace time.Duration) time.Time {
	if r.err == nil {
		return time.Time{}
	}
	if at := r.failedAt.Add(backoff(r.failures, pace)); at.After(r.heldUntil) {
		return at
	}
	return r.heldUntil
}

// awaitTurn unlocks until the turn. It reports false, at once, if that takes too long.
// Without it a poll that comes just before the end of the back-off would miss the end
// of an outage.
func (r *refreshable[T]) awaitTurn(ctx context.Context, asked, turn time.Time) bool {
	if turn.Sub(asked) > turnPatience {
		return false
	}
	timer := time.NewTimer(time.Until(turn))
	defer timer.Stop()
	r.mu.Unlock()
	defer r.mu.Lock()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
	return ctx.Err() == nil
}

// current returns the value that serves now, without waiting: if it is older than
// maxAge, it is fetched in the background. It reports false if there is none, or
// one that the last failure rules out.
func (r *refreshable[T]) current(maxAge, pace time.Duration) (value T, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.askedAt = time.Now()
	if !r.serves() || definitive(r.err) {
		return value, false
	}
	if !r.fresh(maxAge) && r.running == nil && !time.Now().Before(r.turn(pace)) {
		r.start()
	}
	return r.value, true
}

// wait unlocks until the fetch is done. It returns an error if there is a reason
// not to wait until then.
func (r *refreshable[T]) wait(ctx context.Context, current *fetching, asked time.Time) error {
	var enough <-chan time.Time
	if r.serves() {
		from := current.began
		if asked.Before(from) {
			from = asked
		}
		timer := time.NewTimer(time.Until(from.Add(patience)))
		defer timer.Stop()
		enough = timer.C
	}
	r.mu.Unlock()
	defer r.mu.Lock()
	select {
	case <-current.done:
		return nil
	case <-enough:
		return current.slow
	case <-ctx.Done():
		if enough != nil {
			return current.slow // one for all callers, for the sake of mark
		}
		return &Error{Operation: "wait for Azure DevOps", Hint: hintRetry, kind: ErrUnavailable, cause: ctx.Err(), detail: ctx.Err().Error()}
	}
}

// serves reports whether the value may serve while there is no newer one.
func (r *refreshable[T]) serves() bool {
	return r.has && (r.lasting || time.Since(r.sentAt) <= r.staleFor)
}

// fallBack returns the old value if it may serve, else the reason why there is
// no newer one.
func (r *refreshable[T]) fallBack(reason error) (value T, stale, err error) {
	if definitive(reason) || !r.serves() {
		return value, nil, reason
	}
	if r.mark == nil {
		return r.value, reason, nil
	}
	if r.markedFor != reason { //nolint:errorlint // the very error, not one of its kind
		r.marked, r.markedFor = r.mark(r.value, reason), reason
	}
	return r.marked, reason, nil
}

func (r *refreshable[T]) fresh(maxAge time.Duration) bool {
	return r.has && r.err == nil && time.Since(r.sentAt) < maxAge
}

// start begins a fetch.
func (r *refreshable[T]) start() {
	current := &fetching{began: time.Now(), done: make(chan struct{}), slow: r.err}
	if current.slow == nil {
		current.slow = &Error{
			Operation: "wait for Azure DevOps", Message: "no answer within " + patience.String() + ", or within the caller's time",
			Hint: hintRetry, kind: ErrUnavailable,
		}
	}
	r.running = current
	r.spawn(func() {
		value, err := r.fetch()
		r.mu.Lock()
		defer r.mu.Unlock()
		defer close(current.done)
		r.running = nil
		r.take(value, err, current.began)
	})
}

// take takes in how a fetch has ended.
func (r *refreshable[T]) take(value T, err error, began time.Time) {
	r.err = err
	if err == nil {
		r.value, r.has, r.sentAt, r.failures, r.failingAt = value, true, began, 0, time.Time{}
		var none T
		r.marked, r.markedFor = none, nil
		return
	}
	if r.failingAt.IsZero() {
		r.failingAt = began
	}
	r.hold(began)
}

// hold decides when to fetch again after a failure: when Azure DevOps allows it, or
// after twice as long as after the failure before.
func (r *refreshable[T]) hold(began time.Time) {
	failure, ok := errors.AsType[*Error](r.err)
	if !ok || failure.RetryAfter == 0 {
		r.failures++
		r.failedAt, r.heldUntil = began, time.Time{}
		return
	}
	// The wait begins with the answer. A request that was not sent sets no pace.
	r.heldUntil = time.Now().Add(failure.RetryAfter)
	if !failure.unsent {
		r.failedAt = began
	}
}

// backoff returns how long to wait from one failed fetch to the next, after so many
// in a row.
func backoff(failures int, pace time.Duration) time.Duration {
	for failures > 1 && pace < maxBackoff {
		pace, failures = min(2*pace, maxBackoff), failures-1
	}
	return pace
}

// idleSince reports whether nobody has needed the value since the deadline.
func (r *refreshable[T]) idleSince(deadline time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.running == nil && r.askedAt.Before(deadline)
}

// reading returns when the value was fetched, and why and since when no newer one
// could be.
func (r *refreshable[T]) reading() Reading {
	r.mu.Lock()
	defer r.mu.Unlock()
	return Reading{At: r.sentAt, Err: r.err, FailingSince: r.failingAt}
}

// last returns the last value, however old it is, and the error of the last fetch.
func (r *refreshable[T]) last() (T, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.value, r.err
}
