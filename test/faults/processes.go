package faults

import (
	"context"
	"errors"
	"net"
	"time"

	"golang.org/x/sys/unix"
)

// reconnect is how long KEDA may wait before it connects again to a scaler that was
// away for some seconds: gRPC's back-off begins with 1 s, grows by 1.6, and varies by
// a fifth.
const reconnect = 5 * time.Second

// processes are faults of the scaler itself.
func processes() []Fault {
	return []Fault{
		{Name: "the scaler is restarted", Begin: restart((*replica).stop), Lists: true, Lasts: 3 * time.Second, Pause: reconnect},
		{Name: "the scaler is killed and restarted", Begin: restart((*replica).kill), Lists: true, Lasts: 3 * time.Second, Pause: reconnect},
		{Name: "the scaler hangs", Begin: pause, Lists: true},
		{Name: "the leader is killed, and the other replica takes over", Begin: killLeader, Lists: true, Setup: func(s *Setup) {
			s.Replicas = 2
			s.Env = []string{"LEADER_ELECTION=on", "LEASE_NAME=scaler", "PLACEHOLDERS=true", "HOUSEKEEPING_OWNER=faults"}
		}},
		{Name: "64 file descriptors, all in use", Begin: exhaust, Lists: true},
	}
}

// restart ends the scaler; another takes its place, at its address.
func restart(end func(*replica) error) func(context.Context, *Trial) (func(context.Context) error, error) {
	return func(_ context.Context, t *Trial) (func(context.Context) error, error) {
		s := t.Scalers[0]
		return func(context.Context) error { return s.start() }, end(s)
	}
}

// pause keeps the process from running, as a node does that has no processor left.
func pause(_ context.Context, t *Trial) (func(context.Context) error, error) {
	pid := t.Scalers[0].PID()
	return func(context.Context) error { return unix.Kill(pid, unix.SIGCONT) }, unix.Kill(pid, unix.SIGSTOP)
}

// killLeader kills the replica that KEDA is connected to. A Service sends KEDA to
// the other one.
func killLeader(_ context.Context, t *Trial) (func(context.Context) error, error) {
	err := t.Scalers[0].kill()
	t.KEDA.Retarget(t.Scalers[1].Addr)
	t.KEDA.Break()
	return nothing, err
}

// exhaust leaves the scaler no file to open: it may have 64, and connections hold
// them.
func exhaust(ctx context.Context, t *Trial) (func(context.Context) error, error) {
	const files = 64
	pid := t.Scalers[0].PID()
	var before unix.Rlimit
	if err := unix.Prlimit(pid, unix.RLIMIT_NOFILE, nil, &before); err != nil {
		return nil, err
	}
	if err := unix.Prlimit(pid, unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: files, Max: before.Max}, nil); err != nil {
		return nil, err
	}
	var held []net.Conn
	for range files {
		// The kernel accepts on its behalf, whether or not it can.
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", t.Scalers[0].HTTPAddr)
		if err != nil {
			return nil, err
		}
		held = append(held, conn)
	}
	return func(context.Context) error {
		errs := []error{unix.Prlimit(pid, unix.RLIMIT_NOFILE, &before, nil)}
		for _, conn := range held {
			errs = append(errs, conn.Close())
		}
		return errors.Join(errs...)
	}, nil
}
