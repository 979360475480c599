package controlplane

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/klog/v2"
	"k8s.io/utils/ptr"
)

// errNotStarted ends a pod's course before its containers ran.
var errNotStarted = errors.New("the pod's containers are not started")

// pod is a pod that the kubelet plays.
type pod struct {
	kubelet *Kubelet
	spec    *corev1.Pod // as first seen, and with its node
	plan    Plan
	dir     string

	// terminating ends when the pod is to end; grace is then set. dead ends
	// when the pod or the kubelet is gone: there is nobody to report to.
	terminating, dead context.Context
	endGracefully     context.CancelFunc
	endNow            context.CancelFunc

	mu         sync.Mutex
	grace      time.Duration
	deadline   time.Time             // when the grace period is over
	executions map[*execution]string // by the container's name

	statusMu sync.Mutex // held while the status is written, to keep the order
	status   corev1.PodStatus
}

func newPod(k *Kubelet, spec *corev1.Pod) *pod {
	p := &pod{
		kubelet: k, spec: spec, dir: filepath.Join(k.podsDir(), string(spec.UID)),
		executions: make(map[*execution]string),
	}
	p.dead, p.endNow = context.WithCancel(k.ctx)
	p.terminating, p.endGracefully = context.WithCancel(p.dead)
	return p
}

// run plays the pod from its binding to its removal.
func (p *pod) run() {
	defer p.endNow()
	if !finished(p.spec) {
		if err := p.play(); p.unlessGone(err) != nil && !errors.Is(err, errNotStarted) && !p.ending() {
			klog.Background().Error(err, "The pod cannot be played", "pod", klog.KObj(p.spec))
		}
	}
	<-p.terminating.Done()
	if p.dead.Err() == nil {
		if err := errors.Join(p.reportEnd(), p.remove()); err != nil {
			klog.Background().Error(err, "The pod cannot be removed", "pod", klog.KObj(p.spec))
		}
	}
}

func finished(p *corev1.Pod) bool {
	return p.Status.Phase == corev1.PodSucceeded || p.Status.Phase == corev1.PodFailed
}

// play returns when all containers have ended for good, or will never start.
func (p *pod) play() error {
	p.plan = p.kubelet.options.Plan(p.spec)
	if p.plan.Unschedulable {
		return p.refuse()
	}
	if err := p.bind(); err != nil {
		return err
	}
	if err := p.accept(); err != nil {
		return err
	}
	if err := p.wait(); err != nil {
		return err
	}
	if p.plan.Waiting != "" {
		return errors.Join(errNotStarted, p.reportWaiting(p.plan.Waiting))
	}
	return p.runAll()
}

// bind does the scheduler's work.
func (p *pod) bind() error {
	if p.spec.Spec.NodeName != "" {
		return nil
	}
	node := p.kubelet.options.Node
	attempts := 0
	err := p.untilAnswered(func() error {
		attempts++
		return p.kubelet.client.CoreV1().Pods(p.spec.Namespace).Bind(p.dead, &corev1.Binding{
			ObjectMeta: metav1.ObjectMeta{Name: p.spec.Name, UID: p.spec.UID},
			Target:     corev1.ObjectReference{Kind: "Node", Name: node},
		}, metav1.CreateOptions{})
	})
	if attempts > 1 && apierrors.IsConflict(err) {
		err = nil // an attempt without an answer has bound it
	}
	if err != nil {
		return fmt.Errorf("bind: %w", err)
	}
	p.spec.Spec.NodeName = node
	return nil
}

// wait lets the plan's hold and delay pass.
func (p *pod) wait() error {
	if p.plan.Hold != nil {
		select {
		case <-p.plan.Hold:
		case <-p.terminating.Done():
			return errNotStarted
		}
	}
	if !pause(p.terminating, p.plan.Delay) {
		return errNotStarted
	}
	return nil
}

// terminate asks the containers to end within the grace period. Later
// requests change nothing, except a deletion by force, which is seen as [pod.removed].
func (p *pod) terminate(graceSeconds *int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.ending() {
		p.grace = time.Duration(ptr.Deref(graceSeconds, 0)) * time.Second
		p.deadline = time.Now().Add(p.grace)
		p.endGracefully()
	}
}

// ending reports whether the pod is to end, or has.
func (p *pod) ending() bool { return p.terminating.Err() != nil }

// removed means that the pod's object is gone.
func (p *pod) removed() { p.endNow() }

// kill ends what runs in a container by SIGKILL, in all of them if it has no name,
// and reports whether anything did.
func (p *pod) kill(container string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	ran := false
	for e, name := range p.executions {
		if container == "" || container == name {
			e.kill()
			ran = true
		}
	}
	return ran
}

// remove deletes the object, the containers being gone. Finalizers, such as that
// of the Job controller, may keep it for some longer.
func (p *pod) remove() error {
	err := p.untilAnswered(func() error {
		return p.kubelet.client.CoreV1().Pods(p.spec.Namespace).Delete(p.dead, p.spec.Name, metav1.DeleteOptions{
			GracePeriodSeconds: new(int64(0)),
			Preconditions:      metav1.NewUIDPreconditions(string(p.spec.UID)),
		})
	})
	return p.unlessGone(err)
}

// untilAnswered makes a call again for as long as the API server is not there: a
// kubelet reports what happened meanwhile once it is back.
func (p *pod) untilAnswered(call func() error) error {
	for {
		err := call()
		var answered apierrors.APIStatus
		away := apierrors.IsServiceUnavailable(err) || apierrors.IsTooManyRequests(err) || apierrors.IsInternalError(err)
		if err == nil || errors.As(err, &answered) && !away || p.dead.Err() != nil {
			return err
		}
		if !pause(p.dead, retryDelay/5) {
			return err
		}
	}
}

// unlessGone drops the error of a call about an object that is not there any
// more, or has another of its name in its place.
func (p *pod) unlessGone(err error) error {
	gone := apierrors.IsNotFound(err) || apierrors.IsConflict(err) || p.dead.Err() != nil
	if gone {
		return nil
	}
	return err
}
