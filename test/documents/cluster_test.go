package documents_test

import (
	"context"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue/adotest"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/test/cluster"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/test/controlplane"
)

const (
	chart = "deploy/helm/ado-agent-orchestrator"
	pool  = "linux"
	// token is what a reader has in the file token.txt.
	token = "token-of-the-reader"
)

// walk is somebody who follows the documents.
type walk struct {
	t *testing.T
	// reader has the folder deploy, as the repository does, and a cluster; developer
	// has a clone of the repository.
	reader, developer place

	table *strings.Replacer
	azure *adotest.Server
	plane *controlplane.ControlPlane
	kube  kubernetes.Interface
	run   int // printed commands
	// lastRun is the number of the pipeline's run of the last job.
	lastRun string
	// build runs while the pools are drained.
	build int64

	grpc, http string // where the scaler's pod listens
	web        string // where its web page is forwarded to
}

func newWalk(t *testing.T) *walk {
	t.Helper()
	azure, err := adotest.Listen("127.0.0.1:0", adotest.Options{PAT: token, AutoAssign: true})
	must(t, err)
	t.Cleanup(func() { _ = azure.Close() })
	azure.AddPool(adotest.Pool{Name: pool})
	azure.AddPool(adotest.Pool{Name: "windows"})
	plane := controlplane.ForTest(t, controlplane.Options{Controllers: []string{"deployment-controller", "replicaset-controller"}})
	kube, err := kubernetes.NewForConfig(plane.Config())
	must(t, err)
	w := &walk{
		t: t, reader: place{dir: t.TempDir()}, developer: newCheckout(t), azure: azure, plane: plane, kube: kube,
		grpc: controlplane.FreeAddress(t), http: controlplane.FreeAddress(t), web: controlplane.FreeAddress(t),
	}
	bin := w.programs()
	path := "PATH=" + bin + ":" + os.Getenv("PATH")
	w.reader.env = append(plane.Environ(), path, "HOME="+t.TempDir(), "KUBECONFIG="+plane.Kubeconfig())
	w.developer.env = append(w.developer.env, path, "GOBIN="+bin)
	w.table = w.placeholders()
	w.write("token.txt", token+"\n") // editors end a file so
	w.copyDeploy()
	w.startNode(bin)
	w.installKEDA()
	return w
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// programs returns a folder with kubectl, Helm and our program.
func (w *walk) programs() string {
	w.t.Helper()
	bin := w.t.TempDir()
	_, err := cluster.Build(w.t.Context(), bin)
	must(w.t, err)
	self, err := os.Executable()
	must(w.t, err)
	for _, name := range []string{"kubectl", "helm"} {
		must(w.t, os.Symlink(self, filepath.Join(bin, name)))
	}
	return bin
}

// placeholders are what a reader replaces, or has in another place.
func (w *walk) placeholders() *strings.Replacer {
	_, web, _ := net.SplitHostPort(w.web)
	_, grpc, _ := net.SplitHostPort(controlplane.FreeAddress(w.t))
	addresses := "GRPC_ADDR=" + controlplane.FreeAddress(w.t) + " HTTP_ADDR=" + controlplane.FreeAddress(w.t) + " "
	patFile := filepath.Join(w.t.TempDir(), "token")
	must(w.t, os.WriteFile(patFile, []byte(token), 0o600))
	return strings.NewReplacer(
		"https://dev.azure.com/contoso", w.azure.URL(),
		// Nothing is published yet.
		"oci://ghcr.io/ado-agent-orchestrator/charts/ado-agent-orchestrator", chart,
		// There is no cluster DNS, and no network of pods.
		"ado-agent-orchestrator.ado.svc:9090", w.grpc,
		`scalerAddress: ""`, "scalerAddress: "+w.grpc,
		"query --address localhost:9090", "query --address "+w.grpc,
		// Other tests may use these ports of this machine.
		"port-forward deployment/ado-agent-orchestrator 8080", "port-forward deployment/ado-agent-orchestrator "+web+":8080",
		"port-forward service/ado-agent-orchestrator 9090", "port-forward service/ado-agent-orchestrator "+grpc+":9090",
		"localhost:8080", w.web, "localhost:9090", "localhost:"+grpc,
		"ado-agent-orchestrator serve", addresses+"ado-agent-orchestrator serve",
		"go run ./cmd/ado-agent-orchestrator demo", addresses+"go run ./cmd/ado-agent-orchestrator demo",
		"/var/run/secrets/ado/token", patFile,
		"RELEASE", otherRelease,
		// deploy/manifests/older.yaml has these in place of the user's.
		"Pool1,Pool2", pool, "registry.example.com/azure-pipelines-agent:latest", "registry.example.com/agent:dev",
	)
}

// copyDeploy copies the folder deploy with what a reader replaces.
func (w *walk) copyDeploy() {
	w.t.Helper()
	must(w.t, filepath.WalkDir(filepath.Join(root, "deploy"), func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		to := filepath.Join(w.reader.dir, strings.TrimPrefix(path, root))
		if entry.IsDir() {
			return os.MkdirAll(to, 0o750)
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(to, []byte(w.table.Replace(string(content))), 0o600)
	}))
}

// images are those of our programs that documents, manifests and the chart name.
func (w *walk) images(p cluster.Programs) map[string][]string {
	w.t.Helper()
	entrypoints := map[string][]string{}
	ours := p.Entrypoints()
	image := regexp.MustCompile(`(registry\.example\.com|ghcr\.io/ado-agent-orchestrator)/(ado-agent-orchestrator|agent):[\w.-]+`)
	for _, pattern := range []string{"*.md", "*/*.md", "deploy/manifests/*", chart + "/*"} {
		paths, err := filepath.Glob(filepath.Join(root, pattern))
		must(w.t, err)
		for _, path := range paths {
			content, _ := os.ReadFile(path) // a folder has none
			for _, match := range image.FindAllStringSubmatch(string(content), -1) {
				entrypoints[match[0]] = ours[cluster.AgentImage]
				if match[2] == "ado-agent-orchestrator" {
					entrypoints[match[0]] = ours[cluster.ScalerImage]
				}
			}
		}
	}
	return entrypoints
}

// startNode starts a node for kubectl exec and port-forward, whose pods have the
// rights of their service accounts.
func (w *walk) startNode(bin string) {
	w.t.Helper()
	kubeconfig := filepath.Join(w.t.TempDir(), "kubeconfig")
	p := cluster.Programs{Scaler: filepath.Join(bin, "ado-agent-orchestrator"), Agent: filepath.Join(bin, "ado-agent")}
	controlplane.KubeletForTest(w.t, w.plane, controlplane.KubeletOptions{
		Entrypoints: w.images(p), Serve: true, Ports: map[int32]string{9090: w.grpc, 8080: w.http},
		Env: []string{"PATH=" + bin + ":" + os.Getenv("PATH"), "GRPC_ADDR=" + w.grpc, "HTTP_ADDR=" + w.http, "KUBECONFIG=" + kubeconfig, "KUBERNETES_SERVICE_HOST=127.0.0.1"},
		Plan: func(pod *corev1.Pod) controlplane.Plan {
			if account := pod.Spec.ServiceAccountName; account != "" {
				if err := w.writeKubeconfig(kubeconfig, pod.Namespace, account); err != nil {
					w.t.Errorf("pod %s: %v", pod.Name, err)
				}
			}
			return controlplane.Plan{}
		},
	})
}

// writeKubeconfig writes what a service account's pods have.
func (w *walk) writeKubeconfig(path, namespace, account string) error {
	request, err := w.kube.CoreV1().ServiceAccounts(namespace).CreateToken(context.Background(), account, &authenticationv1.TokenRequest{}, metav1.CreateOptions{})
	if err != nil {
		return err
	}
	const name = "service-account"
	config := clientcmdapi.NewConfig()
	config.Clusters[name] = &clientcmdapi.Cluster{Server: w.plane.Config().Host, CertificateAuthorityData: w.plane.Config().CAData}
	config.AuthInfos[name] = &clientcmdapi.AuthInfo{Token: request.Status.Token}
	config.Contexts[name] = &clientcmdapi.Context{Cluster: name, AuthInfo: name, Namespace: namespace}
	config.CurrentContext = name
	return clientcmd.WriteToFile(*config, path)
}

// installKEDA makes the Deployment that KEDA's chart makes; the operator itself
// runs as a process.
func (w *walk) installKEDA() {
	w.t.Helper()
	w.write("keda.yaml", `apiVersion: apps/v1
kind: Deployment
metadata: {name: keda-operator, namespace: keda}
spec:
  selector: {matchLabels: {app: keda-operator}}
  template:
    metadata: {labels: {app: keda-operator}}
    spec:
      containers: [{name: keda, image: "ghcr.io/kedacore/keda:2.21.0", command: [sleep, infinity]}]
`)
	w.shell("kubectl apply --filename keda.yaml")
	w.shell("kubectl --namespace keda rollout status deployment keda-operator")
}

func (w *walk) write(name, content string) {
	w.t.Helper()
	path := filepath.Join(w.reader.dir, name)
	must(w.t, os.MkdirAll(filepath.Dir(path), 0o750))
	must(w.t, os.WriteFile(path, []byte(w.table.Replace(content)), 0o600))
}
