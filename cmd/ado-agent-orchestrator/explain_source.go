package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/portforward"
	"k8s.io/client-go/transport/spdy"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue/safetext"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/explain"
)

const (
	// maxReport bounds what is read of a scaler's answer.
	maxReport = 256 << 20
	// defaultHTTPPort is that of HTTP_ADDR, and httpPortName what the chart calls it.
	defaultHTTPPort = 8080
	httpPortName    = "http"
)

// reportSource is where reports come from: one or several replicas of a scaler. The
// zero value is none.
type reportSource struct {
	addresses []string
	stop      chan struct{} // ends what leads to the addresses; nil if nothing does
}

// close makes the source the zero value.
func (s *reportSource) close() {
	if s.stop != nil {
		close(s.stop)
	}
	*s = reportSource{}
}

// source finds the scaler.
func (c *explainCommand) source(ctx context.Context) (reportSource, error) {
	switch {
	case c.Address != "":
		return reportSource{addresses: []string{string(c.Address)}}, nil
	case os.Getenv("KUBERNETES_SERVICE_HOST") != "":
		address, ok := localAddress(string(c.HTTPAddr))
		if !ok {
			return reportSource{}, fmt.Errorf("HTTP_ADDR %s names no port; use --address", c.HTTPAddr)
		}
		return reportSource{addresses: []string{address}}, nil
	default:
		return c.forwarded(ctx)
	}
}

