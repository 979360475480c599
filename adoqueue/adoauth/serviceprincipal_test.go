package adoauth_test

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue/adoauth"
)

// TestCertificateThatIsNone has the error name the file and what it must be.
func TestCertificateThatIsNone(t *testing.T) {
	valid := newCertificate(t)
	alone, _, _ := strings.Cut(valid, "-----BEGIN PRIVATE KEY")
	path := filepath.Join(t.TempDir(), "certificate.pem")
	for _, tt := range []struct{ content, password, want string }{
		{content: valid},
		{content: "no certificate", want: path + " must hold a certificate and its RSA private key: PEM, or PKCS#12 without a password"},
		{content: alone, want: path + " must hold a certificate and its RSA private key"},
		{content: valid, password: secret, want: path + " must be PKCS#12 with a certificate, its RSA private key and the given password"},
	} {
		if err := os.WriteFile(path, []byte(tt.content), 0o600); err != nil {
			t.Fatal(err)
		}
		settings := adoauth.Settings{Kind: adoauth.ServicePrincipal, TenantID: tenant, ClientID: clientID, CertificateFile: path, CertificatePassword: tt.password}
		_, made := adoauth.New(settings, http.DefaultClient)
		for _, err := range []error{settings.CheckCertificate(), made} {
			if (err != nil) != (tt.want != "") || err != nil && !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %s", err, tt.want)
			}
		}
	}
}
