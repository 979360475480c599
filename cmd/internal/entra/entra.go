// Package entra has the settings of an identity of Microsoft Entra ID, which both
// programs can use in place of a personal access token.
package entra

import (
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue/adoauth"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/cmd/internal/setting"
)

// Settings name an identity. The variables are those of Azure's own tools.
type Settings struct {
	TenantID            string         `name:"azure-tenant-id" env:"AZURE_TENANT_ID" placeholder:"ID" help:"Microsoft Entra tenant."`
	ClientID            string         `name:"azure-client-id" env:"AZURE_CLIENT_ID" placeholder:"ID" help:"Microsoft Entra application or managed identity."`
	ClientSecret        setting.Secret `name:"azure-client-secret" env:"AZURE_CLIENT_SECRET" hidden:"" help:"Secret of the service principal."`
	ClientSecretFile    string         `name:"azure-client-secret-file" env:"AZURE_CLIENT_SECRET_FILE" placeholder:"FILE" help:"File with the secret of the service principal, in place of $AZURE_CLIENT_SECRET. It is read again for each access token."`
	CertificateFile     string         `name:"azure-client-certificate-path" env:"AZURE_CLIENT_CERTIFICATE_PATH" placeholder:"FILE" help:"Certificate and key of the service principal (PEM or PKCS#12), read again for each access token. $AZURE_CLIENT_CERTIFICATE_PASSWORD is the password of the file."`
	CertificatePassword setting.Secret `name:"azure-client-certificate-password" env:"AZURE_CLIENT_CERTIFICATE_PASSWORD" hidden:"" help:"Password of the certificate file."`
	FederatedTokenFile  string         `name:"azure-federated-token-file" env:"AZURE_FEDERATED_TOKEN_FILE" placeholder:"FILE" help:"Token of the workload identity. Azure's webhook sets it."`
}

// Credential returns the settings of the credential: the identity or, if that is
// the kind, a token.
func (s *Settings) Credential(kind string, token setting.Secret, tokenFile string) adoauth.Settings {
	return adoauth.Settings{
		Kind: kind, PAT: token.Reveal(), PATFile: tokenFile,
		TenantID: s.TenantID, ClientID: s.ClientID,
		ClientSecret: s.ClientSecret.Reveal(), ClientSecretFile: s.ClientSecretFile,
		CertificateFile: s.CertificateFile, CertificatePassword: s.CertificatePassword.Reveal(),
		FederatedTokenFile: s.FederatedTokenFile,
	}
}

// Check reports what is wrong with a credential of the given kind.
func (s *Settings) Check(p *setting.Problems, kind *string, token *setting.Secret, tokenFile *string) {
	if !p.Sound(kind) {
		return
	}
	fields := []any{kind, &s.TenantID, &s.ClientID, &s.ClientSecret, &s.ClientSecretFile, &s.CertificateFile}
	if *kind == adoauth.PAT {
		fields = []any{kind, token, tokenFile}
	}
	if err := s.Credential(*kind, *token, *tokenFile).Validate(); err != nil {
		p.AddAll(fields, "%w", err)
	}
	if *kind == adoauth.ServicePrincipal {
		p.AddUnreadable(&s.ClientSecretFile)
		p.AddUnreadable(&s.CertificateFile)
	}
	if *kind == adoauth.WorkloadIdentity {
		p.AddUnreadable(&s.FederatedTokenFile)
	}
}
