package adoauth_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io"
	"math/big"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue/adoauth"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue/adotest"
)

const (
	tenant      = "55555555-5555-4555-8555-555555555555"
	clientID    = "66666666-6666-4666-8666-666666666666"
	accessToken = "an-access-token"
	secret      = "s3cr3t"
	scope       = "499b84ac-1321-427f-aa17-267ca6975798"
)

// entra speaks the parts of Microsoft Entra ID's and the managed identity
// service's protocols that azidentity needs. It keeps the forms it was sent.
type entra struct {
	refuse int // status to refuse with, 0: do not
	forms  []string
}

func (e *entra) Do(r *http.Request) (*http.Response, error) {
	const login = "https://login.microsoftonline.com/" + tenant
	answer := func(status int, value any) (*http.Response, error) {
		body, err := json.Marshal(value)
		return &http.Response{
			StatusCode: status, Header: http.Header{"Content-Type": {"application/json"}}, Request: r,
			Body: io.NopCloser(bytes.NewReader(body)),
		}, err
	}
	switch {
	case strings.Contains(r.URL.Path, "/discovery/instance"):
		return answer(200, map[string]any{"tenant_discovery_endpoint": login + "/v2.0/.well-known/openid-configuration"})
	case strings.Contains(r.URL.Path, "/.well-known/"):
		return answer(200, map[string]string{
			"authorization_endpoint": login + "/oauth2/v2.0/authorize", "token_endpoint": login + "/oauth2/v2.0/token", "issuer": login + "/v2.0",
		})
	case r.URL.Host == "169.254.169.254":
		e.forms = append(e.forms, r.URL.RawQuery)
	default:
		form, err := io.ReadAll(r.Body)
		if err != nil {
			return nil, err
		}
		e.forms = append(e.forms, string(form))
	}
	if e.refuse != 0 {
		return answer(e.refuse, map[string]string{"error": "invalid_client", "error_description": "AADSTS7000215: Invalid client secret provided."})
	}
	return answer(200, map[string]any{"access_token": accessToken, "expires_in": 3600, "ext_expires_in": 3600, "token_type": "Bearer", "resource": scope})
}

func TestEntra(t *testing.T) {
	dir := t.TempDir()
	file := func(name, content string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o700); err != nil { // one of them is a program
			t.Fatal(err)
		}
		return path
	}
	certificate := file("certificate.pem", newCertificate(t))
	token := file("token", "federated-token")
	file("az", `#!/bin/sh
echo '{"accessToken":"`+accessToken+`","expiresOn":"2999-01-01 00:00:00.000000","expires_on":32472144000,"tenant":"`+tenant+`","tokenType":"Bearer"}'
`)
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))

	for _, tt := range []struct {
		name     string
		settings adoauth.Settings
		form     []string // parts of what was asked of Entra
	}{
		{"secret", adoauth.Settings{Kind: adoauth.ServicePrincipal, TenantID: tenant, ClientID: clientID, ClientSecret: secret}, []string{"client_secret=" + secret, "client_id=" + clientID, scope}},
		{"secret file", adoauth.Settings{Kind: adoauth.ServicePrincipal, TenantID: tenant, ClientID: clientID, ClientSecretFile: file("secret", secret+"\n")}, []string{"client_secret=" + secret + "&"}},
		{"certificate", adoauth.Settings{Kind: adoauth.ServicePrincipal, TenantID: tenant, ClientID: clientID, CertificateFile: certificate}, []string{"client_assertion=", scope}},
		{"workload identity", adoauth.Settings{Kind: adoauth.WorkloadIdentity, TenantID: tenant, ClientID: clientID, FederatedTokenFile: token}, []string{"client_assertion=federated-token", scope}},
		{"managed identity", adoauth.Settings{Kind: adoauth.ManagedIdentity, ClientID: clientID}, []string{"client_id=" + clientID, "resource=" + scope}},
		{"system-assigned identity", adoauth.Settings{Kind: adoauth.ManagedIdentity}, []string{"resource=" + scope}},
		{"Azure CLI", adoauth.Settings{Kind: adoauth.AzureCLI}, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ado := adotest.Serve(t, adotest.Options{})
			ado.AddPool(adotest.Pool{Name: "Linux"})
			ado.AllowBearer(accessToken, adotest.ScopeRead)
			fake := &entra{}
			client := newClient(t, ado, tt.settings, fake)
			for range 2 { // the token is kept
				if _, err := client.Pool(t.Context(), adoqueue.PoolRef{Name: "Linux"}); err != nil {
					t.Fatal(err)
				}
			}
			if tt.form == nil {
				return
			}
			if len(fake.forms) != 1 {
				t.Fatalf("asked Entra %d times: %q", len(fake.forms), fake.forms)
			}
			for _, part := range tt.form {
				if !strings.Contains(fake.forms[0], part) {
					t.Errorf("%s\nlacks %s", fake.forms[0], part)
				}
			}
		})
	}
}

