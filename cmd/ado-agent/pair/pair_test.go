package pair

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue"
)

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// Paths of volumes are longer than addresses of sockets may be. A file of an
// earlier keeper, or of a job, in the socket's place is replaced.
func TestSocket(t *testing.T) {
	folder := filepath.Join(t.TempDir(), strings.Repeat("x", 200))
	check(t, os.MkdirAll(filepath.Join(folder, socketName, "of a job"), 0o700))
	for range 2 {
		listener, err := Listen(folder)
		check(t, err)
		t.Cleanup(func() { listener.Close() })
		k, r := NewKeeper(), NewRunner(true)
		go k.Accept(listener)
		ctx, cancel := context.WithCancel(t.Context())
		go r.Stay(ctx, func(ctx context.Context) (net.Conn, error) { return Dial(ctx, folder) })
		check(t, k.Join(t.Context()))
		if !k.Installed() || k.Configured() {
			t.Error("the runner says something else")
		}
		k.Offer(adoqueue.Package{Version: "4.255.0"})
		orders, err := r.Await(t.Context(), func(o Orders) bool { return o.Package != nil })
		if err != nil || orders.Package.Version != "4.255.0" {
			t.Errorf("got %+v, %v", orders, err)
		}
		cancel()
		<-k.Exited()
		if k.ExitCode() != -1 {
			t.Errorf("exit code %d of a runner that is gone", k.ExitCode())
		}
	}
	if _, err := Dial(t.Context(), t.TempDir()); err == nil {
		t.Error("there is a keeper nowhere")
	}
}

// A job can reach the socket. Its messages can at worst end its own pod.
func TestNonsense(t *testing.T) {
	for name, text := range map[string]string{
		"no JSON": "GET / HTTP/1.1\n", "wrong types": `{"code":"x"}` + "\n", "no end": strings.Repeat("x", maxMessage+1),
	} {
		t.Run(name, func(t *testing.T) {
			k := NewKeeper()
			one, other := net.Pipe()
			go func() {
				_, _ = other.Write([]byte(text))
			}()
			go func() { // it would block otherwise
				buffer := make([]byte, 1024)
				for {
					if _, err := other.Read(buffer); err != nil {
						return
					}
				}
			}()
			if err := k.Serve(one); err == nil {
				t.Error("it is taken for a message")
			}
			<-k.Exited()
		})
	}
}

// process is an agent's.
type process struct {
	working, exited chan struct{}
	interrupted     chan struct{}
}

func newProcess() *process {
	return &process{make(chan struct{}), make(chan struct{}), make(chan struct{})}
}

func (p *process) Working() <-chan struct{} { return p.working }
func (p *process) Exited() <-chan struct{}  { return p.exited }
func (p *process) ExitCode() int            { return 3 }
func (p *process) Kill() error              { return nil }
func (p *process) Interrupt() error {
	close(p.interrupted)
	return nil
}

// Without a keeper, a runner that is asked to end cancels its job in time, and ends
// some time after its agent.
func TestWithoutKeeper(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, stopping := newProcess(), make(chan struct{})
		begin := time.Now()
		go func() {
			close(stopping)
			<-p.interrupted
			if took := time.Since(begin); took != time.Minute {
				t.Errorf("its job is cancelled after %v", took)
			}
			close(p.exited)
		}()
		if end := NewRunner(true).Attend(p, stopping, Patience{Stopping: time.Minute, Leave: 10 * time.Second}); end != nil {
			t.Errorf("got %+v", end)
		}
		if took := time.Since(begin); took != 70*time.Second {
			t.Errorf("it ends after %v", took)
		}
	})
}

// An agent that had its job and ended in the same moment counts as one that had
// its job, whichever of the two is noticed first.
func TestWorkingAndExited(t *testing.T) {
	r, p := NewRunner(true), newProcess()
	close(p.working)
	close(p.exited)
	a := attendance{Runner: r, process: p, exited: p.Exited()} // working is not noticed
	a.await(nil)
	if facts, _ := r.facts.current(); !facts.Exited || !facts.Working || facts.Code != 3 {
		t.Errorf("got %+v", facts)
	}
}
