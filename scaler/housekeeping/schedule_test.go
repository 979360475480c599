package housekeeping

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue"
)

// TestSchedule checks when a pool is reconciled again, and which failures are
// reported.
func TestSchedule(t *testing.T) {
	failed, forbidden := errors.New("no route to host"), fmt.Errorf("pool: %w", adoqueue.ErrForbidden)
	var s schedule
	start := time.Now()
	for i, step := range []struct {
		err   error
		after time.Duration
		first bool
	}{
		{nil, time.Minute, false},
		{failed, 5 * time.Second, true},
		{failed, 10 * time.Second, false},
		{failed, 20 * time.Second, false},
		{failed, 40 * time.Second, false},
		{failed, time.Minute, false},
		{failed, time.Minute, false},
		{forbidden, 10 * time.Minute, true},
		{forbidden, 10 * time.Minute, false},
		{failed, time.Minute, false},
		{nil, time.Minute, false},
		{failed, 5 * time.Second, true},
		{forbidden, 10 * time.Minute, true},
		{failed, 10 * time.Second, false},
	} {
		now := start.Add(time.Duration(i) * time.Hour)
		if first := s.update(now, step.err); first != step.first || s.next.Sub(now) != step.after {
			t.Errorf("step %d, %v: first %t, next after %v, want %t, %v", i, step.err, first, s.next.Sub(now), step.first, step.after)
		}
	}
	s.expedite(start)
	if s.next.Equal(start) {
		t.Error("a change of the members expedites a pool although the credential lacks a permission")
	}
	s.update(start, nil)
	s.expedite(start)
	if !s.next.Equal(start) {
		t.Error("a change of the members does not make the pool due")
	}
}
