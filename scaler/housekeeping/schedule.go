package housekeeping

import (
	"context"
	"errors"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue"
)

// forbiddenInterval is the time until the next attempt after Azure DevOps has
// refused the credential: somebody has to grant it a permission first.
const forbiddenInterval = 10 * time.Minute

// newBackoff returns the back-off between reconciliations of a pool that fail.
func newBackoff() *wait.Backoff {
	return &wait.Backoff{Duration: 5 * time.Second, Factor: 2, Steps: 10, Cap: reconcileInterval}
}

// schedule decides when a pool is reconciled next.
type schedule struct {
	next      time.Time
	backoff   *wait.Backoff // nil unless the last reconciliations failed
	forbidden bool          // the credential lacks a permission
}

// update sets the time of the next reconciliation from the result of one that
// began at now. It reports whether the failure is the first of its kind since
// the last success.
func (s *schedule) update(now time.Time, err error) (first bool) {
	switch {
	case err == nil:
		*s = schedule{next: now.Add(reconcileInterval)}
		return false
	case isForbidden(err):
		first = !s.forbidden
		s.forbidden = true
		s.next = now.Add(forbiddenInterval)
		return first
	}
	if s.backoff == nil {
		s.backoff, first = newBackoff(), true
	}
	s.next = now.Add(s.backoff.Step())
	return first
}

// expedite makes the pool due now, unless the credential lacks a permission.
func (s *schedule) expedite(now time.Time) {
	if !s.forbidden {
		s.next = now
	}
}

// isForbidden reports whether an error will recur until somebody grants the
// credential a permission.
func isForbidden(err error) bool {
	return errors.Is(err, adoqueue.ErrForbidden) || errors.Is(err, adoqueue.ErrUnauthorized)
}

// affectsPool reports whether an error will recur for every agent of the pool.
func affectsPool(err error) bool {
	return isForbidden(err) || errors.Is(err, adoqueue.ErrThrottled) || errors.Is(err, adoqueue.ErrUnavailable) ||
		errors.Is(err, adoqueue.ErrPoolNotFound) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}
