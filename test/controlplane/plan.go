package controlplane

import (
	"context"
	"io"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// Plan is what a test wants to become of a pod. The zero value runs it as its
// spec says.
type Plan struct {
	// Unschedulable leaves the pod Pending, without a node.
	Unschedulable bool
	// Hold leaves the pod Pending on its node, its containers being created,
	// until the channel is closed. Delay does so for a time, after Hold.
	Hold  <-chan struct{}
	Delay time.Duration
	// Waiting leaves the pod Pending, its containers waiting for this reason,
	// such as ImagePullBackOff. It comes after Hold and Delay.
	Waiting string
	// Run stands in for the processes of all containers, those of init too.
	Run RunFunc
}

// RunFunc stands in for a container's process and returns its exit code. Its
// context ends when a process would get SIGTERM. It counts as killed if it
// goes on for longer than the grace period.
type RunFunc func(ctx context.Context, container Container) int

// Container is a container as its process would see it.
type Container struct {
	Pod     *corev1.Pod
	Name    string
	Command []string // with arguments
	Env     []string // as in os.Environ
	Dir     string
	Log     io.Writer
}
