package controlplane

import (
	"context"
	"errors"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// retryDelay is between two attempts at what may yet succeed: the start of a
// container whose Secret is missing, or one more run of a container. A kubelet
// waits longer, and ever longer.
const retryDelay = time.Second

// startErrorCode is the exit code of a container whose command cannot be run.
const startErrorCode = 128

// runAll runs the pod's containers: those of init one after the other, then the
// others side by side. Sidecars begin among the former and end after the latter.
func (p *pod) runAll() error {
	sidecars := p.newSidecars()
	err := p.runInitContainers(sidecars)
	if err == nil {
		err = p.runContainers()
	}
	return errors.Join(err, sidecars.stop())
}

// runInitContainers runs one after the other. It returns errNotStarted if one
// failed for good.
func (p *pod) runInitContainers(sidecars *sidecars) error {
	for _, c := range p.spec.Spec.InitContainers {
		if isSidecar(c) {
			if !sidecars.start(c) {
				return errNotStarted
			}
			continue
		}
		code, err := p.runContainer(c, p.spec.Spec.RestartPolicy != corev1.RestartPolicyNever, false)
		if err != nil {
			return err
		}
		if code != 0 || p.ending() {
			return errNotStarted
		}
	}
	return nil
}

// runContainers runs all side by side.
func (p *pod) runContainers() error {
	policy := p.spec.Spec.RestartPolicy
	var group errgroup.Group
	for _, c := range p.spec.Spec.Containers {
		group.Go(func() error {
			_, err := p.runContainer(c, policy != corev1.RestartPolicyNever, policy == corev1.RestartPolicyAlways)
			return err
		})
	}
	return group.Wait()
}

// life says until when a container runs.
type life struct {
	ending context.Context // ends when the container is asked to end
	grace  func() time.Duration
}

func (l life) over() bool { return l.ending.Err() != nil }

// ordinary is the life of a container that is no sidecar.
func (p *pod) ordinary() life {
	return life{p.terminating, func() time.Duration {
		p.mu.Lock()
		defer p.mu.Unlock()
		return p.grace
	}}
}

// runContainer runs a container until it has ended for good, and returns its
// exit code. Whether that is so depends on its having failed or not.
func (p *pod) runContainer(c corev1.Container, againIfFailed, againIfDone bool) (int32, error) {
	return p.rerun(c, p.ordinary(), func(end *corev1.ContainerStateTerminated) bool {
		return end.ExitCode != 0 && againIfFailed || end.ExitCode == 0 && againIfDone
	}, func() {})
}

// rerun runs a container for as long as its end asks for another run. It calls
// started each time that it runs.
func (p *pod) rerun(c corev1.Container, l life, again func(*corev1.ContainerStateTerminated) bool, started func()) (int32, error) {
	for {
		end, err := p.runOnce(c, l, started)
		if err != nil {
			return 0, err
		}
		if !again(end) || l.over() {
			return end.ExitCode, nil
		}
		if err := p.update(func(s *corev1.PodStatus) {
			status := containerStatus(s, c.Name)
			status.RestartCount++
			status.LastTerminationState, status.State = status.State, waiting("CrashLoopBackOff", "")
		}); err != nil {
			return 0, err
		}
		if !pause(l.ending, retryDelay) {
			return end.ExitCode, nil
		}
	}
}

// runOnce starts the container, as soon as all it needs is there, and reports
// its state until it has ended.
func (p *pod) runOnce(c corev1.Container, l life, started func()) (*corev1.ContainerStateTerminated, error) {
	e, err := p.startContainer(c)
	var unready *unreadyError
	for errors.As(err, &unready) {
		if err := p.update(func(s *corev1.PodStatus) {
			containerStatus(s, c.Name).State = waiting(unready.reason, unready.Error())
		}); err != nil {
			return nil, err
		}
		if !pause(l.ending, retryDelay) {
			return nil, errNotStarted
		}
		e, err = p.startContainer(c)
	}
	end := &corev1.ContainerStateTerminated{StartedAt: metav1.Now()}
	if err == nil {
		p.setRunning(e, c.Name) // before anybody can see that it runs, and kill it
		err = p.update(func(s *corev1.PodStatus) {
			status := containerStatus(s, c.Name)
			status.State = corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: end.StartedAt}}
			status.Ready, status.Started = true, new(true)
		})
		started()
		end.ExitCode, end.Reason = int32(p.await(e, l)), "Completed" //nolint:gosec // an exit code is a small number
		if end.ExitCode != 0 {
			end.Reason = "Error"
		}
	} else {
		end.ExitCode, end.Reason, end.Message = startErrorCode, "StartError", err.Error()
		err = nil
	}
	end.FinishedAt = metav1.Now()
	return end, errors.Join(err, p.update(func(s *corev1.PodStatus) {
		status := containerStatus(s, c.Name)
		status.State = corev1.ContainerState{Terminated: end}
		status.Ready, status.Started = false, new(false)
	}))
}

// setRunning makes an execution one that kill ends, until await has seen its end.
func (p *pod) setRunning(e *execution, name string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.executions[e] = name
}

// await returns the exit code of what runs. Should the container be to end first,
// it asks it to end, and kills it after the grace period.
func (p *pod) await(e *execution, l life) int {
	defer func() {
		p.mu.Lock()
		delete(p.executions, e)
		p.mu.Unlock()
	}()
	select {
	case <-e.done:
		return e.code
	case <-l.ending.Done():
	}
	e.terminate()
	select {
	case <-e.done:
	case <-time.After(l.grace()):
	case <-p.dead.Done():
	}
	e.kill()
	<-e.done
	return e.code
}

// pause waits, and returns false if that has to end.
func pause(ending context.Context, delay time.Duration) bool {
	select {
	case <-time.After(delay):
		return true
	case <-ending.Done():
		return false
	}
}
