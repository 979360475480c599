package main

import (
	"context"
	"fmt"
	"time"

	"github.com/go-logr/zapr"
	"go.uber.org/zap"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/klog/v2"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/fleet"
)

// The modes of the view of Kubernetes.
const (
	kubeAuto = "auto" // if it can be had
	kubeOn   = "on"   // or end
	kubeOff  = "off"
)

// viewWithin bounds the reading of ScaledJobs and Jobs at the start.
const viewWithin = 30 * time.Second

// cluster gives the view of Kubernetes, or nil if there is none; that is said
// once, here.
func (s settings) cluster(ctx context.Context, logger *zap.Logger) (cluster scaler.Cluster, stop func(), err error) {
	if s.kube == kubeOff {
		return nil, func() {}, nil
	}
	klog.SetLogger(zapr.NewLogger(logger)) // client-go has no other way
	view, err := s.view(ctx)
	switch {
	case err == nil:
		return view, view.Stop, nil
	case s.kube == kubeOn:
		return nil, nil, fmt.Errorf("KUBE (--kube): %w", err)
	default:
		logger.Warn("no view of Kubernetes: count exact is taken for owned", zap.Error(err))
		return nil, func() {}, nil
	}
}

func (s settings) view(ctx context.Context) (*fleet.Fleet, error) {
	config, err := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(
		clientcmd.NewDefaultClientConfigLoadingRules(), nil).ClientConfig()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, viewWithin)
	defer cancel()
	return fleet.Start(ctx, config, s.kubeNamespaces...)
}
