package controlplane

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os/exec"
	"slices"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/cri-streaming/pkg/streaming/portforward"
	"k8s.io/cri-streaming/pkg/streaming/remotecommand"
	utilexec "k8s.io/utils/exec"
)

// streamTimeout bounds how long a connection to a node may be idle.
const streamTimeout = 10 * time.Minute

// nodeServer answers what the API server asks a node for on behalf of kubectl exec,
// logs and port-forward.
type nodeServer struct{ kubelet *Kubelet }

// serve registers the node with its server, which ends with the kubelet.
func (k *Kubelet) serve(ctx context.Context) error {
	certificate, err := tls.LoadX509KeyPair(k.plane.certFile(), k.plane.keyFile())
	if err != nil {
		return err
	}
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	s := nodeServer{k}
	mux := http.NewServeMux()
	mux.HandleFunc("/exec/{namespace}/{pod}/{container}", s.exec)
	mux.HandleFunc("/portForward/{namespace}/{pod}", s.forward)
	mux.HandleFunc("/containerLogs/{namespace}/{pod}/{container}", s.logs)
	server := &http.Server{
		Handler: mux, ReadHeaderTimeout: time.Minute,
		TLSConfig: &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12},
	}
	k.running.Go(func() { _ = server.ServeTLS(listener, "", "") })
	k.running.Go(func() {
		<-k.ctx.Done()
		_ = server.Close()
	})
	return k.register(ctx, listener.Addr().(*net.TCPAddr).Port)
}

func (k *Kubelet) register(ctx context.Context, port int) error {
	nodes := k.client.CoreV1().Nodes()
	node, err := nodes.Create(ctx, &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: k.options.Node}}, metav1.CreateOptions{})
	if err != nil {
		return err
	}
	node.Status.Addresses = []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: "127.0.0.1"}}
	node.Status.DaemonEndpoints.KubeletEndpoint.Port = int32(port) //nolint:gosec // a port
	_, err = nodes.UpdateStatus(ctx, node, metav1.UpdateOptions{})
	return err
}

// podOf returns the pod that a request names.
func (s nodeServer) podOf(r *http.Request) (*pod, error) {
	s.kubelet.mu.Lock()
	defer s.kubelet.mu.Unlock()
	for _, p := range s.kubelet.pods {
		if p.spec.Namespace == r.PathValue("namespace") && p.spec.Name == r.PathValue("pod") && p.dead.Err() == nil {
			return p, nil
		}
	}
	return nil, fmt.Errorf("no pod %s/%s", r.PathValue("namespace"), r.PathValue("pod"))
}

func (s nodeServer) exec(w http.ResponseWriter, r *http.Request) {
	p, err := s.podOf(r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusNotFound)
		return
	}
	options, err := remotecommand.NewOptions(r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	remotecommand.ServeExec(w, r, streams{p}, p.spec.Name, "", r.PathValue("container"), r.Form[execCommand], options,
		streamTimeout, remotecommand.DefaultStreamCreationTimeout, remotecommand.SupportedStreamingProtocols)
}

// execCommand is the parameter with a word of the command.
const execCommand = "command"

func (s nodeServer) forward(w http.ResponseWriter, r *http.Request) {
	p, err := s.podOf(r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusNotFound)
		return
	}
	options, err := portforward.NewV4Options(r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	portforward.ServePortForward(w, r, streams{p}, p.spec.Name, "", options,
		streamTimeout, remotecommand.DefaultStreamCreationTimeout, portforward.SupportedProtocols)
}

func (s nodeServer) logs(w http.ResponseWriter, r *http.Request) {
	p, err := s.podOf(r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusNotFound)
		return
	}
	http.ServeFile(w, r, s.kubelet.LogPath(p.spec, r.PathValue("container")))
}

// streams runs commands in a pod's containers, and connects to its ports.
type streams struct{ pod *pod }

// ExecInContainer runs a command with the environment of a container.
//
//nolint:revive // the many parameters are those of Kubernetes' interface
func (s streams) ExecInContainer(ctx context.Context, _, _, container string, command []string, in io.Reader, out, err io.WriteCloser,
	_ bool, _ <-chan remotecommand.TerminalSize, _ time.Duration,
) error {
	specs := s.pod.spec.Spec.Containers
	i := slices.IndexFunc(specs, func(c corev1.Container) bool { return c.Name == container })
	if i < 0 {
		return fmt.Errorf("no container %s", container)
	}
	c, failed := s.pod.container(specs[i])
	if failed != nil {
		return failed
	}
	path, failed := lookPath(command[0], c.Env)
	if failed != nil {
		return failed
	}
	cmd := exec.CommandContext(ctx, path, command[1:]...) //nolint:gosec // it runs what a test asks for
	cmd.Dir, cmd.Env = c.Dir, c.Env
	cmd.Stdin, cmd.Stdout, cmd.Stderr = in, out, err
	failed = cmd.Run()
	if exit, ok := errors.AsType[*exec.ExitError](failed); ok {
		return utilexec.CodeExitError{Err: failed, Code: exit.ExitCode()}
	}
	return failed
}

// PortForward connects a stream with the port of a pod.
func (s streams) PortForward(ctx context.Context, _, _ string, port int32, stream io.ReadWriteCloser) error {
	address := net.JoinHostPort("127.0.0.1", strconv.Itoa(int(port)))
	if mapped, ok := s.pod.kubelet.options.Ports[port]; ok {
		address = mapped
	}
	var dialer net.Dialer
	connection, err := dialer.DialContext(ctx, "tcp", address)
	if err != nil {
		return err
	}
	defer connection.Close()
	ended := make(chan struct{}, 2)
	for _, ends := range [][2]io.ReadWriter{{connection, stream}, {stream, connection}} {
		go func() {
			_, _ = io.Copy(ends[0], ends[1])
			ended <- struct{}{}
		}()
	}
	select {
	case <-ended:
	case <-ctx.Done():
	}
	return nil
}
