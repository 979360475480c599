package e2e_test

import (
	"os"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/test/cluster"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/test/controlplane"
)

// validity is how long the first certificates are valid. Two busy cores
// have to finish what uses them by then.
const validity = 90 * time.Second

// TestCertificatesRenewed is the drill for certificates that run out: both sides
// get new ones in time. The scaler uses its new one at once. KEDA, also 2.21,
// keeps its connection, which outlives the certificate, but once it breaks it
// shows the old certificate forever: only a restart of the operator helps.
func TestCertificatesRenewed(t *testing.T) {
	t.Parallel()
	c := startCluster(t, controlplane.Options{})
	authority := newAuthority(t)
	end := time.Now().Add(validity)
	server, client := authority.issueUntil(t, end), authority.issueUntil(t, end)
	s := newEnv(t, c, cluster.EnvOptions{},
		"TLS_CERT_FILE="+server.certFile, "TLS_KEY_FILE="+server.keyFile, "TLS_CLIENT_CA_FILE="+authority.certFile)
	s.authenticate(authority, client)
	job := s.scaledJob()
	job.Authentication = "scaler"
	s.deploy(job)
	s.served(s.queue(1, time.Second))
	if time.Now().After(end) {
		t.Fatal("the first certificates ran out too early: this shows nothing")
	}

	s.renew(authority, server)
	<-time.After(time.Until(end.Add(time.Second)))
	// The connection is older than that.
	s.served(s.queue(1, time.Second))

	s.scaler.stop()
	s.scaler = startScaler(t, append(s.scaler.env, "GRPC_ADDR="+s.scaler.Addr))
	ids := s.queue(1, time.Second)
	s.eventually(func() string {
		if !strings.Contains(content(t, c.Plane.KEDALog()), "tls: expired certificate") {
			return "KEDA does not show the old certificate"
		}
		return ""
	})
	if err := c.Plane.StopKEDA(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := c.Plane.StartKEDA(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.served(ids)
	s.settled(3)
}

// renew does what cert-manager does: it puts new certificates in the place of
// those that run out, in the scaler's files and in KEDA's Secret.
func (s *env) renew(authority *authority, server pair) {
	s.t.Helper()
	renewed := authority.issue(s.t)
	for from, to := range map[string]string{renewed.certFile: server.certFile, renewed.keyFile: server.keyFile} {
		if err := os.WriteFile(to, []byte(content(s.t, from)), 0o600); err != nil {
			s.t.Fatal(err)
		}
	}
	secret := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: "scaler-tls"}, StringData: clientSecret(s.t, authority, authority.issue(s.t)),
	}
	if _, err := s.Kube.CoreV1().Secrets(s.Namespace).Update(s.t.Context(), secret, metav1.UpdateOptions{}); err != nil {
		s.t.Fatal(err)
	}
}
