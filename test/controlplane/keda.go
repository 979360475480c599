package controlplane

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path/filepath"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

// KEDANamespace is the namespace that KEDA believes itself to be in, the one of
// a ClusterTriggerAuthentication's secrets.
const KEDANamespace = "keda"

// installKEDA makes KEDA's namespace and CRDs, and starts it unless it is to be
// left out.
func (c *ControlPlane) installKEDA(ctx context.Context) error {
	client, err := kubernetes.NewForConfig(c.restConfig)
	if err != nil {
		return err
	}
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: KEDANamespace}}
	if _, err := client.CoreV1().Namespaces().Create(ctx, namespace, metav1.CreateOptions{}); err != nil {
		return fmt.Errorf("create KEDA's namespace: %w", err)
	}
	crds := c.programs.KEDACRDs.Released
	if c.options.GeneratedCRDs {
		crds = c.programs.KEDACRDs.Generated
	}
	if err := c.applyCRDs(ctx, crds); err != nil {
		return fmt.Errorf("apply KEDA's CRDs: %w", err)
	}
	if c.options.WithoutKEDA {
		return nil
	}
	if err := c.StartKEDA(ctx); err != nil || !c.options.MetricsServer {
		return err
	}
	return c.startMetricsServer(ctx)
}

// StartKEDA starts KEDA's operator, where it was left out or stopped, and waits
// until it reports that it is ready.
func (c *ControlPlane) StartKEDA(ctx context.Context) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.keda != nil {
		return errors.New("KEDA was started already")
	}
	addresses, err := freeAddresses(ctx, 3)
	if err != nil {
		return err
	}
	operator, err := c.start(command{
		name: "keda-operator", path: c.programs.KEDA,
		args: append([]string{
			"--leader-elect=false", "--cert-dir=" + c.certDir(),
			"--metrics-bind-address=" + addresses[0], "--health-probe-bind-address=" + addresses[1],
			"--metrics-service-bind-address=" + addresses[2],
			"--kube-api-qps=200", "--kube-api-burst=400",
		}, c.options.KEDAArgs...),
		env: append([]string{
			"KUBECONFIG=" + c.Kubeconfig(), "POD_NAMESPACE=" + KEDANamespace,
			"KEDA_CLUSTER_OBJECT_NAMESPACE=" + KEDANamespace,
			// Empty, it stands for all namespaces; unset, KEDA does not start.
			"WATCH_NAMESPACE=",
		}, c.options.KEDAEnv...),
	})
	if err != nil {
		return err
	}
	ctx, cancel := operator.while(ctx)
	defer cancel()
	if err := poll(ctx, "KEDA is ready", func(ctx context.Context) error {
		return getOK(ctx, "http://"+addresses[1]+"/readyz")
	}); err != nil {
		operator.kill()
		return err
	}
	c.keda, c.kedaMetrics = operator, addresses[2]
	return nil
}

// StopKEDA ends KEDA's operator as a rollout does: by SIGTERM, and by SIGKILL
// when ctx is over. That it did not end by itself is an error.
func (c *ControlPlane) StopKEDA(ctx context.Context) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.keda == nil {
		return errors.New("KEDA is not running")
	}
	err := c.keda.stop(ctx)
	c.keda = nil
	return err
}

// KEDALog is the path of the log of KEDA's operator, that of all its runs.
func (c *ControlPlane) KEDALog() string { return filepath.Join(c.logDir(), "keda-operator.log") }

func getOK(ctx context.Context, url string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		body, _ := io.ReadAll(io.LimitReader(response.Body, 512))
		return fmt.Errorf("%s: %s", response.Status, body)
	}
	return nil
}