// TestRotation replaces a secret, then a certificate, without a new start.
func TestRotation(t *testing.T) {
	first, second := newCertificate(t), newCertificate(t)
	for _, tt := range []struct {
		name          string
		settings      func(path string) adoauth.Settings
		first, second string
	}{
		{"secret", func(path string) adoauth.Settings { return adoauth.Settings{ClientSecretFile: path} }, "first-secret", "second-secret\n"},
		{"certificate", func(path string) adoauth.Settings { return adoauth.Settings{CertificateFile: path} }, first, second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "credential")
			write := func(content string) {
				if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			fake := &entra{}
			settings := tt.settings(path)
			settings.Kind, settings.TenantID, settings.ClientID = adoauth.ServicePrincipal, tenant, clientID
			write(tt.first)
			credential, err := adoauth.New(settings, fake)
			if err != nil {
				t.Fatal(err)
			}
			ask := func() error {
				_, err := adoqueue.Secret(t.Context(), credential)
				return err
			}
			for _, content := range []string{tt.first, tt.first, tt.second, tt.second} {
				write(content)
				if err := ask(); err != nil {
					t.Fatal(err)
				}
			}
			var shown []string
			for _, form := range fake.forms {
				shown = append(shown, proof(t, form))
			}
			if len(slices.Compact(shown)) != 2 {
				t.Errorf("Entra was shown %q", shown)
			}
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
			if err := ask(); !errors.Is(err, adoqueue.ErrUnavailable) || errors.Is(err, adoqueue.ErrUnauthorized) || !strings.Contains(err.Error(), path) {
				t.Errorf("without the file: %v", err)
			}
		})
	}
}

// proof returns the secret of a form, or the certificate by its thumbprint.
func proof(t *testing.T, form string) string {
	t.Helper()
	values, err := url.ParseQuery(form)
	if err != nil {
		t.Fatal(err)
	}
	if secret := values.Get("client_secret"); secret != "" {
		return secret
	}
	header, _, _ := strings.Cut(values.Get("client_assertion"), ".")
	return header
}

func TestEntraRefuses(t *testing.T) {
	ado := adotest.Serve(t, adotest.Options{})
	settings := adoauth.Settings{Kind: adoauth.ServicePrincipal, TenantID: tenant, ClientID: clientID, ClientSecret: secret}
	_, err := newClient(t, ado, settings, &entra{refuse: http.StatusServiceUnavailable}).Pool(t.Context(), adoqueue.PoolRef{Name: "Linux"})
	if !errors.Is(err, adoqueue.ErrUnavailable) || errors.Is(err, adoqueue.ErrUnauthorized) {
		t.Errorf("out of order: got %v", err)
	}
	_, err = newClient(t, ado, settings, &entra{refuse: http.StatusUnauthorized}).Pool(t.Context(), adoqueue.PoolRef{Name: "Linux"})
	if !errors.Is(err, adoqueue.ErrUnauthorized) || !strings.Contains(err.Error(), "AADSTS7000215") || strings.Contains(err.Error(), secret) {
		t.Errorf("got %v", err)
	}
	if n := ado.Count("", 0); n != 0 {
		t.Errorf("%d requests to Azure DevOps without a token", n)
	}
}

