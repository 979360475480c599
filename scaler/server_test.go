package scaler_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"io"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/grpc/status"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/engine"
)

func TestStreamIsActive(t *testing.T) {
	ado := azureDevOps(t)
	b := start(t, benchOptions{}, ado.URL())
	stream, err := b.client.StreamIsActive(t.Context(), ref("poolName", "Linux"))
	if err != nil {
		t.Fatal(err)
	}
	next := func(want bool) {
		t.Helper()
		if got, err := stream.Recv(); err != nil || got.GetResult() != want {
			t.Fatalf("got %v, %v, want %v", got, err, want)
		}
	}
	next(false)
	id := queue(t, ado)
	next(true)
	queue(t, ado) // no change
	if err := ado.Cancel(id); err != nil {
		t.Fatal(err)
	}
	if err := ado.Cancel(id + 1); err != nil {
		t.Fatal(err)
	}
	next(false)
	b.stop() // ends the stream, or it would not end itself
	if _, err := stream.Recv(); !errors.Is(err, io.EOF) {
		t.Errorf("got %v, want a clean end", err)
	}
}

// TestStopEndsEveryStream covers streams that are not ours to end.
func TestStopEndsEveryStream(t *testing.T) {
	b := start(t, benchOptions{}, azureDevOps(t).URL())
	watch, err := grpc_health_v1.NewHealthClient(b.conn).Watch(t.Context(), &grpc_health_v1.HealthCheckRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := watch.Recv(); err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	b.stop()
	if took := time.Since(begin); took > 5*time.Second {
		t.Errorf("stopping took %v", took)
	}
}

func TestStreamIsActiveRefusesMistakes(t *testing.T) {
	b := start(t, benchOptions{}, azureDevOps(t).URL())
	stream, err := b.client.StreamIsActive(t.Context(), ref())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Recv(); status.Code(err) != codes.InvalidArgument {
		t.Errorf("got %v", err)
	}
}

func TestStreamMetricSpec(t *testing.T) {
	b := start(t, benchOptions{}, azureDevOps(t).URL())
	stream, err := b.client.StreamMetricSpec(t.Context(), ref("poolID", "7"))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := stream.Recv(); err != nil || got.GetMetricSpecs()[0].GetMetricName() != "azure-pipelines-7" {
		t.Errorf("got %v, %v", got, err)
	}
	b.stop()
	if _, err := stream.Recv(); !errors.Is(err, io.EOF) {
		t.Errorf("got %v, want a clean end", err)
	}
}

func TestHealthAndReflection(t *testing.T) {
	b := start(t, benchOptions{}, azureDevOps(t).URL())
	for _, service := range []string{"", "externalscaler.ExternalScaler"} {
		answer, err := grpc_health_v1.NewHealthClient(b.conn).Check(t.Context(), &grpc_health_v1.HealthCheckRequest{Service: service})
		if err != nil || answer.GetStatus() != grpc_health_v1.HealthCheckResponse_SERVING {
			t.Errorf("%q: %v, %v", service, answer, err)
		}
	}
	stream, err := grpc_reflection_v1.NewServerReflectionClient(b.conn).ServerReflectionInfo(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.Send(&grpc_reflection_v1.ServerReflectionRequest{
		MessageRequest: &grpc_reflection_v1.ServerReflectionRequest_ListServices{},
	}); err != nil {
		t.Fatal(err)
	}
	answer, err := stream.Recv()
	if err != nil || !slices.ContainsFunc(answer.GetListServicesResponse().GetService(), func(s *grpc_reflection_v1.ServiceResponse) bool {
		return s.GetName() == "externalscaler.ExternalScaler"
	}) {
		t.Errorf("%v, %v", answer, err)
	}
	if err := stream.CloseSend(); err != nil {
		t.Error(err)
	}
}

// panicking is a Queue with a programmer's mistake in it.
type panicking struct{}

func (panicking) Snapshot(context.Context, adoqueue.PoolRef, time.Duration) (*adoqueue.Snapshot, error) {
	panic("index out of range")
}

func (panicking) ParallelJobs(context.Context, time.Duration) (adoqueue.ParallelJobs, error) {
	panic("index out of range")
}

func TestPanicIsAnError(t *testing.T) {
	b := startWith(t, benchOptions{}, []engine.Organization{{URL: parseURL(t, "https://dev.azure.com/contoso"), Queue: panicking{}}})
	for range 2 { // it goes on serving
		_, err := b.metric(t.Context(), ref("poolName", "Linux"))
		if status.Code(err) != codes.Internal || status.Convert(err).Message() != "internal error, see the scaler's log" {
			t.Errorf("got %v", err)
		}
	}
	if n := b.logs.FilterMessage("panic in a call").Len(); n != 2 {
		t.Errorf("%d panics logged, want 2", n)
	}
}

func TestTLSIsReloaded(t *testing.T) {
	authority := newAuthority(t)
	files := scaler.TLSFiles{Cert: tempFile(t), Key: tempFile(t)}
	authority.issue(t, files.Cert, files.Key, 1)
	b := start(t, benchOptions{tls: loadTLS(t, files), dial: authority.dial(nil)}, azureDevOps(t).URL())
	b.settle(t, ref("poolName", "Linux"), 0)

	authority.issue(t, files.Cert, files.Key, 2)
	deadline := time.Now().Add(10 * time.Second)
	for serial := authority.serialAt(t, b.addr); serial != 2; serial = authority.serialAt(t, b.addr) {
		if time.Now().After(deadline) {
			t.Fatalf("still serves certificate %d", serial)
		}
	}
}

func TestMutualTLS(t *testing.T) {
	authority, stranger := newAuthority(t), newAuthority(t)
	files := scaler.TLSFiles{Cert: tempFile(t), Key: tempFile(t), ClientCA: tempFile(t)}
	authority.issue(t, files.Cert, files.Key, 1)
	write(t, files.ClientCA, authority.pem)
	url := azureDevOps(t).URL()
	known := start(t, benchOptions{tls: loadTLS(t, files), dial: authority.dial(authority.client(t))}, url)
	known.settle(t, ref("poolName", "Linux"), 0)
	for name, dial := range map[string][]grpc.DialOption{
		"no certificate": authority.dial(nil), "a stranger's certificate": authority.dial(stranger.client(t)),
	} {
		b := start(t, benchOptions{tls: loadTLS(t, files), dial: dial}, url)
		if _, err := b.metric(t.Context(), ref("poolName", "Linux")); status.Code(err) != codes.Unavailable {
			t.Errorf("%s: got %v, want a refusal", name, err)
		}
	}
}

// TestFailedTLSReload has files that a mistake, or a dead volume, takes away: what
// they held serves on, which is logged once and shown by a metric.
func TestFailedTLSReload(t *testing.T) {
	authority := newAuthority(t)
	files := scaler.TLSFiles{Cert: tempFile(t), Key: tempFile(t)}
	authority.issue(t, files.Cert, files.Key, 1)
	registry := prometheus.NewRegistry()
	b := start(t, benchOptions{tls: loadTLS(t, files), dial: authority.dial(nil), registry: registry}, azureDevOps(t).URL())
	const message = "the TLS files cannot be used; using the last valid content, retrying with each connection"
	expect := func(step string, serial int64, failed float64, logged int) {
		t.Helper()
		for range 3 {
			if got := authority.serialAt(t, b.addr); got != serial {
				t.Errorf("%s: certificate %d, want %d", step, got, serial)
			}
		}
		if got := gauge(t, registry, "ado_agent_orchestrator_tls_reload_failed"); got != failed {
			t.Errorf("%s: the metric is %v, want %v", step, got, failed)
		}
		if n := b.logs.FilterMessage(message).Len(); n != logged {
			t.Errorf("%s: logged %d times, want %d", step, n, logged)
		}
	}
	expect("good", 1, 0, 0)
	if expiry := gauge(t, registry, "ado_agent_orchestrator_tls_certificate_expiry_timestamp_seconds"); time.Until(time.Unix(int64(expiry), 0)) > time.Hour {
		t.Errorf("expires at %v", expiry)
	}
	write(t, files.Cert, bytes.Repeat([]byte("x"), 2<<20))
	expect("too large", 1, 1, 1)
	if err := os.Remove(files.Cert); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(files.Cert, 0o600); err != nil {
		t.Fatal(err)
	}
	expect("a pipe", 1, 1, 2)
	if err := os.Remove(files.Cert); err != nil {
		t.Fatal(err)
	}
	authority.issue(t, files.Cert, files.Key, 2)
	expect("good again", 2, 0, 2)
	if n := b.logs.FilterMessage("the TLS files can be used again").Len(); n != 1 {
		t.Errorf("the end was logged %d times", n)
	}
}

// gauge returns the value of a metric with one series.
func gauge(t *testing.T, registry *prometheus.Registry, name string) float64 {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		if family.GetName() == name && len(family.GetMetric()) == 1 {
			return family.GetMetric()[0].GetGauge().GetValue()
		}
	}
	t.Fatalf("there is no metric %s, or several", name)
	return 0
}

func loadTLS(t *testing.T, files scaler.TLSFiles) *scaler.TLS {
	t.Helper()
	loaded, err := scaler.LoadTLS(files)
	if err != nil {
		t.Fatal(err)
	}
	return loaded
}

func TestTLSFilesAreCheckedAtTheStart(t *testing.T) {
	empty := tempFile(t)
	for _, files := range []scaler.TLSFiles{{Cert: empty, Key: empty}, {Cert: empty + "x", Key: empty}} {
		if _, err := scaler.LoadTLS(files); err == nil {
			t.Errorf("%+v: no error", files)
		}
	}
	authority := newAuthority(t)
	files := scaler.TLSFiles{Cert: tempFile(t), Key: tempFile(t), ClientCA: empty}
	authority.issue(t, files.Cert, files.Key, 1)
	if _, err := scaler.LoadTLS(files); err == nil {
		t.Error("an empty client CA: no error")
	}
}

// authority is a certificate authority.
type authority struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
	pem         []byte
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	key := newKey(t)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(100), Subject: pkix.Name{CommonName: "authority"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &authority{certificate, key, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})}
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// issue writes a certificate for 127.0.0.1 and its key.
func (a *authority) issue(t *testing.T, certFile, keyFile string, serial int64) {
	t.Helper()
	key := newKey(t)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(serial), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.certificate, key.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	write(t, certFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	write(t, keyFile, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}))
}

