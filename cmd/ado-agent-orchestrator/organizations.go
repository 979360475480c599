package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue/adoauth"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue/secrets"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/cmd/internal/entra"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/cmd/internal/setting"
)

// organizationFlags name one organization with its credential, or a file with
// several.
type organizationFlags struct {
	URL     adoqueue.OrganizationURL `name:"org-url" env:"ORG_URL" placeholder:"URL" unset:"required" help:"Organization, such as https://dev.azure.com/contoso or https://contoso.visualstudio.com, or a collection of Azure DevOps Server, such as https://server/tfs/DefaultCollection."`
	PAT     setting.Secret           `name:"org-pat" env:"ORG_PAT" hidden:"" help:"Personal access token with the scope Agent Pools (Read)."`
	PATFile string                   `name:"org-pat-file" env:"ORG_PAT_FILE" placeholder:"FILE" help:"File with the personal access token, in place of $ORG_PAT. It is read again for each request, so a new token takes effect at once."`
	Auth    string                   `name:"org-auth" env:"ORG_AUTH" default:"pat" enum:"pat,workload-identity,managed-identity,service-principal,azure-cli" help:"Kind of credential: pat, workload-identity, managed-identity, service-principal or azure-cli."`

	Entra entra.Settings `embed:""`

	File      organizationsFile `name:"organizations-file" env:"ORGANIZATIONS_FILE" placeholder:"FILE" help:"YAML file that lists several organizations, in place of one by $ORG_URL."`
	CAFile    setting.File      `name:"ca-file" env:"CA_FILE" placeholder:"FILE" help:"Certificate authorities (PEM) of Azure DevOps to trust besides the system's."`
	AllowHTTP bool              `name:"allow-http" env:"ALLOW_HTTP" default:"false" help:"Allow credentials to be sent over plain http to other machines."`
}

// organization is one with its credential.
type organization struct {
	url       adoqueue.OrganizationURL
	auth      adoauth.Settings
	caFile    string
	allowHTTP bool
	line      int // in ORGANIZATIONS_FILE
}

// check reports what is wrong with the organizations and their credentials.
func (f *organizationFlags) check(p *setting.Problems) {
	f.checkNames(p)
	switch {
	case !f.File.empty():
		if err := f.File.readable(); err != nil {
			p.Add(&f.File, "%w", err)
		}
	case p.Sound(&f.File):
		f.Entra.Check(p, &f.Auth, &f.PAT, &f.PATFile)
		if f.Auth == adoauth.PAT {
			p.AddUnreadable(&f.PATFile)
		}
	}
	if _, err := adoqueue.NewHTTPClient(string(f.CAFile)); err != nil {
		p.Add(&f.CAFile, "%w", err)
	}
	if f.File.empty() && !f.URL.IsZero() {
		if err := f.URL.CheckTransport(f.AllowHTTP); err != nil {
			p.AddAll([]any{&f.URL, &f.AllowHTTP}, "%w", err)
		}
	}
}

// checkNames reports what is wrong with the organizations alone.
func (f *organizationFlags) checkNames(p *setting.Problems) {
	switch {
	case !f.File.empty() && !f.URL.IsZero():
		p.AddAll([]any{&f.URL, &f.File}, "cannot be combined; list the organization in the file")
	case f.File.empty() && f.URL.IsZero():
		if p.Sound(&f.File) { // else nobody knows
			p.Add(&f.URL, "is missing; it has the form https://dev.azure.com/ORGANIZATION")
		}
	}
}

// organizations returns the one that is named, or those that are listed.
func (f *organizationFlags) organizations() []organization {
	list := f.File.organizations
	if f.File.empty() {
		list = []organization{{url: f.URL, auth: f.Entra.Credential(f.Auth, f.PAT, f.PATFile)}}
	}
	for i := range list {
		list[i].caFile = cmp.Or(list[i].caFile, string(f.CAFile))
		list[i].allowHTTP = f.AllowHTTP
	}
	return list
}

// organizationsFile is a YAML file that lists organizations.
type organizationsFile struct{ organizations []organization }

