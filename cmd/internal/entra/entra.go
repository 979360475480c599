// Package entra has the settings of an identity of Microsoft Entra ID, which both
// programs can use in place of a personal access token.
package entra

import (
	"net/http"

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
	fields := []any{kind, &s.TenantID, &s.ClientID}
	switch *kind {
	case adoauth.PAT:
		fields = []any{kind, token, tokenFile}
	case adoauth.ServicePrincipal:
		fields = append(fields, &s.ClientSecret, &s.ClientSecretFile, &s.CertificateFile)
	case adoauth.WorkloadIdentity:
		fields = append(fields, &s.FederatedTokenFile)
	}
	credential := s.Credential(*kind, *token, *tokenFile)
	valid := credential.Validate()
	if valid != nil {
		p.AddAll(fields, "%w", valid)
	}
	s.checkFiles(p, *kind, credential)
	if valid == nil && p.Sound(fields...) {
		// The rest, such as a tenant id that is none. It sends nothing.
		if _, err := adoauth.New(credential, http.DefaultClient); err != nil {
			p.AddAll(fields, "%w", err)
		}
	}
}

// checkFiles reports files of a credential that cannot be used.
func (s *Settings) checkFiles(p *setting.Problems, kind string, credential adoauth.Settings) {
	switch kind {
	case adoauth.ServicePrincipal:
		p.AddUnreadable(&s.ClientSecretFile)
		if err := credential.CheckCertificate(); err != nil {
			p.Add(&s.CertificateFile, "%w", err)
		}
	case adoauth.WorkloadIdentity:
		p.AddUnreadable(&s.FederatedTokenFile)
	}
}