func TestValidate(t *testing.T) {
	for _, tt := range []struct {
		settings adoauth.Settings
		want     []string // empty: valid
	}{
		{adoauth.Settings{PAT: "x"}, nil},
		{adoauth.Settings{Kind: adoauth.PAT, PATFile: "x"}, nil},
		{adoauth.Settings{}, []string{"the personal access token is missing"}},
		{adoauth.Settings{PAT: secret, PATFile: "x"}, []string{"given in several ways"}},
		{adoauth.Settings{Kind: adoauth.WorkloadIdentity, TenantID: "t", ClientID: "c", FederatedTokenFile: "x"}, nil},
		{adoauth.Settings{Kind: adoauth.WorkloadIdentity}, []string{"a tenant id (AZURE_TENANT_ID)", "a client id (AZURE_CLIENT_ID)", "a token (AZURE_FEDERATED_TOKEN_FILE); the webhook"}},
		{adoauth.Settings{Kind: "kerberos"}, []string{`unknown kind of credential "kerberos"; use one of pat, workload-identity, managed-identity, service-principal, azure-cli`}},
		{adoauth.Settings{Kind: adoauth.ServicePrincipal}, []string{"a tenant id", "a client id", "secret or certificate is missing"}},
		{adoauth.Settings{Kind: adoauth.ServicePrincipal, TenantID: "t", ClientID: "c", ClientSecret: secret, CertificateFile: "x"}, []string{"secret or certificate is given in several ways"}},
	} {
		err := tt.settings.Validate()
		if (err == nil) != (len(tt.want) == 0) || err != nil && strings.Contains(err.Error(), secret) {
			t.Errorf("%+v: %v", tt.settings, err)
		}
		for _, part := range tt.want {
			if !strings.Contains(err.Error(), part) {
				t.Errorf("%v\nlacks %s", err, part)
			}
		}
		if _, newErr := adoauth.New(tt.settings, http.DefaultClient); (newErr != nil) != (err != nil) {
			t.Errorf("%+v: New says %v", tt.settings, newErr)
		}
	}
}

func TestMissingFiles(t *testing.T) {
	for _, settings := range []adoauth.Settings{
		{Kind: adoauth.ServicePrincipal, TenantID: tenant, ClientID: clientID, ClientSecretFile: "/nowhere/secret"},
		{Kind: adoauth.ServicePrincipal, TenantID: tenant, ClientID: clientID, CertificateFile: "/nowhere/certificate"},
	} {
		if _, err := adoauth.New(settings, http.DefaultClient); err == nil || !strings.Contains(err.Error(), "/nowhere/") {
			t.Errorf("got %v", err)
		}
	}
}

func newClient(t *testing.T, ado *adotest.Server, settings adoauth.Settings, fake policy.Transporter) *adoqueue.Client {
	t.Helper()
	credential, err := adoauth.New(settings, fake)
	if err != nil {
		t.Fatal(err)
	}
	organization, err := adoqueue.ParseOrganizationURL(ado.URL())
	if err != nil {
		t.Fatal(err)
	}
	client, err := adoqueue.NewClient(organization, credential, adoqueue.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return client
}

// newCertificate is a certificate and its RSA key in PEM, as Entra wants them.
func newCertificate(t *testing.T) string {
	t.Helper()
	authority, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "scaler"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	certificate, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), authority)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate})) +
		string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}