func (f *organizationsFile) empty() bool { return len(f.organizations) == 0 }

// listed is an organization in the file. Secrets are named by file only.
type listed struct {
	URL              string `yaml:"url"`
	Auth             string `yaml:"auth"`
	PATFile          string `yaml:"patFile"`
	TenantID         string `yaml:"tenantID"`
	ClientID         string `yaml:"clientID"`
	ClientSecretFile string `yaml:"clientSecretFile"`
	CertificateFile  string `yaml:"certificateFile"`
	TokenFile        string `yaml:"federatedTokenFile"`
	CAFile           string `yaml:"caFile"`
}

// UnmarshalText reads the file at a path.
func (f *organizationsFile) UnmarshalText(path []byte) error {
	content, err := secrets.Read(context.Background(), string(path))
	if err != nil {
		return err
	}
	var file struct {
		Organizations []listed `yaml:"organizations"`
	}
	decoder := yaml.NewDecoder(bytes.NewReader(content))
	decoder.KnownFields(true)
	if err := decoder.Decode(&file); err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("%s: %s", path, yamlMistakes(err))
	}
	if len(file.Organizations) == 0 {
		return fmt.Errorf("%s: lists no organizations", path)
	}
	lines := linesOf(content)
	var problems []error
	for i, l := range file.Organizations {
		o, err := l.organization()
		for _, other := range f.organizations {
			if err == nil && o.url.Same(other.url) {
				err = fmt.Errorf("%s is listed twice", o.url)
			}
		}
		if err != nil {
			problems = append(problems, fmt.Errorf("line %d: organization %d: %w", lines[i], i+1, err))
			continue
		}
		o.line = lines[i]
		f.organizations = append(f.organizations, o)
	}
	return errors.Join(problems...)
}

// linesOf returns the lines of the organizations in a file that has been decoded.
func linesOf(content []byte) (lines []int) {
	var file struct {
		Organizations []yaml.Node `yaml:"organizations"`
	}
	_ = yaml.Unmarshal(content, &file)
	for i := range file.Organizations {
		lines = append(lines, file.Organizations[i].Line)
	}
	return lines
}

// yamlMistakes returns the mistakes in a file with their lines, in words that do not
// name Go types.
func yamlMistakes(err error) string {
	text := strings.TrimPrefix(err.Error(), "yaml: ")
	if mistakes, ok := errors.AsType[*yaml.TypeError](err); ok {
		text = strings.Join(mistakes.Errors, "; ")
	}
	return goType.ReplaceAllString(text, " is not a key of an organization")
}

var goType = regexp.MustCompile(` not found in type [^\s;]+`)

func (l listed) organization() (organization, error) {
	o := organization{
		auth: adoauth.Settings{
			Kind: l.Auth, PATFile: l.PATFile, TenantID: l.TenantID, ClientID: l.ClientID,
			ClientSecretFile: l.ClientSecretFile, CertificateFile: l.CertificateFile, FederatedTokenFile: l.TokenFile,
		},
		caFile: l.CAFile,
	}
	var err error
	if o.url, err = adoqueue.ParseOrganizationURL(l.URL); err != nil {
		err = fmt.Errorf("url: %w", err)
	}
	return o, errors.Join(err, o.auth.Validate())
}

// readable returns an error if a file that the organizations name cannot be read.
func (f *organizationsFile) readable() error {
	var problems []error
	for i, o := range f.organizations {
		for _, path := range []string{o.auth.PATFile, o.auth.ClientSecretFile, o.auth.CertificateFile, o.auth.FederatedTokenFile} {
			if path == "" {
				continue
			}
			if _, err := secrets.Read(context.Background(), path); err != nil {
				problems = append(problems, fmt.Errorf("line %d: organization %d: %w", o.line, i+1, err))
			}
		}
		if _, err := adoqueue.NewHTTPClient(o.caFile); err != nil {
			problems = append(problems, fmt.Errorf("line %d: organization %d: %w", o.line, i+1, err))
		}
	}
	return errors.Join(problems...)
}

// client returns what the organization is asked by.
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
