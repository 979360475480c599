package main

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.uber.org/zap/zapcore"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue/adoauth"
)

// flags are the settings as given. They are texts, so that all mistakes in them
// are found before any is reported. Secrets have no flag: every process of the
// container can read the arguments of the others.
type flags struct {
	URL       string `name:"url" env:"AZP_URL" help:"Organization, e.g. https://dev.azure.com/contoso, or collection of an Azure DevOps Server."`
	TokenFile string `name:"token-file" env:"AZP_TOKEN_FILE" help:"File with the personal access token, in place of $AZP_TOKEN."`
	Auth      string `name:"auth" env:"AZP_AUTH" default:"pat" help:"Kind of credential: pat, workload-identity, managed-identity, service-principal or azure-cli."`

	TenantID           string `name:"azure-tenant-id" env:"AZURE_TENANT_ID" help:"Entra tenant."`
	ClientID           string `name:"azure-client-id" env:"AZURE_CLIENT_ID" help:"Entra application or managed identity."`
	ClientSecretFile   string `name:"azure-client-secret-file" env:"AZURE_CLIENT_SECRET_FILE" help:"File with the secret of the service principal, in place of $AZURE_CLIENT_SECRET."`
	CertificateFile    string `name:"azure-client-certificate-path" env:"AZURE_CLIENT_CERTIFICATE_PATH" help:"Certificate and key of the service principal (PEM or PKCS#12)."`
	FederatedTokenFile string `name:"azure-federated-token-file" env:"AZURE_FEDERATED_TOKEN_FILE" help:"Token of the workload identity."`

	Role      string `name:"role" env:"AZP_ROLE" default:"single" help:"What this container does: single (all), or, in a pod of two, keeper (holds the credential, runs no job) or runner (runs the job, holds no credential)."`
	SharedDir string `name:"shared-dir" env:"AZP_SHARED_DIR" default:"/azp/shared" help:"Folder that keeper and runner share."`

	Pool         string `name:"pool" env:"AZP_POOL" default:"Default" help:"Agent pool."`
	Name         string `name:"agent-name" env:"AZP_AGENT_NAME" help:"Name of the agent in the pool; default: the host's."`
	Work         string `name:"work" env:"AZP_WORK" default:"_work" help:"Folder for jobs; relative to the agent's."`
	Folder       string `name:"agent-dir" env:"AZP_AGENT_DIR" help:"Folder of the agent; if it holds none, one is fetched into it. Default: /azp/agent, on Windows C:\\azp\\agent."`
	Capabilities string `name:"capabilities" env:"AZP_CAPABILITIES" help:"Capabilities of the agent, such as docker,java=17."`
	Package      string `name:"agent-package" env:"AZP_AGENT_PACKAGE" default:"agent" help:"Package to fetch if the folder holds no agent: agent, or pipelines-agent, which comes without old versions of Node."`
	ShowSecrets  string `name:"show-secret-variables" env:"AZP_SHOW_SECRET_VARIABLES" default:"false" help:"Show variables in the pool whose names say that they hold a secret, such as NPM_TOKEN: true or false."`
	JobFile      string `name:"job-file" env:"AZP_JOB_FILE" help:"File that is there once the agent has a job. Default: ado-agent-job in the folder for temporary files."`

	IdleTimeout  string `name:"idle-timeout" env:"AZP_IDLE_TIMEOUT" default:"0" help:"How long to wait for a job, e.g. 10m; 0 means for ever."`
	GracePeriod  string `name:"grace-period" env:"AZP_GRACE_PERIOD" default:"30s" help:"The pod's terminationGracePeriodSeconds: a job may go on for that long, less what leaving takes."`
	StartTimeout string `name:"start-timeout" env:"AZP_START_TIMEOUT" default:"10m" help:"How long fetching and configuring the agent may take, retries after network failures included."`
	LeaveTimeout string `name:"leave-timeout" env:"AZP_LEAVE_TIMEOUT" default:"30s" help:"How long getting out of the pool may take."`

	CAFile    string `name:"ca-file" env:"AZP_CA_FILE" help:"Certificate authorities (PEM) to trust besides the system's; for the agent and its jobs too."`
	AllowHTTP string `name:"allow-http" env:"AZP_ALLOW_HTTP" default:"false" help:"Allow the credential to be sent over plain http to other machines: true or false."`
	LogLevel  string `name:"log-level" env:"AZP_LOG_LEVEL" default:"info" help:"debug, info, warn or error."`
	LogFormat string `name:"log-format" env:"AZP_LOG_FORMAT" default:"console" help:"json or console."`
}

// settings are the checked ones.
type settings struct {
	url       adoqueue.OrganizationURL
	auth      adoauth.Settings
	allowHTTP bool
	caFile    string

	pool, name, work string
	folder, jobFile  string
	role, shared     string
	packageType      string
	showSecrets      bool
	capabilities     adoqueue.Capabilities

	idle, grace, start, leave time.Duration

	logLevel   zapcore.Level
	logConsole bool
}

