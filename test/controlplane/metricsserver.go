package controlplane

import (
	"context"
	"fmt"
	"net"
	"strconv"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
)

// autoscalingController makes as many replicas as a HorizontalPodAutoscaler wants.
const autoscalingController = "horizontal-pod-autoscaler-controller"

// metricsAPI is what KEDA's metrics server serves through the API server.
const metricsAPI = "external.metrics.k8s.io"

var apiServices = schema.GroupVersionResource{Group: "apiregistration.k8s.io", Version: "v1", Resource: "apiservices"}

// startMetricsServer starts KEDA's metrics server and waits until the API server
// passes requests on to it.
func (c *ControlPlane) startMetricsServer(ctx context.Context) error {
	addresses, err := freeAddresses(ctx, 2)
	if err != nil {
		return err
	}
	_, port, err := net.SplitHostPort(addresses[0])
	if err != nil {
		return err
	}
	_, metricsPort, err := net.SplitHostPort(addresses[1])
	if err != nil {
		return err
	}
	kubeconfig := c.Kubeconfig()
	server, err := c.start(command{
		name: "keda-metrics-apiserver", path: c.programs.KEDAMetrics,
		args: []string{
			"--secure-port=" + port, "--bind-address=127.0.0.1", "--port=" + metricsPort,
			"--cert-dir=" + c.certDir(), "--tls-cert-file=" + c.certFile(), "--tls-private-key-file=" + c.keyFile(),
			"--lister-kubeconfig=" + kubeconfig, "--authentication-kubeconfig=" + kubeconfig, "--authorization-kubeconfig=" + kubeconfig,
			// The API server shows it no certificate, so that everybody is anonymous:
			// letMetricsBeRead is for resources, and this for all else.
			"--authentication-skip-lookup", "--authorization-always-allow-paths=/apis,/apis/*,/openapi/*,/healthz,/livez,/readyz",
			"--metrics-service-address=" + c.kedaMetrics,
		},
		env: []string{"KUBECONFIG=" + kubeconfig, "POD_NAMESPACE=" + KEDANamespace, "WATCH_NAMESPACE="},
	})
	if err != nil {
		return err
	}
	ctx, cancel := server.while(ctx)
	defer cancel()
	if err := c.letMetricsBeRead(ctx); err != nil {
		return err
	}
	return c.registerMetrics(ctx, port)
}

// letMetricsBeRead grants everybody the right to read metrics.
func (c *ControlPlane) letMetricsBeRead(ctx context.Context) error {
	client, err := kubernetes.NewForConfig(c.restConfig)
	if err != nil {
		return err
	}
	const name = "read-external-metrics"
	role := &rbacv1.ClusterRole{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Rules:      []rbacv1.PolicyRule{{APIGroups: []string{metricsAPI}, Resources: []string{"*"}, Verbs: []string{"get", "list"}}},
	}
	if _, err := client.RbacV1().ClusterRoles().Create(ctx, role, metav1.CreateOptions{}); err != nil {
		return fmt.Errorf("create ClusterRole %s: %w", name, err)
	}
	binding := &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: name},
		Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.GroupKind, Name: "system:unauthenticated"}},
	}
	if _, err := client.RbacV1().ClusterRoleBindings().Create(ctx, binding, metav1.CreateOptions{}); err != nil {
		return fmt.Errorf("create ClusterRoleBinding %s: %w", name, err)
	}
	return nil
}

// registerMetrics has the API server pass requests for metrics on to a port of this
// machine.
func (c *ControlPlane) registerMetrics(ctx context.Context, port string) error {
	client, err := kubernetes.NewForConfig(c.restConfig)
	if err != nil {
		return err
	}
	const name = "keda-metrics-apiserver"
	// It leads to a loopback address, which endpoints must not be.
	service := &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec:       corev1.ServiceSpec{Type: corev1.ServiceTypeExternalName, ExternalName: "localhost"},
	}
	if _, err := client.CoreV1().Services(KEDANamespace).Create(ctx, service, metav1.CreateOptions{}); err != nil {
		return fmt.Errorf("create the Service of KEDA's metrics server: %w", err)
	}
	number, err := strconv.ParseInt(port, 10, 32)
	if err != nil {
		return err
	}
	registration := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "apiregistration.k8s.io/v1",
		"kind":       "APIService",
		"metadata":   map[string]any{"name": "v1beta1." + metricsAPI},
		"spec": map[string]any{
			"group": metricsAPI, "version": "v1beta1", "groupPriorityMinimum": int64(100), "versionPriority": int64(100),
			"service":               map[string]any{"namespace": KEDANamespace, "name": name, "port": number},
			"insecureSkipTLSVerify": true,
		},
	}}
	objects, err := dynamic.NewForConfig(c.restConfig)
	if err != nil {
		return err
	}
	if _, err := objects.Resource(apiServices).Create(ctx, registration, metav1.CreateOptions{}); err != nil {
		return fmt.Errorf("register KEDA's metrics server: %w", err)
	}
	return poll(ctx, "KEDA's metrics server answers", func(ctx context.Context) error {
		return client.Discovery().RESTClient().Get().AbsPath("/apis/" + metricsAPI + "/v1beta1").Do(ctx).Error()
	})
}
