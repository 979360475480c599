package e2e_test

import (
	"strings"
	"testing"
	"time"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue/adotest"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/test/cluster"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/test/workload"
)

func credentialRotated(t *testing.T, c *cluster.Cluster) {
	s := newEnv(t, c, cluster.EnvOptions{})
	s.deploy(s.scaledJob())
	s.served(s.queue(1, time.Second))
	s.Azure.RevokePAT(cluster.ScalerPAT)
	ids := s.queue(1, time.Second)
	s.eventually(func() string {
		if !strings.Contains(s.events(), "check that the token is valid") {
			return "no event reports that the token is refused: " + s.events()
		}
		return ""
	})
	const next = "next-token-of-the-scaler"
	s.Azure.AllowPAT(next, adotest.ScopeRead)
	s.writePAT(next)
	s.served(ids)
	s.settled(2)
	if events := s.events(); strings.Contains(events, cluster.ScalerPAT) || strings.Contains(events, next) {
		t.Errorf("a token shows in the events: %s", events)
	}
}

func mutualTLS(t *testing.T, c *cluster.Cluster) {
	authority := newAuthority(t)
	server, client := authority.issue(t), authority.issue(t)
	s := newEnv(t, c, cluster.EnvOptions{},
		"TLS_CERT_FILE="+server.certFile, "TLS_KEY_FILE="+server.keyFile, "TLS_CLIENT_CA_FILE="+authority.certFile)
	s.authenticate(authority, client)
	job := s.scaledJob()
	job.Authentication = "scaler"
	s.deploy(job)
	s.served(s.queue(2, time.Second))
	s.settled(2)
}

// authenticate makes the TriggerAuthentication "scaler" of a client's certificate.
func (s *env) authenticate(authority *authority, client pair) {
	s.t.Helper()
	if err := s.CreateSecret(s.t.Context(), "scaler-tls", clientSecret(s.t, authority, client)); err != nil {
		s.t.Fatal(err)
	}
	authentication := workload.TriggerAuthentication(s.Namespace, "scaler", "scaler-tls",
		map[string]string{"caCert": "ca.crt", "tlsClientCert": "tls.crt", "tlsClientKey": "tls.key"})
	if err := s.CreateAuthentication(s.t.Context(), authentication); err != nil {
		s.t.Fatal(err)
	}
	// KEDA up to 2.19 that sees the ScaledJob first connects without TLS, and stays
	// so. It has seen the TriggerAuthentication once this has a finalizer.
	s.eventually(func() string {
		seen, err := s.Dynamic.Resource(workload.TriggerAuthentications).Namespace(s.Namespace).
			Get(s.t.Context(), authentication.GetName(), metav1.GetOptions{})
		if err != nil || len(seen.GetFinalizers()) == 0 {
			return "KEDA has not seen the TriggerAuthentication"
		}
		return ""
	})
}

func clientSecret(t *testing.T, authority *authority, client pair) map[string]string {
	t.Helper()
	return map[string]string{
		"ca.crt": content(t, authority.certFile), "tls.crt": content(t, client.certFile), "tls.key": content(t, client.keyFile),
	}
}
