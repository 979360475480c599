package controlplane

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"
)

// guardScript kills all that carries the mark once its standard input ends,
// which it does when the process that holds the other end is gone, even if by a
// panic or by SIGKILL. (PR_SET_PDEATHSIG would miss the grandchildren.)
const guardScript = `
read -r _
while pids=$(grep -lszxF "$1" /proc/[0-9]*/environ | cut -d/ -f3); [ -n "$pids" ]; do
	kill -KILL $pids 2>/dev/null
	sleep 0.02
done
`

// guard is the process that cleans up after this one.
type guard struct {
	cmd   *exec.Cmd
	stdin io.Closer
}

func startGuard(m mark) (*guard, error) {
	cmd := exec.Command("sh", "-c", guardScript, "sh", string(m)) //nolint:gosec,noctx // the mark is an argument, no code; it outlives every context
	// Without the mark, should this process carry it itself.
	cmd.Env = []string{"PATH=" + os.Getenv("PATH")}
	// In a separate session: Ctrl-C in the terminal must not reach it.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start the guard of the processes: %w", err)
	}
	return &guard{cmd: cmd, stdin: stdin}, nil
}

// stop lets the guard do its work now, and waits for it.
func (g *guard) stop() error {
	if err := errors.Join(g.stdin.Close(), g.cmd.Wait()); err != nil {
		return fmt.Errorf("guard of the processes: %w", err)
	}
	return nil
}
