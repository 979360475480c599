package lifecycle

import (
	"context"
	"errors"
	"time"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue"
)

const (
	// leaveRetryInterval is how often an agent that Azure DevOps has a job for tries to
	// leave its pool: the job may be cancelled before it begins.
	leaveRetryInterval = 5 * time.Second
	// cancelTime is how long an agent needs to cancel its job; Microsoft's allows
	// the job 30 seconds.
	cancelTime = 40 * time.Second
	// killTimeout bounds the wait for the end of a killed process.
	killTimeout = 5 * time.Second
	// tries bounds how often one thing is asked for.
	tries = 10
)

// Limits are how long things may take.
type Limits struct {
	Idle  time.Duration // without a job, 0: any time
	Grace time.Duration // from being asked to end until being killed
	Leave time.Duration // to get out of the pool, at most
}

// shares are what the grace period is divided into.
type shares struct {
	wait  time.Duration // for the job to finish
	stop  time.Duration // for the agent to cancel it
	leave time.Duration // to get out of the pool
}

// split keeps back what cancelling and leaving take, but leaves at least half of
// the grace period to the job.
func (l Limits) split() shares {
	s := shares{stop: min(cancelTime, l.Grace/4), leave: min(l.Leave, l.Grace/4)}
	s.wait = l.Grace - s.stop - s.leave
	return s
}

// Wait returns how long a job may go on once the agent was asked to end.
func (l Limits) Wait() time.Duration { return l.split().wait }

// Persist does something again, some times and with growing pauses, until it
// works, is refused for good or the context ends. It returns the last error, but not
// that of an attempt which the context ended: the one before says more.
func Persist(ctx context.Context, do func() error) error {
	var last error
	pause := 250 * time.Millisecond
	for try := 1; ; try++ {
		err := do()
		if err != nil && last != nil && ctx.Err() != nil {
			return last
		}
		if err == nil || try == tries || errors.Is(err, adoqueue.ErrUnauthorized) || errors.Is(err, adoqueue.ErrForbidden) {
			return err
		}
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return err
		}
		last, pause = err, min(2*pause, 5*time.Second)
	}
}