// check gives the settings, or an error that holds every mistake.
func (f flags) check() (settings, error) {
	m := &mistakes{}
	s := settings{
		role: f.Role, shared: m.absolute("AZP_SHARED_DIR (--shared-dir)", f.SharedDir),
		caFile: m.absolute("AZP_CA_FILE (--ca-file)", f.CAFile),
		pool:   f.Pool, name: f.Name, work: f.Work, packageType: f.Package,
		folder:  m.absolute("AZP_AGENT_DIR (--agent-dir)", cmp.Or(f.Folder, defaultFolder())),
		jobFile: cmp.Or(f.JobFile, filepath.Join(os.TempDir(), "ado-agent-job")),

		idle:  m.duration("AZP_IDLE_TIMEOUT (--idle-timeout)", f.IdleTimeout, 0),
		grace: m.duration("AZP_GRACE_PERIOD (--grace-period)", f.GracePeriod, time.Second),
		start: m.duration("AZP_START_TIMEOUT (--start-timeout)", f.StartTimeout, time.Second),
		leave: m.duration("AZP_LEAVE_TIMEOUT (--leave-timeout)", f.LeaveTimeout, time.Second),

		logConsole: f.LogFormat == "console",
	}
	m.choice("AZP_ROLE (--role)", f.Role, roleSingle, roleKeeper, roleRunner)
	if f.Role == roleRunner {
		m.noCredential(f)
	} else {
		m.access(f, &s)
	}
	var err error
	if s.capabilities, err = adoqueue.ParseCapabilities(f.Capabilities); err != nil {
		m.add("AZP_CAPABILITIES (--capabilities)", "%s", oneLine(err))
	}
	if s.allowHTTP, err = strconv.ParseBool(f.AllowHTTP); err != nil {
		m.add("AZP_ALLOW_HTTP (--allow-http)", "%q is neither true nor false", f.AllowHTTP)
	}
	if s.showSecrets, err = strconv.ParseBool(f.ShowSecrets); err != nil {
		m.add("AZP_SHOW_SECRET_VARIABLES (--show-secret-variables)", "%q is neither true nor false", f.ShowSecrets)
	}
	m.choice("AZP_AGENT_PACKAGE (--agent-package)", f.Package, adoqueue.AgentPackage, adoqueue.SlimAgentPackage)
	if s.name == "" {
		if s.name, err = os.Hostname(); err != nil {
			m.add("AZP_AGENT_NAME (--agent-name)", "is missing, and the host has no name: %w", err)
		}
	}
	m.choice("AZP_LOG_FORMAT (--log-format)", f.LogFormat, "json", "console")
	m.choice("AZP_LOG_LEVEL (--log-level)", f.LogLevel, "debug", "info", "warn", "error")
	s.logLevel, _ = zapcore.ParseLevel(f.LogLevel)
	return s, m.err()
}

// The roles of a container.
const (
	roleSingle = "single"
	roleKeeper = "keeper"
	roleRunner = "runner"
)

// mistakes gathers what is wrong with settings.
type mistakes []error

// access checks where the agent goes, and by what right.
func (m *mistakes) access(f flags, s *settings) {
	s.auth = m.auth(f)
	var err error
	if f.URL == "" {
		m.add("AZP_URL (--url)", "is missing; it has the form https://dev.azure.com/ORGANIZATION")
	} else if s.url, err = adoqueue.ParseOrganizationURL(f.URL); err != nil {
		m.add("AZP_URL (--url)", "%w", err)
	}
}

// noCredential refuses what must not be where jobs run.
func (m *mistakes) noCredential(f flags) {
	if os.Getenv("AZP_TOKEN") != "" || f.TokenFile != "" {
		m.add("AZP_TOKEN, AZP_TOKEN_FILE", "must not be given to the container that runs jobs (AZP_ROLE=runner); give it to the keeper only")
	}
}

func (m *mistakes) add(setting, format string, args ...any) {
	*m = append(*m, fmt.Errorf("%s: %w", setting, fmt.Errorf(format, args...)))
}

func (m *mistakes) err() error {
	if len(*m) == 0 {
		return nil
	}
	return failure{exitSettings, fmt.Errorf("the settings cannot be used:\n%w\nsee --help", errors.Join(*m...))}
}

func (m *mistakes) choice(setting, value string, allowed ...string) {
	if !slices.Contains(allowed, value) {
		m.add(setting, "%q is not one of %s", value, strings.Join(allowed, ", "))
	}
}

// duration reads 10m or, as Kubernetes has it, a number of seconds.
func (m *mistakes) duration(setting, text string, least time.Duration) time.Duration {
	d, err := time.ParseDuration(text)
	if err != nil {
		d, err = time.ParseDuration(text + "s")
	}
	if err != nil || d < least {
		m.add(setting, "%q is not a duration such as 90s or 10m, from %s", text, least)
	}
	return d
}

// absolute is for files that the agent is told, which runs in another folder.
func (m *mistakes) absolute(setting, path string) string {
	if path == "" {
		return ""
	}
	full, err := filepath.Abs(path)
	if err != nil {
		m.add(setting, "%w", err)
	}
	return full
}

func (m *mistakes) auth(f flags) adoauth.Settings {
	auth := adoauth.Settings{
		Kind: f.Auth, PAT: os.Getenv("AZP_TOKEN"), PATFile: f.TokenFile, TenantID: f.TenantID, ClientID: f.ClientID,
		ClientSecret: os.Getenv("AZURE_CLIENT_SECRET"), ClientSecretFile: f.ClientSecretFile,
		CertificateFile: f.CertificateFile, CertificatePassword: os.Getenv("AZURE_CLIENT_CERTIFICATE_PASSWORD"),
		FederatedTokenFile: f.FederatedTokenFile,
	}
	if auth.PATFile != "" {
		auth.PAT = "" // as in Microsoft's script, the file wins
	}
	if err := auth.Validate(); err != nil {
		m.add("AZP_AUTH, AZP_TOKEN, AZP_TOKEN_FILE, AZURE_…", "%s", oneLine(err))
	}
	return auth
}

func defaultFolder() string {
	if runtime.GOOS == "windows" {
		return `C:\azp\agent`
	}
	return "/azp/agent"
}

func oneLine(err error) string { return strings.ReplaceAll(err.Error(), "\n", ", ") }
