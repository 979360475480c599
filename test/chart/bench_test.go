package chart_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue/adotest"
	authenticationv1 "k8s.io/api/authentication/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/test/bench"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/test/controlplane"
)

// site is one test's part of a bench.
type site struct {
	*cluster
	*bench.Site
	// grpc and http are where the scaler is to listen.
	grpc, http string
}

// TestOnBench runs what is installed beside KEDA, with agents.
func TestOnBench(t *testing.T) {
	p, err := bench.Build(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	b, err := bench.New(t.Context(), controlplane.ForTest(t, controlplane.Options{}), p)
	if err != nil {
		t.Fatal(err)
	}
	t.Run("chart", func(t *testing.T) { asInREADME(newSite(t, b)) })
	t.Run("older", func(t *testing.T) { older(newSite(t, b)) })
	t.Run("recipes", func(t *testing.T) { runsRecipes(t, b) })
}

func newSite(t *testing.T, b *bench.Bench) *site {
	t.Helper()
	made, err := b.NewSite(t.Context(), bench.SiteOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = made.Close() })
	return &site{newCluster(t, b.Plane.Config()), made, freeAddress(t), freeAddress(t)}
}

// freeAddress is one on which nobody listens.
func freeAddress(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().String()
}

// put applies an object as helm and kubectl do.
func (s *site) put(object *unstructured.Unstructured) {
	s.t.Helper()
	client, ok := s.resource(object)
	if !ok {
		s.t.Fatalf("there is no %s", object.GroupVersionKind())
	}
	if _, err := client.Apply(s.t.Context(), object.GetName(), object, metav1.ApplyOptions{FieldManager: "helm", Force: true}); err != nil {
		s.t.Fatalf("%s %s: %v", object.GetKind(), object.GetName(), err)
	}
}

// runDeployment runs a Deployment's pod, since there is no controller for it:
// with the rights of its service account, on separate addresses, and with
// these variables changed. It returns once the pod is alive.
func (s *site) runDeployment(deployment *unstructured.Unstructured, env map[string]string) {
	s.t.Helper()
	template, _, err := unstructured.NestedMap(deployment.Object, "spec", "template")
	if err != nil {
		s.t.Fatal(err)
	}
	pod := typedAs(s.t, &unstructured.Unstructured{Object: template}, &corev1.Pod{})
	pod.Name = scalerPod
	container := &pod.Spec.Containers[0]
	container.Image = bench.ScalerImage
	container.Env = append(container.Env, corev1.EnvVar{Name: "HTTP_ADDR", Value: s.http},
		corev1.EnvVar{Name: "KUBECONFIG", Value: s.kubeconfig(pod.Spec.ServiceAccountName)})
	if len(container.Ports) > 0 { // without KEDA there are none
		container.Env = append(container.Env, corev1.EnvVar{Name: "GRPC_ADDR", Value: s.grpc})
	}
	for i := range container.Env {
		if value, ok := env[container.Env[i].Name]; ok {
			container.Env[i].Value = value
		}
	}
	if _, err := s.Kube.CoreV1().Pods(s.Namespace).Create(s.t.Context(), pod, metav1.CreateOptions{}); err != nil {
		s.t.Fatal(err)
	}
	s.eventually(func(ctx context.Context) string {
		if err := get(ctx, "http://"+s.http+container.LivenessProbe.HTTPGet.Path); err != nil {
			return fmt.Sprintf("%v\n%s", err, s.scalerLog())
		}
		return ""
	})
}

const scalerPod = "scaler"

func get(ctx context.Context, url string) error {
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
		return fmt.Errorf("%s: %s", url, response.Status)
	}
	return nil
}

// kubeconfig is for a service account, as its pods have it.
func (s *site) kubeconfig(account string) string {
	s.t.Helper()
	request, err := s.Kube.CoreV1().ServiceAccounts(s.Namespace).CreateToken(s.t.Context(), account, &authenticationv1.TokenRequest{}, metav1.CreateOptions{})
	if err != nil {
		s.t.Fatal(err)
	}
	const name = "service-account"
	config := clientcmdapi.NewConfig()
	config.Clusters[name] = &clientcmdapi.Cluster{Server: s.config.Host, CertificateAuthorityData: s.config.CAData}
	config.AuthInfos[name] = &clientcmdapi.AuthInfo{Token: request.Status.Token}
	config.Contexts[name] = &clientcmdapi.Context{Cluster: name, AuthInfo: name, Namespace: s.Namespace}
	config.CurrentContext = name
	path := filepath.Join(s.t.TempDir(), "kubeconfig")
	if err := clientcmd.WriteToFile(*config, path); err != nil {
		s.t.Fatal(err)
	}
	return path
}

func (s *site) scalerLog() string {
	pod, err := s.Kube.CoreV1().Pods(s.Namespace).Get(context.Background(), scalerPod, metav1.GetOptions{})
	if err != nil {
		return err.Error()
	}
	return s.log(pod)
}

func (s *site) log(pod *corev1.Pod) string {
	log, err := os.ReadFile(s.Kubelet.LogPath(pod, pod.Spec.Containers[0].Name))
	if err != nil {
		return fmt.Sprint(err, pod.Status.ContainerStatuses)
	}
	return string(log)
}

// queue queues requests in a pool that run for this long.
func (s *site) queue(pool string, n int, duration time.Duration) (ids []int64) {
	s.t.Helper()
	for range n {
		id, err := s.Azure.Queue(pool, adotest.Job{Duration: duration})
		if err != nil {
			s.t.Fatal(err)
		}
		ids = append(ids, id)
	}
	return ids
}

// are waits until requests are in a state.
func (s *site) are(state adotest.State, ids []int64) {
	s.t.Helper()
	s.eventually(func(context.Context) string {
		for _, id := range ids {
			r, _ := s.Azure.Request(id)
			if r.State != state {
				return fmt.Sprintf("request %d is %s\n%s", id, r.State, s.scalerLog())
			}
			if state == adotest.Finished && r.Result != "succeeded" {
				s.t.Fatalf("request %d: %+v", id, r)
			}
		}
		return ""
	})
}

// done waits until agents have run the requests, and all Jobs are Complete.
func (s *site) done(ids []int64) {
	s.t.Helper()
	s.are(adotest.Finished, ids)
	s.eventually(func(context.Context) string {
		for _, job := range s.jobs() {
			if job.Status.Succeeded != 1 || job.Status.Failed != 0 {
				return fmt.Sprintf("Job %s: %+v", job.Name, job.Status)
			}
		}
		return ""
	})
}

func (s *site) jobs() []batchv1.Job {
	s.t.Helper()
	jobs, err := s.Jobs(s.t.Context())
	if err != nil {
		s.t.Fatal(err)
	}
	return jobs
}

// quiet asserts that the scaler had nothing to complain of, such as a right that
// it lacks.
func (s *site) quiet() {
	s.t.Helper()
	log := s.scalerLog()
	if strings.Contains(log, `"level":"warn"`) || strings.Contains(log, `"level":"error"`) || !strings.Contains(log, `"level":"info"`) {
		s.t.Errorf("the scaler logged:\n%s", log)
	}
}
