package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-logr/zapr"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/klog/v2"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/fleet"
)

// Modes of optional Kubernetes features; the third is auto: on if possible.
const (
	on  = "on"
	off = "off"
)

const (
	// viewTimeout bounds the reading of ScaledJobs and Jobs at the start.
	viewTimeout = 30 * time.Second
	// viewRetryInterval is the pause before a view that Kubernetes refused, or that had
	// no kubeconfig, is retried.
	viewRetryInterval = time.Minute
)

// cluster returns the view of Kubernetes, or nil if there is none; that is logged
// once, here.
func (s settings) cluster(ctx context.Context, logger *zap.Logger) (*fleet.Fleet, error) {
	if s.simulated != nil {
		return s.simulated, nil
	}
	if s.view.Kube == off {
		return nil, nil //nolint:nilnil // no view, and nothing wrong
	}
	bindKubernetesLog(ctx, logger)
	var view *fleet.Fleet
	_, err := kubernetesClientConfig()
	if err == nil {
		view, err = s.awaitView(ctx, logger)
	}
	switch {
	case err == nil:
		logLimits(view, logger)
		return view, nil
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case s.view.Kube == on:
		return nil, fmt.Errorf("KUBE (--kube): %w", err)
	default:
		logger.Warn("no view of Kubernetes: count exact falls back to owned; retrying every "+s.viewRetryInterval.String()+" (KUBE=off works without it)",
			zap.Error(err))
		return nil, nil //nolint:nilnil // auto: it works without
	}
}

// awaitView returns the view. With auto it waits until Kubernetes answers: a
// decision made before would hold for the life of the process.
func (s settings) awaitView(ctx context.Context, logger *zap.Logger) (view *fleet.Fleet, err error) {
	waiting := false
	err = wait.PollUntilContextCancel(ctx, startRetryInterval, true, func(ctx context.Context) (bool, error) {
		view, err = s.watch(ctx)
		if err == nil || s.view.Kube == on || refused(err) {
			return true, err
		}
		if !waiting {
			waiting = true
			logger.Warn("Kubernetes does not answer; retrying until it does (KUBE=off works without it)", zap.Error(err))
		}
		return false, nil
	})
	return view, err
}

// retryView returns the view that could not be had at the start, once it can: a role,
// KEDA's kinds or a kubeconfig may come later. It returns nil if ctx ends before.
func (s settings) retryView(ctx context.Context, logger *zap.Logger) (view *fleet.Fleet) {
	_ = wait.PollUntilContextCancel(ctx, s.viewRetryInterval, false, func(ctx context.Context) (bool, error) {
		found, err := s.watch(ctx)
		if err != nil {
			logger.Debug("still no view of Kubernetes", zap.Error(err))
			return false, nil
		}
		view = found
		return true, nil
	})
	if view != nil {
		logger.Info("ScaledJobs and Jobs can be watched now; restarting with count exact")
		logLimits(view, logger)
	}
	return view
}

// refused reports whether Kubernetes answered that ScaledJobs and Jobs may not be
// read, or that it has no such kind.
func refused(err error) bool {
	return apierrors.IsForbidden(err) || apierrors.IsUnauthorized(err) || apierrors.IsNotFound(err)
}

// logLimits logs what the view lacks because optional rights are missing.
func logLimits(view *fleet.Fleet, logger *zap.Logger) {
	if !view.PodsInView() {
		logger.Info("no right to list and watch pods: agents are matched to Jobs by name, and ScaledJobs with names over " +
			strconv.Itoa(fleet.MaxSoundName) + " characters or a backoffLimit are refused")
	}
	if !view.ScaledObjectsInView() {
		logger.Info("ScaledObjects may not be listed and watched: they get count owned, " +
			"which leaves out the jobs that their agents run, unless they set count unfinished")
	}
}