// TestFederatedTokenIsBounded has files in place of the token that must not be read
// as a whole, or at all.
func TestFederatedTokenIsBounded(t *testing.T) {
	dir := t.TempDir()
	large, pipe := filepath.Join(dir, "large"), filepath.Join(dir, "pipe")
	if err := os.WriteFile(large, bytes.Repeat([]byte("x"), 2<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{large: "larger than 1024 KiB", pipe: "not a regular file", filepath.Join(dir, "none"): "no such file"} {
		ado := adotest.Serve(t, adotest.Options{})
		client := newClient(t, ado, adoauth.Settings{Kind: adoauth.WorkloadIdentity, TenantID: tenant, ClientID: clientID, FederatedTokenFile: path}, &entra{})
		_, err := client.Pools(t.Context())
		if !errors.Is(err, adoqueue.ErrUnavailable) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", path, err)
		}
	}
}

// TestEntraAnswersAreBounded has an Entra that answers without an end.
func TestEntraAnswersAreBounded(t *testing.T) {
	ado := adotest.Serve(t, adotest.Options{})
	read := &atomic.Int64{}
	endless := transport(func(r *http.Request) (*http.Response, error) {
		return &http.Response{
			StatusCode: 200, Header: http.Header{"Content-Type": {"application/json"}}, Request: r,
			Body: io.NopCloser(endlessReader{read}),
		}, nil
	})
	client := newClient(t, ado, adoauth.Settings{Kind: adoauth.ServicePrincipal, TenantID: tenant, ClientID: clientID, ClientSecret: secret}, endless)
	if _, err := client.Pools(t.Context()); err == nil {
		t.Error("no error")
	}
	if n := read.Load(); n == 0 || n > 32<<20 {
		t.Errorf("read %d bytes of its answers", n)
	}
}

type transport func(*http.Request) (*http.Response, error)

func (t transport) Do(r *http.Request) (*http.Response, error) { return t(r) }

type endlessReader struct{ read *atomic.Int64 }

func (r endlessReader) Read(p []byte) (int, error) {
	if r.read.Load() > 256<<20 {
		return 0, io.EOF
	}
	r.read.Add(int64(len(p)))
	return len(p), nil
}

// TestExpiry wants the expiry of a certificate, and none of other credentials.
func TestExpiry(t *testing.T) {
	path := filepath.Join(t.TempDir(), "certificate.pem")
	if err := os.WriteFile(path, []byte(newCertificate(t)), 0o600); err != nil {
		t.Fatal(err)
	}
	ado := adotest.Serve(t, adotest.Options{})
	certificate := newClient(t, ado, adoauth.Settings{Kind: adoauth.ServicePrincipal, TenantID: tenant, ClientID: clientID, CertificateFile: path}, &entra{})
	block, _ := pem.Decode([]byte(newCertificate(t)))
	for block.Type != "CERTIFICATE" {
		t.Fatal("the first block of the file is no certificate")
	}
	parsed, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	if got := certificate.CredentialExpires(); got.Sub(parsed.NotAfter).Abs() > time.Hour {
		t.Errorf("got %v, want about %v", got, parsed.NotAfter)
	}
	for _, settings := range []adoauth.Settings{
		{PAT: secret}, {Kind: adoauth.ServicePrincipal, TenantID: tenant, ClientID: clientID, ClientSecret: secret},
	} {
		if got := newClient(t, ado, settings, &entra{}).CredentialExpires(); !got.IsZero() {
			t.Errorf("%s: got %v", settings.Kind, got)
		}
	}
}

func TestWorkloadIdentityWithoutWebhook(t *testing.T) {
	for _, name := range []string{"AZURE_TENANT_ID", "AZURE_CLIENT_ID", "AZURE_FEDERATED_TOKEN_FILE"} {
		t.Setenv(name, "")
	}
	_, err := adoauth.New(adoauth.Settings{Kind: adoauth.WorkloadIdentity, TenantID: tenant}, http.DefaultClient)
	if err == nil || strings.Contains(err.Error(), "AZURE_TENANT_ID") || !strings.Contains(err.Error(), "AZURE_CLIENT_ID") ||
		!strings.Contains(err.Error(), "AZURE_FEDERATED_TOKEN_FILE") {
		t.Errorf("got %v", err)
	}
}
