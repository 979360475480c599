package controlplane

import (
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

// runInitContainers runs one after the other. It returns errNotStarted if one
// failed for good.
func (p *pod) runInitContainers() error {
	for _, c := range p.spec.Spec.InitContainers {
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

// runContainer runs a container until it has ended for good, and returns its
// exit code. Whether that is so depends on its having failed or not.
func (p *pod) runContainer(c corev1.Container, againIfFailed, againIfDone bool) (int32, error) {
	for {
		end, err := p.runOnce(c)
		if err != nil {
			return 0, err
		}
		again := end.ExitCode != 0 && againIfFailed || end.ExitCode == 0 && againIfDone
		if !again || p.ending() {
			return end.ExitCode, nil
		}
		if err := p.update(func(s *corev1.PodStatus) {
			status := containerStatus(s, c.Name)
			status.RestartCount++
			status.LastTerminationState, status.State = status.State, waiting("CrashLoopBackOff", "")
		}); err != nil {
			return 0, err
		}
		if !p.pause(retryDelay) {
			return end.ExitCode, nil
		}
	}
}

// runOnce starts the container, as soon as all it needs is there, and reports
// its state until it has ended.
func (p *pod) runOnce(c corev1.Container) (*corev1.ContainerStateTerminated, error) {
	e, err := p.startContainer(c)
	var unready *unreadyError
	for errors.As(err, &unready) {
		if err := p.update(func(s *corev1.PodStatus) {
			containerStatus(s, c.Name).State = waiting(unready.reason, unready.Error())
		}); err != nil {
			return nil, err
		}
		if !p.pause(retryDelay) {
			return nil, errNotStarted
		}
		e, err = p.startContainer(c)
	}
	end := &corev1.ContainerStateTerminated{StartedAt: metav1.Now()}
	if err == nil {
		err = p.update(func(s *corev1.PodStatus) {
			status := containerStatus(s, c.Name)
			status.State = corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: end.StartedAt}}
			status.Ready, status.Started = true, new(true)
		})
		end.ExitCode, end.Reason = int32(p.await(e)), "Completed" //nolint:gosec // an exit code is a small number
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

// await returns the exit code of what runs. Should the pod be to end first, it
// asks it to end, and kills it after the grace period.
func (p *pod) await(e *execution) int {
	p.mu.Lock()
	p.executions[e] = struct{}{}
	p.mu.Unlock()
	defer func() {
		p.mu.Lock()
		delete(p.executions, e)
		p.mu.Unlock()
	}()
	select {
	case <-e.done:
		return e.code
	case <-p.terminating.Done():
	}
	e.terminate()
	p.mu.Lock()
	grace := p.grace
	p.mu.Unlock()
	select {
	case <-e.done:
	case <-time.After(grace):
	case <-p.dead.Done():
	}
	e.kill()
	<-e.done
	return e.code
}

// pause waits, and returns false if the pod is to end.
func (p *pod) pause(delay time.Duration) bool {
	select {
	case <-time.After(delay):
		return true
	case <-p.terminating.Done():
		return false
	}
}