// localAddress is where this machine reaches a server that listens at an address.
func localAddress(address string) (local string, ok bool) {
	host, port, err := net.SplitHostPort(address)
	if err != nil || port == "0" {
		return "", false
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return net.JoinHostPort(host, port), true
}

// report returns the report of the replica that KEDA asks. It is complete if all
// replicas have answered.
func (s *reportSource) report(ctx context.Context, f explain.Filter) (r explain.Report, complete bool, err error) {
	var best *explain.Report
	var failures []error
	for _, address := range s.addresses {
		report, err := fetchReport(ctx, address, f)
		if err != nil {
			failures = append(failures, err)
			continue
		}
		if best == nil || polledLater(&report, best) {
			best = &report
		}
	}
	if best == nil {
		return explain.Report{}, false, errors.Join(failures...)
	}
	return *best, len(failures) == 0, nil
}

// polledLater reports whether KEDA has asked the replica of a later than that of b or,
// if it has asked neither, whether that of a has read Azure DevOps later. A leader reads
// it for itself, however seldom KEDA asks another one.
func polledLater(a, b *explain.Report) bool {
	polled := lastPolled(a).Compare(lastPolled(b))
	return cmp.Or(polled, lastRead(a).Compare(lastRead(b))) > 0
}

func lastPolled(r *explain.Report) (last time.Time) {
	for i := range r.Pools {
		for j := range r.Pools[i].ScaledJobs {
			last = later(last, r.Pools[i].ScaledJobs[j].PolledAt)
		}
		for j := range r.Pools[i].Counted {
			last = later(last, r.Pools[i].Counted[j].PolledAt)
		}
	}
	for i := range r.Unpooled {
		last = later(last, r.Unpooled[i].PolledAt)
	}
	return last
}

func lastRead(r *explain.Report) (last time.Time) {
	for i := range r.Pools {
		last = later(last, r.Pools[i].AzureDevOps.LastRead)
	}
	return last
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

func fetchReport(ctx context.Context, address string, f explain.Filter) (r explain.Report, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+explain.Path+"?"+f.Query().Encode(), http.NoBody)
	if err != nil {
		return r, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return r, fmt.Errorf("%s: %w; is this the scaler's HTTP_ADDR?", address, err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(response.Body, 4<<10))
		return r, fmt.Errorf("%s: %s: %s", address, response.Status, safetext.Line(string(text)))
	}
	if err := json.NewDecoder(io.LimitReader(response.Body, maxReport)).Decode(&r); err != nil {
		return r, fmt.Errorf("%s: the answer is no report: %w", address, err)
	}
	if r.SchemaVersion != explain.SchemaVersion {
		return r, fmt.Errorf("%s: the report has version %d, and this program reads version %d; use the scaler's own program",
			address, r.SchemaVersion, explain.SchemaVersion)
	}
	return r, nil
}

// forwarded reaches the scaler's pods through the API server, as kubectl
// port-forward does.
func (c *explainCommand) forwarded(ctx context.Context) (reportSource, error) {
	config, err := kubernetesClientConfig()
	if err != nil {
		return reportSource{}, fmt.Errorf("%w; or name the scaler with --address", err)
	}
	kube, err := kubernetes.NewForConfig(config)
	if err != nil {
		return reportSource{}, err
	}
	pods, err := c.pods(ctx, kube)
	if err != nil {
		return reportSource{}, err
	}
	s := reportSource{stop: make(chan struct{})}
	var failures []error // of pods that are about to end, mostly
	for i := range pods {
		address, err := forward(ctx, config, &pods[i], s.stop)
		if err != nil {
			failures = append(failures, fmt.Errorf("reach pod %s/%s: %w", pods[i].Namespace, pods[i].Name, err))
			continue
		}
		s.addresses = append(s.addresses, address)
	}
	if len(s.addresses) == 0 {
		s.close()
		return reportSource{}, errors.Join(failures...)
	}
	return s, nil
}

// pods returns the pods of the scaler that run.
func (c *explainCommand) pods(ctx context.Context, kube kubernetes.Interface) ([]corev1.Pod, error) {
	ctx, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	namespace := c.Namespace
	list, err := kube.CoreV1().Pods(namespace).List(ctx, metav1.ListOptions{LabelSelector: c.Selector})
	if apierrors.IsForbidden(err) && namespace == "" {
		if namespace, _, err = kubernetesConfig().Namespace(); err != nil {
			return nil, err
		}
		list, err = kube.CoreV1().Pods(namespace).List(ctx, metav1.ListOptions{LabelSelector: c.Selector})
	}
	if err != nil {
		return nil, fmt.Errorf("find the scaler's pods: %w", err)
	}
	running := slices.DeleteFunc(list.Items, func(p corev1.Pod) bool { return p.Status.Phase != corev1.PodRunning })
	if len(running) > 0 {
		return running, nil
	}
	where := "in namespace " + namespace
	if namespace == "" {
		where = "in any namespace"
	}
	return nil, fmt.Errorf("no pod with the labels %s runs %s; name it with --namespace and --selector, or by --address", c.Selector, where)
}

// forward returns a local address that leads to the HTTP port of a pod until stop is
// closed.
func forward(ctx context.Context, config *rest.Config, pod *corev1.Pod, stop chan struct{}) (address string, err error) {
	kube, err := kubernetes.NewForConfig(config)
	if err != nil {
		return "", err
	}
	url := kube.CoreV1().RESTClient().Post().Resource("pods").Namespace(pod.Namespace).Name(pod.Name).SubResource("portforward").URL()
	transport, upgrader, err := spdy.RoundTripperFor(config)
	if err != nil {
		return "", err
	}
	dialer := spdy.NewDialer(upgrader, &http.Client{Transport: transport}, http.MethodPost, url)
	ready, failed := make(chan struct{}), make(chan error, 1)
	forwarder, err := portforward.NewOnAddresses(dialer, []string{"127.0.0.1"}, []string{"0:" + strconv.Itoa(httpPort(pod))}, stop, ready, io.Discard, io.Discard)
	if err != nil {
		return "", err
	}
	go func() { failed <- forwarder.ForwardPorts() }()
	select {
	case <-ready:
	case err := <-failed:
		return "", err
	case <-ctx.Done():
		return "", ctx.Err()
	}
	ports, err := forwarder.GetPorts()
	if err != nil {
		return "", err
	}
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(int(ports[0].Local))), nil
}

// httpPort returns the port of a scaler's pod that answers HTTP.
func httpPort(pod *corev1.Pod) int {
	for i := range pod.Spec.Containers {
		for _, port := range pod.Spec.Containers[i].Ports {
			if port.Name == httpPortName {
				return int(port.ContainerPort)
			}
		}
	}
	return defaultHTTPPort
}