func (s settings) watch(ctx context.Context) (*fleet.Fleet, error) {
	config, err := kubernetesClientConfig()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, viewTimeout)
	defer cancel()
	view, err := fleet.Start(ctx, config, fleet.Options{Namespaces: s.view.KubeNamespaces, RememberFor: s.rememberFor()})
	if files := kubeconfigs(); err != nil && len(files) > 0 {
		err = fmt.Errorf("KUBECONFIG %s: %w", strings.Join(files, ", "), err)
	}
	return view, err
}

// rememberFor is how long deleted Jobs have to be remembered: longer than any
// snapshot is used, with time for the request that it is the answer to.
func (s commonSettings) rememberFor() time.Duration { return s.StaleFor + s.Timeout + time.Minute }

// kubernetesConfig finds the cluster: that of the service account, or the one
// that KUBECONFIG or the user's own file names.
func kubernetesConfig() clientcmd.ClientConfig {
	return clientcmd.NewNonInteractiveDeferredLoadingClientConfig(clientcmd.NewDefaultClientConfigLoadingRules(), nil)
}

// The rates of requests to the API server. Those of client-go, 5 per second, made 88
// Jobs take 19 s; the API server protects itself by priority and fairness.
const (
	kubernetesRate  = 100
	kubernetesBurst = 200
)

// kubeconfigs returns the files that KUBECONFIG names.
func kubeconfigs() []string {
	return filepath.SplitList(os.Getenv(clientcmd.RecommendedConfigPathEnvVar))
}

// kubernetesClientConfig returns how to reach the cluster. client-go ignores a
// KUBECONFIG that does not exist, and its errors do not name it.
func kubernetesClientConfig() (*rest.Config, error) {
	files := kubeconfigs()
	missing := func(file string) bool {
		_, err := os.Stat(file)
		return errors.Is(err, os.ErrNotExist)
	}
	if len(files) > 0 && !slices.ContainsFunc(files, func(file string) bool { return !missing(file) }) {
		return nil, fmt.Errorf("KUBECONFIG names %s, which does not exist", strings.Join(files, ", "))
	}
	config, err := kubernetesConfig().ClientConfig()
	switch {
	case err == nil:
		config.QPS, config.Burst = kubernetesRate, kubernetesBurst
		return config, noticeSilence()
	case len(files) > 0:
		return nil, fmt.Errorf("KUBECONFIG %s: %w", strings.Join(files, ", "), err)
	case clientcmd.IsEmptyConfig(err) && os.Getenv("KUBERNETES_SERVICE_HOST") != "":
		return nil, errors.New("no cluster: the pod has no token of a service account; set automountServiceAccountToken, or KUBECONFIG")
	case clientcmd.IsEmptyConfig(err):
		return nil, fmt.Errorf("no cluster: run in a pod, or let KUBECONFIG name a file; %s does not exist", clientcmd.RecommendedHomeFile)
	default:
		return nil, fmt.Errorf("%s: %w", clientcmd.RecommendedHomeFile, err)
	}
}

// silence are the seconds after which a connection to the API server that has been
// silent is tried, and those that this may take. client-go reads them from the
// environment only. Its defaults, 30 and 15, leave the view out of date for 45 s where
// a network loses all packets.
var silence = map[string]string{"HTTP2_READ_IDLE_TIMEOUT_SECONDS": "5", "HTTP2_PING_TIMEOUT_SECONDS": "5"}

// noticeSilence sets the times of silence that are not set.
func noticeSilence() error {
	for name, seconds := range silence {
		if os.Getenv(name) != "" {
			continue
		}
		if err := os.Setenv(name, seconds); err != nil {
			return err
		}
	}
	return nil
}

// bindKubernetesLog makes what client-go logs part of our log; it has no other
// way. Once ctx has ended nothing of it is logged: requests fail then because they
// are cut off.
func bindKubernetesLog(ctx context.Context, logger *zap.Logger) {
	core := logger.Core()
	running := zap.LevelEnablerFunc(func(level zapcore.Level) bool { return ctx.Err() == nil && core.Enabled(level) })
	klog.SetLogger(zapr.NewLogger(logger.WithOptions(zap.IncreaseLevel(running))))
}
