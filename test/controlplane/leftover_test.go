package controlplane

import (
	"errors"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A control plane ends with the process that started it, whatever that dies of.
func TestNothingIsLeft(t *testing.T) {
	t.Parallel()
	for _, end := range []string{endByPanic, endByKill} {
		t.Run(end, func(t *testing.T) {
			t.Parallel()
			h := startHelper(t, end, t.TempDir())
			left := watchProcesses(t, h.pids)
			h.stdin.Close()
			if end == endByKill {
				if err := h.cmd.Process.Kill(); err != nil {
					t.Fatal(err)
				}
			}
			if err := h.cmd.Wait(); err == nil {
				t.Fatal("the helper ended well")
			}
			left.awaitEnd(t)
		})
	}
}

// watched are processes of another parent, by descriptors that become readable
// when they end. Their ids alone would not do, as those are used again.
type watched map[int]int

func watchProcesses(t *testing.T, pids []int) watched {
	t.Helper()
	w := make(watched, len(pids))
	for _, pid := range pids {
		fd, err := unix.PidfdOpen(pid, 0)
		if err != nil {
			t.Fatalf("process %d: %v", pid, err)
		}
		t.Cleanup(func() { unix.Close(fd) })
		w[pid] = fd
	}
	return w
}

func (w watched) awaitEnd(t *testing.T) {
	t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for pid, fd := range w {
		for {
			left := max(0, time.Until(deadline))
			n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, int(left.Milliseconds()))
			if errors.Is(err, unix.EINTR) {
				continue
			}
			if err != nil || n == 0 {
				t.Errorf("process %d does not end (error %v)", pid, err)
			}
			break
		}
	}
}
