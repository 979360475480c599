package main

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"os"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"
	authorizationv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/leaderelection"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
)

// Of a leader that is not heard of any more, another takes over after
// leaseDuration. These are what Kubernetes' own components use.
const (
	leaseDuration = 15 * time.Second
	renewDeadline = 10 * time.Second
	retryPeriod   = 2 * time.Second
)

// errNoLease is that leases may not be written.
var errNoLease = errors.New("the service account lacks a right on leases")

// lead does duties until ctx ends, in one replica at a time. Where leases may not
// be written, there is one replica, or each does them.
func (s commonSettings) lead(ctx context.Context, logger *zap.Logger, duties ...func(context.Context)) error {
	work := func(ctx context.Context) {
		var working sync.WaitGroup
		for _, duty := range duties {
			working.Go(func() { duty(ctx) })
		}
		working.Wait()
	}
	switch {
	case len(duties) == 0:
		return nil
	case s.Election == off:
		work(ctx)
		return nil
	}
	lock, err := s.leaseOnceAnswered(ctx, logger)
	if err == nil {
		lead(ctx, lock, logger, work)
	}
	if !errors.Is(err, errNoLease) { // it has led, or was asked to end before
		return nil
	}
	if s.Election == on {
		return fmt.Errorf("LEADER_ELECTION (--leader-election): %w", err)
	}
	logger.Info("no leader election: run one replica only", zap.Error(err))
	work(ctx)
	return nil
}

// leaseOnceAnswered waits until Kubernetes has said whether leases may be
// written: without a leader while it is down, all replicas would work.
func (s commonSettings) leaseOnceAnswered(ctx context.Context, logger *zap.Logger) (lock resourcelock.Interface, err error) {
	_ = wait.PollUntilContextCancel(ctx, startRetryInterval, true, func(ctx context.Context) (bool, error) {
		lock, err = s.lease(ctx)
		answered := err == nil || errors.Is(err, errNoLease)
		if !answered && ctx.Err() == nil {
			logger.Error("finding the leader failed; retried automatically", zap.Error(err))
		}
		return answered, nil
	})
	return lock, err
}

// lead works whenever it leads, until ctx ends. The lease is given back a little
// before what is under way has ended, but nobody takes it as fast as that.
func lead(ctx context.Context, lock resourcelock.Interface, logger *zap.Logger, work func(context.Context)) {
	working := make(chan struct{}, 1)
	for ctx.Err() == nil {
		leaderelection.RunOrDie(ctx, leaderelection.LeaderElectionConfig{
			Lock: lock, LeaseDuration: leaseDuration, RenewDeadline: renewDeadline, RetryPeriod: retryPeriod,
			ReleaseOnCancel: true,
			Callbacks: leaderelection.LeaderCallbacks{
				OnStartedLeading: func(ctx context.Context) {
					working <- struct{}{}
					defer func() { <-working }()
					if ctx.Err() == nil {
						logger.Debug("leading")
						work(ctx)
					}
				},
				OnStoppedLeading: func() { logger.Debug("not leading") },
			},
		})
	}
	working <- struct{}{} // once it has ended
}

// lease is what replicas elect their leader by.
func (s commonSettings) lease(ctx context.Context) (resourcelock.Interface, error) {
	found := kubernetesConfig()
	config, err := kubernetesClientConfig()
	if err != nil {
		return nil, err
	}
	kube, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	namespace, _, err := found.Namespace()
	if err != nil {
		return nil, err
	}
	for _, verb := range []string{"create", "get", "update"} {
		review := &authorizationv1.SelfSubjectAccessReview{Spec: authorizationv1.SelfSubjectAccessReviewSpec{
			ResourceAttributes: &authorizationv1.ResourceAttributes{
				Namespace: namespace, Verb: verb, Group: "coordination.k8s.io", Resource: "leases", Name: s.leaseName(),
			},
		}}
		review, err := kube.AuthorizationV1().SelfSubjectAccessReviews().Create(ctx, review, metav1.CreateOptions{})
		if err != nil {
			return nil, fmt.Errorf("check the right to write leases: %w", err)
		}
		if !review.Status.Allowed {
			return nil, fmt.Errorf("%w: %s %s in namespace %s", errNoLease, verb, s.leaseName(), namespace)
		}
	}
	host, err := os.Hostname()
	if err != nil {
		return nil, err
	}
	return &resourcelock.LeaseLock{
		LeaseMeta:  metav1.ObjectMeta{Namespace: namespace, Name: s.leaseName()},
		Client:     kube.CoordinationV1(),
		LockConfig: resourcelock.ResourceLockConfig{Identity: fmt.Sprintf("%s_%d", host, os.Getpid())},
	}, nil
}

// leaseName returns the same for all replicas, and by default another for a program
// in the same namespace that serves other organizations or pools.
func (s commonSettings) leaseName() string {
	if s.LeaseName != "" {
		return s.LeaseName
	}
	hash := fnv.New32a()
	for _, part := range append(s.organizationNames(), s.serves...) {
		_, _ = hash.Write([]byte(strings.ToLower(part) + "\n"))
	}
	return fmt.Sprintf("ado-agent-orchestrator-%08x", hash.Sum32())
}
