package controlplane

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

const (
	// unlimited is the rate of a client that has no limit.
	unlimited = -1
	// pollInterval is between two looks at whether a component is ready.
	pollInterval = 50 * time.Millisecond
)

// Both of certFile and keyFile serve as every pair that a component asks for:
// what they protect is a test.
func (c *ControlPlane) certFile() string { return filepath.Join(c.certDir(), "tls.crt") }
func (c *ControlPlane) keyFile() string  { return filepath.Join(c.certDir(), "tls.key") }
func (c *ControlPlane) certDir() string  { return filepath.Join(c.dir, "certs") }

func (c *ControlPlane) startAll(ctx context.Context) error {
	addresses, err := freeAddresses(ctx, 3)
	if err != nil {
		return err
	}
	etcd, peer, api := "http://"+addresses[0], "http://"+addresses[1], addresses[2]
	if err := c.writeCredentials(api); err != nil {
		return fmt.Errorf("write the credentials: %w", err)
	}
	if err := c.startEtcd(etcd, peer); err != nil {
		return err
	}
	c.apiServer.etcd, c.apiServer.address = etcd, api
	if err := c.StartAPIServer(ctx); err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return c.startControllers(ctx) })
	group.Go(func() error { return c.installKEDA(ctx) })
	return group.Wait()
}

// writeCredentials makes a certificate and a token, and a kubeconfig of them.
func (c *ControlPlane) writeCredentials(address string) error {
	certPEM, keyPEM, err := selfSigned()
	if err != nil {
		return err
	}
	token := rand.Text()
	c.restConfig = &rest.Config{
		Host: "https://" + address, BearerToken: token, QPS: unlimited,
		TLSClientConfig: rest.TLSClientConfig{CAData: certPEM},
	}
	if err := os.MkdirAll(c.certDir(), 0o700); err != nil {
		return err
	}
	for path, content := range map[string][]byte{
		c.certFile():                         certPEM,
		c.keyFile():                          keyPEM,
		filepath.Join(c.certDir(), "ca.crt"): certPEM,
		c.tokenFile():                        []byte(token + `,admin,1,"system:masters"` + "\n"),
	} {
		if err := os.WriteFile(path, content, 0o600); err != nil {
			return err
		}
	}
	config := clientcmdapi.NewConfig()
	const name = "control-plane"
	config.Clusters[name] = &clientcmdapi.Cluster{Server: c.restConfig.Host, CertificateAuthorityData: certPEM}
	config.AuthInfos[name] = &clientcmdapi.AuthInfo{Token: token}
	config.Contexts[name] = &clientcmdapi.Context{Cluster: name, AuthInfo: name}
	config.CurrentContext = name
	return clientcmd.WriteToFile(*config, c.Kubeconfig())
}

func (c *ControlPlane) tokenFile() string { return filepath.Join(c.certDir(), "tokens.csv") }

func (c *ControlPlane) startEtcd(client, peer string) error {
	_, err := c.start(command{
		name: "etcd", path: c.programs.Etcd,
		args: []string{
			"--data-dir=" + filepath.Join(c.dir, "etcd"),
			"--listen-client-urls=" + client, "--advertise-client-urls=" + client,
			"--listen-peer-urls=" + peer, "--initial-advertise-peer-urls=" + peer,
			"--initial-cluster=default=" + peer,
			// The data is not to outlast the machine's next crash.
			"--unsafe-no-fsync",
		},
	})
	return err
}

// apiServer is where the API server is, and its process, nil while it is stopped.
type apiServer struct {
	etcd, address string
	process       *process
}

// StartAPIServer starts the API server, where it was stopped, and waits until it is
// ready.
func (c *ControlPlane) StartAPIServer(ctx context.Context) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.apiServer.process != nil {
		return errors.New("the API server was started already")
	}
	_, port, err := net.SplitHostPort(c.apiServer.address)
	if err != nil {
		return err
	}
	server, err := c.start(command{
		name: "kube-apiserver", path: c.programs.APIServer,
		args: []string{
			"--etcd-servers=" + c.apiServer.etcd, "--bind-address=127.0.0.1", "--secure-port=" + port,
			"--tls-cert-file=" + c.certFile(), "--tls-private-key-file=" + c.keyFile(),
			"--service-cluster-ip-range=10.0.0.0/24", "--endpoint-reconciler-type=none", "--allow-privileged",
			"--token-auth-file=" + c.tokenFile(), "--authorization-mode=RBAC",
			"--service-account-issuer=https://kubernetes.default.svc",
			"--service-account-key-file=" + c.certFile(), "--service-account-signing-key-file=" + c.keyFile(),
			// Pods need no token, nor have to wait for their namespace's account.
			"--disable-admission-plugins=ServiceAccount",
		},
	})
	if err != nil {
		return err
	}
	ctx, cancel := server.while(ctx)
	defer cancel()
	client, err := kubernetes.NewForConfig(c.restConfig)
	if err != nil {
		return err
	}
	if err := poll(ctx, "the API server is ready", func(ctx context.Context) error {
		return client.Discovery().RESTClient().Get().AbsPath("/readyz").Do(ctx).Error()
	}); err != nil {
		server.kill()
		return err
	}
	c.apiServer.process = server
	return nil
}

// KillAPIServer ends the API server at once. Its stored data stays.
func (c *ControlPlane) KillAPIServer() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.apiServer.process == nil {
		return errors.New("the API server is not running")
	}
	c.apiServer.process.kill()
	c.apiServer.process = nil
	return nil
}

// controllers are those that Jobs need.
var controllers = []string{
	"job-controller", "garbage-collector-controller", "namespace-controller",
	"serviceaccount-controller", "ttl-after-finished-controller", "cronjob-controller",
	"disruption-controller",
}

func (c *ControlPlane) startControllers(ctx context.Context) error {
	run, args := slices.Concat(controllers, c.options.Controllers), []string{}
	if c.options.MetricsServer {
		run, args = append(run, autoscalingController), append(args, "--horizontal-pod-autoscaler-sync-period=1s")
	}
	manager, err := c.start(command{
		name: "kube-controller-manager", path: c.programs.ControllerManager,
		args: append(args,
			"--kubeconfig="+c.Kubeconfig(), "--service-account-private-key-file="+c.keyFile(),
			"--controllers="+strings.Join(run, ","),
			"--leader-elect=false", "--use-service-account-credentials=false", "--secure-port=0",
			"--kube-api-qps=200", "--kube-api-burst=400",
		),
	})
	if err != nil {
		return err
	}
	ctx, cancel := manager.while(ctx)
	defer cancel()
	client, err := kubernetes.NewForConfig(c.restConfig)
	if err != nil {
		return err
	}
	return poll(ctx, "the controllers work: there is a default service account", func(ctx context.Context) error {
		_, err := client.CoreV1().ServiceAccounts(metav1.NamespaceDefault).Get(ctx, "default", metav1.GetOptions{})
		return err
	})
}

// poll waits until the check succeeds. If the context is over first, the error
// says why, and what the check said last.
func poll(ctx context.Context, what string, check func(context.Context) error) error {
	var last error
	err := wait.PollUntilContextCancel(ctx, pollInterval, true, func(ctx context.Context) (bool, error) {
		last = check(ctx)
		return last == nil, nil
	})
	if err != nil {
		return fmt.Errorf("wait until %s: %w (last: %w)", what, context.Cause(ctx), last)
	}
	return nil
}
