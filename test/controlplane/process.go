package controlplane

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
)

// command is a component's program as it is to be started.
type command struct {
	name, path string
	args, env  []string
}

// process is a component that was started.
type process struct {
	name, log string
	cmd       *exec.Cmd
	done      chan struct{} // closed when it has ended, err being set
	err       error
}

// start starts a component, in a separate session so that neither Ctrl-C nor
// a hang-up of the terminal reaches it. Its output is added to its log.
func (c *ControlPlane) start(cmd command) (*process, error) {
	log := filepath.Join(c.logDir(), cmd.name+".log")
	out, err := os.OpenFile(log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	defer out.Close()
	p := &process{name: cmd.name, log: log, done: make(chan struct{})}
	p.cmd = exec.Command(cmd.path, cmd.args...) //nolint:gosec,noctx // one of those built here, and it outlives the start
	p.cmd.Dir = c.dir
	p.cmd.Env = append(append(c.Environ(), "PATH="+os.Getenv("PATH"), "HOME="+c.dir), cmd.env...)
	p.cmd.Stdout, p.cmd.Stderr = out, out
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", cmd.name, err)
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.done)
	}()
	return p, nil
}

// while returns a context that ends with the process, so that waiting for it to
// become ready does not outlast it.
func (p *process) while(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	go func() {
		select {
		case <-p.done:
			cancel(fmt.Errorf("%s ended: %w; its log is %s", p.name, orExited(p.err), p.log))
		case <-ctx.Done():
		}
	}()
	return ctx, func() { cancel(context.Canceled) }
}

func orExited(err error) error {
	if err == nil {
		return errors.New("exit status 0")
	}
	return err
}

// stop ends the process: SIGTERM, and SIGKILL once ctx is over.
func (p *process) stop(ctx context.Context) error {
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("stop %s: %w", p.name, err)
	}
	select {
	case <-p.done:
		return nil
	case <-ctx.Done():
		p.kill()
		return fmt.Errorf("%s did not end at SIGTERM and was killed: %w", p.name, context.Cause(ctx))
	}
}

// kill ends the process at once. That it had ended already is no error, and
// SIGKILL knows no other.
func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	<-p.done
}
