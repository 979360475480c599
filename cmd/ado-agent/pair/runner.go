package pair

import (
	"context"
	"net"
	"sync/atomic"
	"time"
)

// Process is the agent that a runner runs.
type Process interface {
	Working() <-chan struct{}
	Exited() <-chan struct{}
	ExitCode() int
	Interrupt() error
	Kill() error
}

// Runner is the runner's side.
type Runner struct {
	facts  *side[Facts]
	orders *side[Orders] // as heard last
	kept   atomic.Bool   // the keeper is there
}

// NewRunner returns a runner that has not heard of its keeper yet.
func NewRunner(installed bool) *Runner {
	r := &Runner{facts: newSide[Facts](), orders: newSide[Orders]()}
	r.facts.state.Installed = installed
	return r
}

// redial is the pause between two attempts to reach the keeper.
const redial = 100 * time.Millisecond

// Stay connects to the keeper, and again when that is restarted, until the
// context ends.
func (r *Runner) Stay(ctx context.Context, dial func(context.Context) (net.Conn, error)) {
	for ctx.Err() == nil {
		if conn, err := dial(ctx); err == nil {
			stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
			_ = r.Serve(conn) // whatever ended it, the keeper is asked again
			stop()
		}
		select {
		case <-time.After(redial):
		case <-ctx.Done():
		}
	}
}

// Serve talks to the keeper for as long as a connection lasts.
func (r *Runner) Serve(conn net.Conn) error {
	defer r.orders.change(func(*Orders) { r.kept.Store(false) })
	return converse(conn, r.facts, func(o Orders) {
		r.orders.change(func(known *Orders) {
			r.kept.Store(true)
			*known = o
		})
	})
}

// Await returns the orders once they are as wanted, or say that it is to end.
func (r *Runner) Await(ctx context.Context, wanted func(Orders) bool) (Orders, error) {
	for {
		orders, changed := r.orders.current()
		if orders.End != nil || wanted(orders) {
			return orders, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return Orders{}, context.Cause(ctx)
		}
	}
}

// Report notifies the keeper of what has changed.
func (r *Runner) Report(change func(*Facts)) { r.facts.change(change) }

// Patience bounds what a runner does without its keeper.
type Patience struct {
	Stopping time.Duration // from being asked to end until it cancels its job
	Leave    time.Duration // from its agent's end until it ends itself
}

// Attend reports what becomes of the agent and does to it what the keeper orders.
// It returns how the keeper wants the container to end, nil if the keeper is not
// there any more.
func (r *Runner) Attend(p Process, stopping <-chan struct{}, patience Patience) *End {
	a := attendance{Runner: r, process: p, patience: patience, working: p.Working(), exited: p.Exited(), stopping: stopping}
	for !a.over {
		orders, changed := r.orders.current()
		if orders.End != nil {
			a.stop(Kill) // there is none, as a rule
			return orders.End
		}
		a.stop(orders.Stop)
		a.await(changed)
	}
	return nil
}

// attendance is the state of Attend.
type attendance struct {
	*Runner
	process  Process
	patience Patience

	working, exited, stopping <-chan struct{} // nil once they were closed
	timer                     <-chan time.Time
	over                      bool
	stopped                   Stop
}

// stop ends the agent if that was not done already.
func (a *attendance) stop(how Stop) {
	if how <= a.stopped || a.exited == nil {
		return
	}
	a.stopped = how
	if how == Kill || a.process.Interrupt() != nil {
		_ = a.process.Kill() // it has ended, or else the container's end does it
	}
}

// await waits for something to happen.
func (a *attendance) await(changed <-chan struct{}) {
	select {
	case <-changed:
	case <-a.working:
		a.working = nil
		a.Report(func(f *Facts) { f.Working = true })
	case <-a.exited:
		a.exited = nil
		a.timer = time.After(a.patience.Leave)
		a.Report(func(f *Facts) {
			select {
			case <-a.process.Working(): // in the same moment
				f.Working = true
			default:
			}
			f.Exited, f.Code = true, a.process.ExitCode()
		})
	case <-a.stopping:
		a.stopping = nil
		if a.exited != nil {
			a.timer = time.After(a.patience.Stopping)
		}
		a.Report(func(f *Facts) { f.Stopping = true })
	case <-a.timer:
		a.timer = nil
		switch {
		case a.kept.Load(): // it knows what it does
		case a.exited == nil:
			a.over = true
		default:
			a.stop(Interrupt)
		}
	}
}
