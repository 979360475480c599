// Package adoauth makes credentials for Azure DevOps from settings: a personal
// access token, or an identity of Microsoft Entra ID.
package adoauth

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue/secrets"
)

// The kinds of credential that Settings may name.
const (
	PAT              = "pat"
	WorkloadIdentity = "workload-identity"
	ManagedIdentity  = "managed-identity"
	ServicePrincipal = "service-principal"
	AzureCLI         = "azure-cli"
)

// Kinds are all kinds of credential.
var Kinds = []string{PAT, WorkloadIdentity, ManagedIdentity, ServicePrincipal, AzureCLI}

// Settings name a credential and what it needs. Secrets may be given by value
// or, better, by file.
type Settings struct {
	// Kind is one of Kinds; "" means PAT.
	Kind string

	PAT     string
	PATFile string

	TenantID            string // may be "" except for a service principal
	ClientID            string // may be "" for a system-assigned managed identity
	ClientSecret        string
	ClientSecretFile    string
	CertificateFile     string // PEM or PKCS#12, with its key
	CertificatePassword string
	FederatedTokenFile  string // "" is what the workload identity webhook set
}

// Validate reports everything that is missing or does not go together.
func (s Settings) Validate() error {
	switch s.Kind {
	case "", PAT:
		return oneOf("the personal access token", s.PAT, s.PATFile)
	case ServicePrincipal:
		return errors.Join(
			required("a service principal", "a tenant id", s.TenantID),
			required("a service principal", "a client id", s.ClientID),
			oneOf("the service principal's secret or certificate", s.ClientSecret, s.ClientSecretFile, s.CertificateFile),
		)
	case WorkloadIdentity:
		_, err := s.workloadIdentity()
		return err
	case ManagedIdentity, AzureCLI:
		return nil
	default:
		return fmt.Errorf("unknown kind of credential %q; use one of %s", s.Kind, strings.Join(Kinds, ", "))
	}
}

// CheckCertificate returns an error if there is a certificate file that cannot be used.
func (s Settings) CheckCertificate() error {
	if s.CertificateFile == "" {
		return nil
	}
	content, err := secrets.Read(context.Background(), s.CertificateFile)
	if err != nil {
		return err
	}
	_, _, err = s.parseCertificate(content)
	return err
}

func oneOf(what string, values ...string) error {
	given := 0
	for _, value := range values {
		if value != "" {
			given++
		}
	}
	switch given {
	case 0:
		return fmt.Errorf("%s is missing", what)
	case 1:
		return nil
	default:
		return fmt.Errorf("%s is given in several ways; keep one", what)
	}
}

func required(by, what, value string) error {
	if value == "" {
		return fmt.Errorf("%s needs %s", by, what)
	}
	return nil
}

// New makes the credential. Entra is asked for tokens by the transport, with bounds on
// its answers.
func New(s Settings, transport policy.Transporter) (adoqueue.Credential, error) {
	if err := s.Validate(); err != nil {
		return nil, err
	}
	if s.Kind == "" || s.Kind == PAT {
		if s.PATFile != "" {
			return adoqueue.PATFile(s.PATFile), nil
		}
		return adoqueue.PAT(s.PAT), nil
	}
	token, err := s.token(azcore.ClientOptions{Transport: adoqueue.Bounded(transport)})
	if err != nil {
		return nil, fmt.Errorf("credential %s: %w", s.Kind, err)
	}
	return adoqueue.Entra(patient{token}), nil
}

// patient distinguishes Entra's refusals from failures to reach it.
type patient struct{ azcore.TokenCredential }

// Expires returns when the credential does, zero if that is unknown.
func (p patient) Expires() time.Time {
	if known, ok := p.TokenCredential.(interface{ Expires() time.Time }); ok {
		return known.Expires()
	}
	return time.Time{}
}

func (p patient) GetToken(ctx context.Context, options policy.TokenRequestOptions) (azcore.AccessToken, error) {
	token, err := p.TokenCredential.GetToken(ctx, options)
	if failed, ok := errors.AsType[*azidentity.AuthenticationFailedError](err); ok {
		if answer := failed.RawResponse; answer == nil || answer.StatusCode >= http.StatusInternalServerError {
			err = fmt.Errorf("%w: %w", adoqueue.ErrUnavailable, err)
		}
	}
	return token, err
}

func (s Settings) token(options azcore.ClientOptions) (azcore.TokenCredential, error) {
	switch s.Kind {
	case WorkloadIdentity:
		return newWorkloadIdentity(s, options)
	case ManagedIdentity:
		managed := &azidentity.ManagedIdentityCredentialOptions{ClientOptions: options}
		if s.ClientID != "" {
			managed.ID = azidentity.ClientID(s.ClientID)
		}
		return azidentity.NewManagedIdentityCredential(managed)
	case AzureCLI:
		return azidentity.NewAzureCLICredential(&azidentity.AzureCLICredentialOptions{TenantID: s.TenantID})
	default:
		return newServicePrincipal(s, options)
	}
}
