package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"slices"
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
	// line and number are those of its entry in ORGANIZATIONS_FILE.
	line, number int
}

// check reports what is wrong with the organizations and their credentials.
func (f *organizationFlags) check(p *setting.Problems) {
	f.checkNames(p)
	switch {
	case !f.File.empty():
		for _, err := range f.File.credentialProblems(f.AllowHTTP) {
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
	for _, err := range f.File.problems {
		p.Add(&f.File, "%w", err)
	}
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
type organizationsFile struct {
	organizations []organization
	problems      []error // of their names
}

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
	for i, l := range file.Organizations {
		o := l.organization()
		o.line, o.number = lines[i], i+1
		o.url, err = adoqueue.ParseOrganizationURL(l.URL)
		if err != nil {
			f.problems = append(f.problems, o.problem(fmt.Errorf("url: %w", err)))
		}
		same := func(other organization) bool { return !other.url.IsZero() && o.url.Same(other.url) }
		if err == nil && slices.ContainsFunc(f.organizations, same) {
			f.problems = append(f.problems, o.problem(fmt.Errorf("%s is listed twice", o.url)))
		}
		f.organizations = append(f.organizations, o)
	}
	return nil
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

// organization returns what is listed, but for its address.
func (l listed) organization() organization {
	return organization{
		auth: adoauth.Settings{
			Kind: l.Auth, PATFile: l.PATFile, TenantID: l.TenantID, ClientID: l.ClientID,
			ClientSecretFile: l.ClientSecretFile, CertificateFile: l.CertificateFile, FederatedTokenFile: l.TokenFile,
		},
		caFile: l.CAFile,
	}
}

// problem returns an error about an organization in the file.
func (o organization) problem(err error) error {
	return fmt.Errorf("line %d: organization %d: %w", o.line, o.number, err)
}

// credentialProblems returns what is wrong with the credentials in the file, and with
// the files that it names.
func (f *organizationsFile) credentialProblems(allowHTTP bool) (problems []error) {
	for _, o := range f.organizations {
		for _, err := range o.credentialProblems(allowHTTP) {
			problems = append(problems, o.problem(err))
		}
	}
	return problems
}

func (o organization) credentialProblems(allowHTTP bool) (problems []error) {
	add := func(key string, err error) {
		if err != nil {
			problems = append(problems, fmt.Errorf("%s: %w", key, err))
		}
	}
	add("auth", o.auth.Validate())
	add("patFile", readable(o.auth.PATFile))
	add("clientSecretFile", readable(o.auth.ClientSecretFile))
	add("certificateFile", o.auth.CheckCertificate())
	add("federatedTokenFile", readable(o.auth.FederatedTokenFile))
	_, err := adoqueue.NewHTTPClient(o.caFile)
	add("caFile", err)
	if !o.url.IsZero() {
		add("url", o.url.CheckTransport(allowHTTP))
	}
	if len(problems) == 0 {
		_, err = adoauth.New(o.auth, http.DefaultClient) // the rest; it sends nothing
		add("auth", err)
	}
	return problems
}

// readable returns an error if there is a path of a file that cannot be read.
func readable(path string) error {
	if path == "" {
		return nil
	}
	_, err := secrets.Read(context.Background(), path)
	return err
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
