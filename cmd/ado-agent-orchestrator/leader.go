package main

import (
	"context"
	"fmt"
	"hash/fnv"
	"os"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"
	authorizationv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
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
	case s.election == off:
		work(ctx)
		return nil
	}
	lock, err := s.lease(ctx)
	switch {
	case err == nil:
		lead(ctx, lock, logger, work)
	case s.election == on:
		return fmt.Errorf("LEADER_ELECTION (--leader-election): %w", err)
	default:
		logger.Info("no leader election: run one replica only", zap.Error(err))
		work(ctx)
	}
	return nil
}

func lead(ctx context.Context, lock resourcelock.Interface, logger *zap.Logger, work func(context.Context)) {
	var working sync.WaitGroup
	for ctx.Err() == nil {
		leaderelection.RunOrDie(ctx, leaderelection.LeaderElectionConfig{
			Lock: lock, LeaseDuration: leaseDuration, RenewDeadline: renewDeadline, RetryPeriod: retryPeriod,
			ReleaseOnCancel: true,
			Callbacks: leaderelection.LeaderCallbacks{
				OnStartedLeading: func(ctx context.Context) {
					working.Add(1)
					defer working.Done()
					logger.Debug("leading")
					work(ctx)
				},
				OnStoppedLeading: func() { logger.Debug("not leading") },
			},
		})
		working.Wait() // it must have ended before it may begin again
	}
}

// lease is what replicas elect their leader by.
func (s commonSettings) lease(ctx context.Context) (resourcelock.Interface, error) {
	found := kubernetesConfig()
	config, err := found.ClientConfig()
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
				Namespace: namespace, Verb: verb, Group: "coordination.k8s.io", Resource: "leases",
			},
		}}
		review, err := kube.AuthorizationV1().SelfSubjectAccessReviews().Create(ctx, review, metav1.CreateOptions{})
		if err != nil {
			return nil, fmt.Errorf("ask whether leases may be written: %w", err)
		}
		if !review.Status.Allowed {
			return nil, fmt.Errorf("may not %s leases in namespace %s", verb, namespace)
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

// leaseName is the same for all replicas, and another for a program in the same
// namespace that serves other organizations or pools.
func (s commonSettings) leaseName() string {
	hash := fnv.New32a()
	for _, part := range append(s.organizationNames(), s.serves...) {
		_, _ = hash.Write([]byte(strings.ToLower(part) + "\n"))
	}
	return fmt.Sprintf("ado-agent-orchestrator-%08x", hash.Sum32())
}
