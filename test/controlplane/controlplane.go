// Package controlplane runs a Kubernetes control plane and KEDA as plain
// processes, and a kubelet that a test can steer. It runs on Linux.
//
// A control plane is etcd, the API server, the controllers that Jobs need, and
// KEDA's operator, as released; [components] builds them. There are no nodes
// and no containers: a [Kubelet] plays the scheduler, the node and the container
// runtime, and runs each container's command as a local process.
package controlplane

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"time"

	"k8s.io/client-go/rest"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/test/components"
)

// Options say what to start. Their zero value is a control plane with KEDA that
// ends with this process.
type Options struct {
	// Dir is where all files go. By default it is a new temporary directory.
	// It must not hold another control plane.
	Dir string
	// KEDAVersion is the version of KEDA, by default that of the environment
	// variable [components.KEDAVariable] or the latest one.
	KEDAVersion string
	// GeneratedCRDs takes the CRDs from which KEDA's release is made in place of
	// those of the release; see [components.CRDs].
	GeneratedCRDs bool
	// WithoutKEDA leaves KEDA's operator out; its CRDs are there even so.
	WithoutKEDA bool
	// Controllers are names of controllers to run besides those that Jobs need.
	Controllers []string
	// MetricsServer adds KEDA's metrics server, and the controller of
	// HorizontalPodAutoscalers that asks it. It goes on asking the operator that was
	// started first.
	MetricsServer bool
	// KEDAArgs and KEDAEnv are added to those of KEDA's operator.
	KEDAArgs, KEDAEnv []string
	// Progress gets the messages of the programs' first build. By default it is os.Stderr.
	Progress io.Writer
}

// ControlPlane is a running control plane.
type ControlPlane struct {
	options    Options
	programs   components.Programs
	dir, id    string
	guard      *guard
	restConfig *rest.Config

	mu        sync.Mutex
	apiServer apiServer
	keda      *process // nil while stopped
	// kedaMetrics is where KEDA's operator answers the metrics server.
	kedaMetrics string
	kubelets    []*Kubelet
}

// stopTimeout bounds the end of processes, which takes milliseconds.
const stopTimeout = 20 * time.Second

// Start builds what is not built yet and starts a control plane. It returns once
// the API server, the controllers and KEDA are ready. The context bounds the
// start only: what was started runs until Stop, or until this process ends in
// whatever way. If Start fails, it leaves no process, and names the logs.
func Start(ctx context.Context, options Options) (*ControlPlane, error) {
	if options.Progress == nil {
		options.Progress = os.Stderr
	}
	programs, err := components.Build(ctx, components.Options{
		KEDA: options.KEDAVersion, WithoutKEDA: options.WithoutKEDA, MetricsServer: options.MetricsServer, Progress: options.Progress,
	})
	if err != nil {
		return nil, err
	}
	c := &ControlPlane{options: options, programs: programs, dir: options.Dir, id: rand.Text()}
	if err := c.prepare(); err != nil {
		return nil, fmt.Errorf("prepare a control plane: %w", err)
	}
	if err := c.startAll(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("start a control plane (its files are kept in %s): %w", c.dir, err), c.end())
	}
	return c, nil
}

// prepare makes the directories, and ensures that all that will be started is
// also ended.
func (c *ControlPlane) prepare() error {
	if c.dir == "" {
		dir, err := os.MkdirTemp("", "control-plane-")
		if err != nil {
			return err
		}
		c.dir = dir
	}
	dir, err := filepath.Abs(c.dir)
	if err != nil {
		return err
	}
	c.dir = dir
	if err := os.MkdirAll(c.logDir(), 0o750); err != nil {
		return err
	}
	if err := c.claim(); err != nil {
		return err
	}
	c.guard, err = startGuard(planeMark(c.id))
	return err
}

// Config is a client configuration with all rights. It limits no rate.
func (c *ControlPlane) Config() *rest.Config { return rest.CopyConfig(c.restConfig) }

// Kubeconfig is the path of a file for kubectl and others, with all rights.
func (c *ControlPlane) Kubeconfig() string { return filepath.Join(c.dir, "kubeconfig") }

// Dir is where all files of the control plane are.
func (c *ControlPlane) Dir() string { return c.dir }

// LogDir holds a log file for each component, and the kubelets' logs of pods.
func (c *ControlPlane) LogDir() string { return c.logDir() }

func (c *ControlPlane) logDir() string { return filepath.Join(c.dir, "logs") }

// Environ is the environment variables by which a process is known as one of the
// control plane's: one that is started with them, and its children, end with it.
func (c *ControlPlane) Environ() []string { return []string{string(planeMark(c.id))} }

// Stop ends every process and removes every file.
func (c *ControlPlane) Stop() error {
	return errors.Join(c.end(), os.RemoveAll(c.dir))
}

// StopKeepingLogs ends every process, and removes every file but the logs.
func (c *ControlPlane) StopKeepingLogs() error {
	errs := []error{c.end()}
	entries, err := os.ReadDir(c.dir)
	errs = append(errs, err)
	for _, entry := range entries {
		if path := filepath.Join(c.dir, entry.Name()); path != c.logDir() {
			errs = append(errs, os.RemoveAll(path))
		}
	}
	return errors.Join(errs...)
}

// end kills all processes: nothing of theirs is needed any more, so that a
// graceful end would only take its time.
func (c *ControlPlane) end() error {
	c.mu.Lock()
	kubelets := c.kubelets
	c.kubelets = nil
	c.mu.Unlock()
	for _, k := range kubelets {
		k.Stop()
	}
	ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
	defer cancel()
	return errors.Join(planeMark(c.id).sweep(ctx), c.guard.stop())
}
