package controlplane

import (
	"context"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/ptr"
)

// leastGrace is what a sidecar has to end if the pod's grace period is over.
const leastGrace = 2 * time.Second

// isSidecar reports whether an init container runs beside the others.
func isSidecar(c corev1.Container) bool {
	return ptr.Deref(c.RestartPolicy, "") == corev1.ContainerRestartPolicyAlways
}

// sidecars are init containers that are restarted whenever they end, until all of
// the pod's containers have ended. The last to start is the first to end.
type sidecars struct {
	pod     *pod
	ending  []context.CancelFunc
	ended   []chan struct{}
	running errgroup.Group
}

func (p *pod) newSidecars() *sidecars { return &sidecars{pod: p} }

// start returns once the sidecar runs, or false if the pod is to end first.
func (s *sidecars) start(c corev1.Container) bool {
	ctx, cancel := context.WithCancel(s.pod.dead)
	started, ended := make(chan struct{}), make(chan struct{})
	s.ending, s.ended = append(s.ending, cancel), append(s.ended, ended)
	s.running.Go(func() error {
		defer close(ended)
		always := func(*corev1.ContainerStateTerminated) bool { return true }
		_, err := s.pod.rerun(c, life{ctx, s.pod.sidecarGrace}, always, sync.OnceFunc(func() { close(started) }))
		return err
	})
	select {
	case <-started:
		return true
	case <-ended:
		return false
	case <-s.pod.terminating.Done():
		return false
	}
}

// stop ends them, in reverse order.
func (s *sidecars) stop() error {
	for i, end := range slices.Backward(s.ending) {
		end()
		<-s.ended[i]
	}
	return s.running.Wait()
}

// sidecarGrace is what is left of the grace period that the pod's containers had.
func (p *pod) sidecarGrace() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ending() {
		return max(leastGrace, time.Until(p.deadline))
	}
	return time.Duration(ptr.Deref(p.spec.Spec.TerminationGracePeriodSeconds, 30)) * time.Second
}
