package main

import (
	"context"
	"fmt"
	"time"

	"github.com/go-logr/zapr"
	"go.uber.org/zap"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/klog/v2"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/fleet"
)

// What can be had with Kubernetes is had
const (
	ifPossible = "auto" // or gone without
	on         = "on"   // or the program ends
	off        = "off"
)

// viewWithin bounds the reading of ScaledJobs and Jobs at the start.
const viewWithin = 30 * time.Second

// cluster gives the view of Kubernetes, or nil if there is none; that is said
// once, here.
func (s settings) cluster(ctx context.Context, logger *zap.Logger) (*fleet.Fleet, error) {
	if s.kube == off {
		return nil, nil //nolint:nilnil // no view, and nothing wrong
	}
	bindKubernetesLog(logger)
	view, err := s.view(ctx)
	if err != nil && s.kube == on {
		return nil, fmt.Errorf("KUBE (--kube): %w", err)
	}
	if err != nil {
		logger.Warn("no view of Kubernetes: count exact is taken for owned", zap.Error(err))
		return nil, nil //nolint:nilnil // it is gone without
	}
	return view, nil
}

func (s settings) view(ctx context.Context) (*fleet.Fleet, error) {
	config, err := kubernetesConfig().ClientConfig()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, viewWithin)
	defer cancel()
	return fleet.Start(ctx, config, fleet.Options{Namespaces: s.kubeNamespaces, RememberFor: s.rememberFor()})
}

// rememberFor is how long deleted Jobs have to be remembered: longer than any
// snapshot is used, with time for the request that it is the answer to.
func (s commonSettings) rememberFor() time.Duration { return s.staleFor + s.timeout + time.Minute }

// kubernetesConfig finds the cluster: that of the service account, or the one
// that KUBECONFIG or the user's own file names.
func kubernetesConfig() clientcmd.ClientConfig {
	return clientcmd.NewNonInteractiveDeferredLoadingClientConfig(clientcmd.NewDefaultClientConfigLoadingRules(), nil)
}

// bindKubernetesLog makes what client-go logs part of our log; it has no other
// way.
func bindKubernetesLog(logger *zap.Logger) { klog.SetLogger(zapr.NewLogger(logger)) }
