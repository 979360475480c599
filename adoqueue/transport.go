package adoqueue

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/http"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue/secrets"
)

// maxHeader bounds the header of an answer. Azure DevOps sends some 2 KiB.
const maxHeader = 64 << 10

// NewHTTPClient makes the HTTP client for Azure DevOps and Entra: it follows no
// redirect, uses the proxy that HTTPS_PROXY, HTTP_PROXY and NO_PROXY name, and
// trusts, besides the system's certificate authorities, those in the PEM file
// caFile if that is not "".
func NewHTTPClient(caFile string) (*http.Client, error) {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12}
	transport.MaxResponseHeaderBytes = maxHeader
	transport.MaxIdleConnsPerHost = maxInFlight // or else most are closed after each poll
	if caFile != "" {
		roots, err := rootsWith(caFile)
		if err != nil {
			return nil, err
		}
		transport.TLSClientConfig.RootCAs = roots
	}
	return &http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}, nil
}

func rootsWith(caFile string) (*x509.CertPool, error) {
	pem, err := secrets.Read(context.Background(), caFile)
	if err != nil {
		return nil, fmt.Errorf("CA file: %w", err)
	}
	roots, err := x509.SystemCertPool()
	if err != nil {
		return nil, fmt.Errorf("the system's certificate authorities: %w", err)
	}
	if !roots.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("CA file %s holds no certificate in PEM form", caFile)
	}
	return roots, nil
}
