package pair

import (
	"context"
	"errors"
	"net"
	"sync"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue"
)

// Keeper is the keeper's view of its runner. It is the agent's process to whoever
// takes the agent through its time in the pool.
type Keeper struct {
	orders *side[Orders]

	joined, working, exited, stopping, hurry signal

	mu    sync.Mutex
	facts Facts
	code  int
}

// NewKeeper returns the view of a runner that has not been heard of yet.
func NewKeeper() *Keeper {
	return &Keeper{
		orders: newSide[Orders](),
		joined: newSignal(), working: newSignal(), exited: newSignal(), stopping: newSignal(), hurry: newSignal(),
	}
}

// Accept serves one runner. A runner that is gone does not come back.
func (k *Keeper) Accept(listener net.Listener) error {
	conn, err := listener.Accept()
	if err != nil {
		return err
	}
	return k.Serve(conn)
}

// Serve talks to the runner until its end. A connection that is lost means that
// its container has ended, even if by force.
func (k *Keeper) Serve(conn net.Conn) error {
	err := converse(conn, k.orders, k.heard)
	k.end(-1)
	return err
}

func (k *Keeper) heard(f Facts) {
	k.mu.Lock()
	k.facts = f
	k.mu.Unlock()
	k.joined.set()
	if f.Working {
		k.working.set()
	}
	if f.Stopping {
		k.stopping.set()
	}
	if f.Hurry {
		k.hurry.set()
	}
	if f.Exited {
		k.end(f.Code)
	}
}

// end notes the first end that it hears of.
func (k *Keeper) end(code int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	select {
	case <-k.exited.c:
	default:
		k.code = code
		k.exited.set()
	}
}

// Join waits for the runner.
func (k *Keeper) Join(ctx context.Context) error {
	select {
	case <-k.joined.c:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// ErrEnded means that the runner's container has ended.
var ErrEnded = errors.New("the container that runs the agent has ended")

// During returns a context that ends with the runner's container too.
func (k *Keeper) During(parent context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(parent)
	go func() {
		select {
		case <-k.exited.c:
			cancel(ErrEnded)
		case <-ctx.Done():
		}
	}()
	return ctx, func() { cancel(nil) }
}

// Installed reports whether the runner's image holds an agent.
func (k *Keeper) Installed() bool { return k.said().Installed }

// Configured reports whether the runner has its configuration, even from an
// earlier keeper.
func (k *Keeper) Configured() bool { return k.said().Configured }

func (k *Keeper) said() Facts {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.facts
}

// Offer names the package to fetch to a runner without an agent.
func (k *Keeper) Offer(p adoqueue.Package) {
	k.orders.change(func(o *Orders) { o.Package = &p })
}

// Configure sends the configuration of its agent to the runner, and starts it.
func (k *Keeper) Configure(files map[string][]byte) {
	k.orders.change(func(o *Orders) { o.Files = files })
}

// End makes the runner's container end.
func (k *Keeper) End(end End) {
	k.orders.change(func(o *Orders) { o.Files, o.End = nil, &end })
}

// Stopping is closed when the runner's container is to end.
func (k *Keeper) Stopping() <-chan struct{} { return k.stopping.c }

// Hurry is closed when it is to end at once.
func (k *Keeper) Hurry() <-chan struct{} { return k.hurry.c }

// Working is closed when the agent has a job.
func (k *Keeper) Working() <-chan struct{} { return k.working.c }

// Exited is closed when the agent has ended, or its container.
func (k *Keeper) Exited() <-chan struct{} { return k.exited.c }

// ExitCode returns that of an agent that has exited, -1 if its container has
// ended first.
func (k *Keeper) ExitCode() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.code
}

// Interrupt asks the agent to end; its job is cancelled.
func (k *Keeper) Interrupt() error { return k.stop(Interrupt) }

// Kill ends the agent.
func (k *Keeper) Kill() error { return k.stop(Kill) }

func (k *Keeper) stop(how Stop) error {
	k.orders.change(func(o *Orders) { o.Stop = how })
	return nil
}

// signal is a channel that is closed once, however often it is set.
type signal struct {
	c   chan struct{}
	set func()
}

func newSignal() signal {
	c := make(chan struct{})
	return signal{c: c, set: sync.OnceFunc(func() { close(c) })}
}
