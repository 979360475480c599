package chart_test

import (
	"context"
	"fmt"
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

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/test/cluster"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/test/controlplane"
)

// env is one test's part of a cluster.
type env struct {
	*apiServer
	*cluster.Env
	// grpc and http are where the scaler is to listen.
	grpc, http string
}

// TestBesideKEDA runs what is installed beside KEDA, with agents.
func TestBesideKEDA(t *testing.T) {
	p, err := cluster.Build(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	c, err := cluster.New(t.Context(), controlplane.ForTest(t, controlplane.Options{}), p)
	if err != nil {
		t.Fatal(err)
	}
	t.Run("chart", func(t *testing.T) { asInREADME(newEnv(t, c)) })
	t.Run("older", func(t *testing.T) { older(newEnv(t, c)) })
	t.Run("recipes", func(t *testing.T) { runsRecipes(t, c) })
}

func newEnv(t *testing.T, c *cluster.Cluster) *env {
	t.Helper()
	made, err := c.NewEnv(t.Context(), cluster.EnvOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = made.Close() })
	return &env{newAPIServer(t, c.Plane.Config()), made, controlplane.FreeAddress(t), controlplane.FreeAddress(t)}
}

// put applies an object as helm and kubectl do.
func (s *env) put(object *unstructured.Unstructured) {
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
func (s *env) runDeployment(deployment *unstructured.Unstructured, env map[string]string) {
	s.t.Helper()
	template, _, err := unstructured.NestedMap(deployment.Object, "spec", "template")
	if err != nil {
		s.t.Fatal(err)
	}
	pod := typedAs(s.t, &unstructured.Unstructured{Object: template}, &corev1.Pod{})
	pod.Name = scalerPod
	container := &pod.Spec.Containers[0]
	container.Image = cluster.ScalerImage
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
func (s *env) kubeconfig(account string) string {
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

func (s *env) scalerLog() string {
	pod, err := s.Kube.CoreV1().Pods(s.Namespace).Get(context.Background(), scalerPod, metav1.GetOptions{})
	if err != nil {
		return err.Error()
	}
	return s.log(pod)
}

func (s *env) log(pod *corev1.Pod) string {
	log, err := os.ReadFile(s.Kubelet.LogPath(pod, pod.Spec.Containers[0].Name))
	if err != nil {
		return fmt.Sprint(err, pod.Status.ContainerStatuses)
	}
	return string(log)
}

// queue queues requests in a pool that run for this long.
func (s *env) queue(pool string, n int, duration time.Duration) (ids []int64) {
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
func (s *env) are(state adotest.State, ids []int64) {
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
func (s *env) done(ids []int64) {
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

func (s *env) jobs() []batchv1.Job {
	s.t.Helper()
	jobs, err := s.Jobs(s.t.Context())
	if err != nil {
		s.t.Fatal(err)
	}
	return jobs
}

// quiet asserts that the scaler had nothing to complain of, such as a right that
// it lacks.
func (s *env) quiet() {
	s.t.Helper()
	log := s.scalerLog()
	if strings.Contains(log, `"level":"warn"`) || strings.Contains(log, `"level":"error"`) || !strings.Contains(log, `"level":"info"`) {
		s.t.Errorf("the scaler logged:\n%s", log)
	}
}
