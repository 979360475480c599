package main

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"sigs.k8s.io/yaml"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue/adoauth"
)

// organizationFlags name one organization with its credential, or a file with
// several.
type organizationFlags struct {
	URL     string `name:"org-url" env:"ORG_URL" help:"Organization, e.g. https://dev.azure.com/contoso, or collection of an Azure DevOps Server."`
	PAT     string `name:"org-pat" env:"ORG_PAT" help:"Personal access token with the scope Agent Pools (Read)."`
	PATFile string `name:"org-pat-file" env:"ORG_PAT_FILE" help:"File with the personal access token; re-read for every request."`
	Auth    string `name:"org-auth" env:"ORG_AUTH" default:"pat" help:"Kind of credential: pat, workload-identity, managed-identity, service-principal or azure-cli."`

	TenantID            string `name:"azure-tenant-id" env:"AZURE_TENANT_ID" help:"Entra tenant."`
	ClientID            string `name:"azure-client-id" env:"AZURE_CLIENT_ID" help:"Entra application or managed identity."`
	ClientSecret        string `name:"azure-client-secret" env:"AZURE_CLIENT_SECRET" help:"Secret of the service principal."`
	ClientSecretFile    string `name:"azure-client-secret-file" env:"AZURE_CLIENT_SECRET_FILE" help:"File with the secret of the service principal."`
	CertificateFile     string `name:"azure-client-certificate-path" env:"AZURE_CLIENT_CERTIFICATE_PATH" help:"Certificate and key of the service principal (PEM or PKCS#12)."`
	CertificatePassword string `name:"azure-client-certificate-password" env:"AZURE_CLIENT_CERTIFICATE_PASSWORD" help:"Password of that file."`
	FederatedTokenFile  string `name:"azure-federated-token-file" env:"AZURE_FEDERATED_TOKEN_FILE" help:"Token of the workload identity."`

	File      string `name:"organizations-file" env:"ORGANIZATIONS_FILE" help:"YAML file that lists several organizations, in place of the settings above."`
	CAFile    string `name:"ca-file" env:"CA_FILE" help:"Certificate authorities (PEM) to trust besides the system's."`
	AllowHTTP yesNo  `name:"allow-http" env:"ALLOW_HTTP" help:"Allow credentials to be sent over plain http to other machines."`
}

// organization is a checked one.
type organization struct {
	url       adoqueue.OrganizationURL
	auth      adoauth.Settings
	caFile    string
	allowHTTP bool
}

// listed is an organization in the file. It names files where the flags also
// take secrets by value.
type listed struct {
	URL              string `json:"url"`
	Auth             string `json:"auth"`
	PATFile          string `json:"patFile"`
	TenantID         string `json:"tenantID"`
	ClientID         string `json:"clientID"`
	ClientSecretFile string `json:"clientSecretFile"`
	CertificateFile  string `json:"certificateFile"`
	TokenFile        string `json:"federatedTokenFile"`
	CAFile           string `json:"caFile"`
}

func (m *mistakes) organizations(f organizationFlags) []organization {
	list := m.namedOrganizations(f)
	m.file("CA_FILE (--ca-file)", f.CAFile)
	allowHTTP := m.yesNo("ALLOW_HTTP (--allow-http)", f.AllowHTTP)
	for i := range list {
		list[i].allowHTTP = allowHTTP
	}
	return list
}

func (m *mistakes) namedOrganizations(f organizationFlags) []organization {
	if f.File != "" {
		if f.URL != "" {
			m.add("ORG_URL and ORGANIZATIONS_FILE", "exclude each other; list the organization in the file")
		}
		return m.listedOrganizations(f)
	}
	if f.URL == "" {
		m.add("ORG_URL (--org-url)", "is missing; it has the form https://dev.azure.com/ORGANIZATION")
		return nil
	}
	auth := adoauth.Settings{
		Kind: f.Auth, PAT: f.PAT, PATFile: f.PATFile, TenantID: f.TenantID, ClientID: f.ClientID,
		ClientSecret:     f.ClientSecret,
		ClientSecretFile: m.file("AZURE_CLIENT_SECRET_FILE (--azure-client-secret-file)", f.ClientSecretFile),
		CertificateFile:  m.file("AZURE_CLIENT_CERTIFICATE_PATH (--azure-client-certificate-path)", f.CertificateFile), CertificatePassword: f.CertificatePassword,
		FederatedTokenFile: f.FederatedTokenFile,
	}
	if err := auth.Validate(); err != nil {
		m.add("ORG_AUTH, ORG_PAT, ORG_PAT_FILE, AZURE_…", "%s", oneLine(err))
	}
	url, err := adoqueue.ParseOrganizationURL(f.URL)
	if err != nil {
		m.add("ORG_URL (--org-url)", "%w", err)
	}
	return []organization{{url: url, auth: auth, caFile: f.CAFile}}
}

func (m *mistakes) listedOrganizations(f organizationFlags) []organization {
	const setting = "ORGANIZATIONS_FILE (--organizations-file)"
	var file struct {
		Organizations []listed `json:"organizations"`
	}
	content, err := os.ReadFile(f.File)
	if err == nil {
		err = yaml.UnmarshalStrict(content, &file)
	}
	if err == nil && len(file.Organizations) == 0 {
		err = errors.New("lists no organizations")
	}
	if err != nil {
		m.add(setting, "%s: %s", f.File, oneLine(err))
		return nil
	}
	var organizations []organization
	for i, l := range file.Organizations {
		o, err := l.organization(f)
		for _, other := range organizations {
			if err == nil && o.url.Same(other.url) {
				err = fmt.Errorf("%s is listed twice", o.url)
			}
		}
		if err != nil {
			m.add(setting, "organization %d: %s", i+1, oneLine(err))
			continue
		}
		organizations = append(organizations, o)
	}
	return organizations
}

func (l listed) organization(f organizationFlags) (organization, error) {
	o := organization{
		auth: adoauth.Settings{
			Kind: l.Auth, PATFile: l.PATFile, TenantID: l.TenantID, ClientID: l.ClientID,
			ClientSecretFile: l.ClientSecretFile, CertificateFile: l.CertificateFile, FederatedTokenFile: l.TokenFile,
		},
		caFile: f.CAFile,
	}
	if l.CAFile != "" {
		o.caFile = l.CAFile
	}
	var err error
	if o.url, err = adoqueue.ParseOrganizationURL(l.URL); err != nil {
		err = fmt.Errorf("url: %w", err)
	}
	return o, errors.Join(err, o.auth.Validate())
}

// client makes what the organization is asked by.
func (o organization) client(metrics *adoqueue.Metrics) (*adoqueue.Client, error) {
	transport, err := adoqueue.NewHTTPClient(o.caFile)
	if err != nil {
		return nil, err
	}
	credential, err := adoauth.New(o.auth, transport)
	if err != nil {
		return nil, fmt.Errorf("organization %s: %w", o.url, err)
	}
	return adoqueue.NewClient(o.url, credential, adoqueue.Options{
		HTTPClient: transport, AllowHTTP: o.allowHTTP, Metrics: metrics,
	})
}

func oneLine(err error) string { return strings.ReplaceAll(err.Error(), "\n", ", ") }
