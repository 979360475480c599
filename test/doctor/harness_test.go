// Package doctor_test puts faults in on purpose, one at a time, and has the
// command doctor find them.
package doctor_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"maps"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue/adotest"
	appsv1 "k8s.io/api/apps/v1"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/test/cluster"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/test/controlplane"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/test/workload"
)

const (
	patience       = 2 * time.Minute
	authentication = "scaler"
	tlsSecret      = "scaler-tls"
)

// patient is an installation that doctor looks at.
type patient struct {
	*cluster.Env
	t       *testing.T
	program string
	dir     string
	scaler  *cluster.Scaler
	log     bytes.Buffer
	// env is that of serve and doctor.
	env map[string]string
}

// newPatient makes an installation in which all is well, but that serve is not
// started.
func newPatient(t *testing.T, plane *controlplane.ControlPlane) *patient {
	t.Helper()
	programs, err := cluster.Build(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	c, err := cluster.New(t.Context(), plane, programs)
	if err != nil {
		t.Fatal(err)
	}
	env, err := c.NewEnv(t.Context(), cluster.EnvOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = env.Close() })
	p := &patient{Env: env, t: t, program: programs.Scaler, dir: t.TempDir()}
	p.Azure.AllowPAT(cluster.ScalerPAT, adotest.ScopeManage)
	address := controlplane.FreeAddress(t)
	certificate, key := selfSigned(t, "127.0.0.1", time.Now().Add(365*24*time.Hour))
	p.env = map[string]string{
		"ORG_URL": p.Azure.URL(), "ORG_PAT_FILE": p.file("pat", cluster.ScalerPAT), "KUBECONFIG": plane.Kubeconfig(), "KUBE": "on",
		"GRPC_ADDR": address, "SCALER_ADDRESS": address, "HTTP_ADDR": controlplane.FreeAddress(t), "POLLING_DELAY": "100",
		"TLS_CERT_FILE": p.file("tls.crt", certificate), "TLS_KEY_FILE": p.file("tls.key", key),
		"PLACEHOLDERS": "true", "HOUSEKEEPING_OWNER": "doctor",
		// As in a pod.
		"KUBERNETES_SERVICE_HOST": "127.0.0.1",
	}
	p.must(p.CreateSecret(t.Context(), tlsSecret, map[string]string{"ca.crt": certificate}))
	p.must(p.CreateAuthentication(t.Context(),
		workload.TriggerAuthentication(p.Namespace, authentication, tlsSecret, map[string]string{"caCert": "ca.crt"})))
	p.must(p.Apply(t.Context(), p.scaledJob()))
	p.operator("ghcr.io/kedacore/keda:2.21.0", 1)
	return p
}

func (p *patient) must(err error) {
	p.t.Helper()
	if err != nil {
		p.t.Fatal(err)
	}
}

func (p *patient) scaledJob() workload.ScaledJob {
	return workload.ScaledJob{
		Namespace: p.Namespace, Name: "build", ScalerAddress: p.env["SCALER_ADDRESS"],
		OrganizationURL: p.Azure.URL(), Pool: cluster.Pool, Authentication: authentication,
	}
}

// operator makes or changes the Deployment that a KEDA in the cluster has.
func (p *patient) operator(image string, ready int32) {
	p.t.Helper()
	deployments := p.Kube.AppsV1().Deployments(controlplane.KEDANamespace)
	_ = deployments.Delete(p.t.Context(), "keda-operator", metav1.DeleteOptions{})
	labels := map[string]string{"app": "keda-operator"}
	deployment := &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: "keda-operator"},
		Spec: appsv1.DeploymentSpec{
			Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: labels},
				Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "keda", Image: image}}},
			},
		},
	}
	made, err := deployments.Create(p.t.Context(), deployment, metav1.CreateOptions{})
	p.must(err)
	made.Status.Replicas, made.Status.ReadyReplicas = ready, ready
	_, err = deployments.UpdateStatus(p.t.Context(), made, metav1.UpdateOptions{})
	p.must(err)
}

func (p *patient) start() {
	p.t.Helper()
	var err error
	p.scaler, err = cluster.StartScaler(p.program, environ(p.env), &p.log)
	p.must(err)
	p.t.Cleanup(func() { _ = p.scaler.Stop() })
}

func environ(env map[string]string) (list []string) {
	for name, value := range env {
		list = append(list, name+"="+value)
	}
	return list
}

// report is what doctor prints with -o json.
type report struct {
	Findings []finding
	Faults   int
}

type finding struct{ Status, Subject, Detail, Fix string }

// examine runs doctor, with some settings changed.
func (p *patient) examine(changed map[string]string) (r report, exit int) {
	p.t.Helper()
	env := map[string]string{}
	for _, settings := range []map[string]string{p.env, changed} {
		maps.Copy(env, settings)
	}
	ctx, cancel := context.WithTimeout(p.t.Context(), patience)
	defer cancel()
	command := exec.CommandContext(ctx, p.program, "doctor", "-o", "json")
	command.Env = environ(env)
	var stderr bytes.Buffer
	command.Stderr = &stderr
	out, _ := command.Output()
	if strings.Contains(string(out)+stderr.String(), cluster.ScalerPAT) {
		p.t.Errorf("a token shows in %s%s", out, stderr.Bytes())
	}
	if err := json.Unmarshal(out, &r); err != nil {
		p.t.Fatalf("doctor printed %s\n%s", out, stderr.Bytes())
	}
	return r, command.ProcessState.ExitCode()
}

// healthy waits until doctor finds nothing.
func (p *patient) healthy() {
	p.t.Helper()
	deadline := time.Now().Add(patience)
	for {
		r, exit := p.examine(nil)
		if r.Faults == 0 && exit == 0 {
			return
		}
		if time.Now().After(deadline) {
			p.t.Fatalf("exit code %d with %+v", exit, r)
		}
	}
}

func (p *patient) file(name, content string) string {
	p.t.Helper()
	path := filepath.Join(p.dir, name)
	p.must(os.WriteFile(path, []byte(content), 0o600))
	return path
}

// powerless is a kubeconfig of a service account without rights.
func (p *patient) powerless() string {
	p.t.Helper()
	accounts := p.Kube.CoreV1().ServiceAccounts(p.Namespace)
	account, err := accounts.Create(p.t.Context(), &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{GenerateName: "powerless-"}}, metav1.CreateOptions{})
	p.must(err)
	request, err := accounts.CreateToken(p.t.Context(), account.Name, &authenticationv1.TokenRequest{}, metav1.CreateOptions{})
	p.must(err)
	server := p.Plane.Config()
	config := clientcmdapi.NewConfig()
	config.Clusters["c"] = &clientcmdapi.Cluster{Server: server.Host, CertificateAuthorityData: server.CAData}
	config.AuthInfos["c"] = &clientcmdapi.AuthInfo{Token: request.Status.Token}
	config.Contexts["c"] = &clientcmdapi.Context{Cluster: "c", AuthInfo: "c", Namespace: p.Namespace}
	config.CurrentContext = "c"
	path := filepath.Join(p.dir, "powerless")
	p.must(clientcmd.WriteToFile(*config, path))
	return path
}

func selfSigned(t *testing.T, address string, end time.Time) (certificate, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), IPAddresses: []net.IP{net.ParseIP(address)}, NotBefore: time.Now().Add(-48 * time.Hour), NotAfter: end,
		IsCA: true, BasicConstraintsValid: true, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})),
		string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}))
}
