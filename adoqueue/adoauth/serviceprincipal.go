package adoauth

import (
	"bytes"
	"context"
	"crypto"
	"crypto/x509"
	"fmt"
	"sync"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue/secrets"
)

// servicePrincipal proves itself with a secret or a certificate. A file is read
// again for each token of Entra, so that what replaces it counts from the next
// token on, about once an hour.
type servicePrincipal struct {
	settings Settings
	options  azcore.ClientOptions

	mu         sync.Mutex
	content    []byte // credential was made from it
	credential azcore.TokenCredential
	expires    time.Time // of the certificate
}

// Expires returns when the certificate does; of a secret that is unknown.
func (p *servicePrincipal) Expires() time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.expires
}

func newServicePrincipal(settings Settings, options azcore.ClientOptions) (*servicePrincipal, error) {
	p := &servicePrincipal{settings: settings, options: options}
	_, err := p.current(context.Background()) //nolint:contextcheck // it bounds its own time
	return p, err
}

// GetToken returns an access token of Entra.
func (p *servicePrincipal) GetToken(ctx context.Context, options policy.TokenRequestOptions) (azcore.AccessToken, error) {
	credential, err := p.current(ctx)
	if err != nil {
		// The file may be about to be replaced.
		return azcore.AccessToken{}, fmt.Errorf("%w: %w", adoqueue.ErrUnavailable, err)
	}
	return credential.GetToken(ctx, options)
}

// current returns a credential made from what the file holds now.
func (p *servicePrincipal) current(ctx context.Context) (azcore.TokenCredential, error) {
	content, err := p.read(ctx)
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.credential != nil && bytes.Equal(content, p.content) {
		return p.credential, nil // it caches tokens
	}
	credential, err := p.make(content)
	if err != nil {
		return nil, err
	}
	p.content, p.credential = content, credential
	return credential, nil
}

func (p *servicePrincipal) read(ctx context.Context) ([]byte, error) {
	switch {
	case p.settings.CertificateFile != "":
		return secrets.Read(ctx, p.settings.CertificateFile)
	case p.settings.ClientSecretFile != "":
		secret, err := secrets.ReadToken(ctx, p.settings.ClientSecretFile)
		return []byte(secret), err
	default:
		secret, err := secrets.Token(p.settings.ClientSecret)
		if err != nil {
			err = fmt.Errorf("the client secret %w", err)
		}
		return []byte(secret), err
	}
}

// make makes a credential from the content of the file. The caller holds the lock.
func (p *servicePrincipal) make(content []byte) (azcore.TokenCredential, error) {
	s := p.settings
	if s.CertificateFile == "" {
		return azidentity.NewClientSecretCredential(s.TenantID, s.ClientID, string(content),
			&azidentity.ClientSecretCredentialOptions{ClientOptions: p.options})
	}
	certificates, key, err := s.parseCertificate(content)
	if err != nil {
		return nil, err
	}
	if len(certificates) > 0 {
		p.expires = certificates[0].NotAfter
	}
	return azidentity.NewClientCertificateCredential(s.TenantID, s.ClientID, certificates, key,
		&azidentity.ClientCertificateCredentialOptions{ClientOptions: p.options})
}

// parseCertificate returns the certificates in a file and their key. azidentity's errors
// are about the format that it tries last, such as about ASN.1 in a PEM file.
func (s Settings) parseCertificate(content []byte) ([]*x509.Certificate, crypto.PrivateKey, error) {
	certificates, key, err := azidentity.ParseCertificates(content, []byte(s.CertificatePassword))
	switch {
	case err == nil:
		return certificates, key, nil
	case s.CertificatePassword != "":
		return nil, nil, fmt.Errorf("%s must be PKCS#12 with a certificate, its RSA private key and the given password", s.CertificateFile)
	default:
		return nil, nil, fmt.Errorf("%s must hold a certificate and its RSA private key: PEM, or PKCS#12 without a password", s.CertificateFile)
	}
}