func (a *authority) client(t *testing.T) *tls.Certificate {
	t.Helper()
	certFile, keyFile := tempFile(t), tempFile(t)
	a.issue(t, certFile, keyFile, 3)
	certificate, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		t.Fatal(err)
	}
	return &certificate
}

func (a *authority) dial(client *tls.Certificate) []grpc.DialOption {
	config := &tls.Config{RootCAs: x509.NewCertPool(), MinVersion: tls.VersionTLS12}
	config.RootCAs.AddCert(a.certificate)
	if client != nil {
		config.Certificates = []tls.Certificate{*client}
	}
	return []grpc.DialOption{grpc.WithTransportCredentials(credentials.NewTLS(config))}
}

func (a *authority) serialAt(t *testing.T, addr string) int64 {
	t.Helper()
	roots := x509.NewCertPool()
	roots.AddCert(a.certificate)
	conn, err := tls.Dial("tcp", addr, &tls.Config{RootCAs: roots, NextProtos: []string{"h2"}, MinVersion: tls.VersionTLS12})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	return conn.ConnectionState().PeerCertificates[0].SerialNumber.Int64()
}

func tempFile(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file.pem")
	write(t, path, nil)
	return path
}

func write(t *testing.T, path string, content []byte) {
	t.Helper()
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
}
