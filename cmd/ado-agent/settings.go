package main

import (
	"cmp"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"time"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue/adoauth"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/cmd/internal/entra"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/cmd/internal/setting"
)

// The roles of a container.
const (
	roleSingle = "single"
	roleKeeper = "keeper"
	roleRunner = "runner"
)

// flags are the settings.
type flags struct {
	URL       adoqueue.OrganizationURL `name:"url" env:"AZP_URL" placeholder:"URL" unset:"required" help:"Organization, such as https://dev.azure.com/contoso, or a collection of Azure DevOps Server."`
	Token     setting.Secret           `name:"token" env:"AZP_TOKEN" hidden:"" help:"Personal access token with the scope Agent Pools (Read & manage)."`
	TokenFile string                   `name:"token-file" env:"AZP_TOKEN_FILE" placeholder:"FILE" help:"File with the personal access token, which wins over $AZP_TOKEN. Jobs can read a file that the agent's user can read."`
	Auth      string                   `name:"auth" env:"AZP_AUTH" default:"pat" enum:"pat,workload-identity,managed-identity,service-principal,azure-cli" help:"Kind of credential: pat, workload-identity, managed-identity, service-principal or azure-cli."`

	Entra entra.Settings `embed:""`

	Role      string `name:"role" env:"AZP_ROLE" default:"single" enum:"single,keeper,runner" help:"Role of this container: single (everything) or, in a pod of two, keeper (holds the credential, runs no job) or runner (runs the job, holds no credential)."`
	SharedDir string `name:"shared-dir" env:"AZP_SHARED_DIR" default:"/azp/shared" help:"Folder that keeper and runner share."`

	Pool         string                `name:"pool" env:"AZP_POOL" default:"Default" help:"Agent pool."`
	Name         string                `name:"agent-name" env:"AZP_AGENT_NAME" placeholder:"NAME" unset:"host name" help:"Name of the agent in the pool. The scaler identifies its agents by it: set it to the name of the pod."`
	Work         string                `name:"work" env:"AZP_WORK" default:"_work" help:"Folder for jobs, relative to that of the agent."`
	Folder       string                `name:"agent-dir" env:"AZP_AGENT_DIR" placeholder:"FOLDER" unset:"/azp/agent" help:"Folder of the agent, writable by this user. If it contains no agent, one is downloaded into it. The default on Windows is C:\\azp\\agent."`
	Capabilities adoqueue.Capabilities `name:"capabilities" env:"AZP_CAPABILITIES" placeholder:"NAME=VALUE" help:"Capabilities of the agent, such as docker,java=17. One without a value gets the value true. They replace those of an earlier agent of this name."`
	Package      string                `name:"agent-package" env:"AZP_AGENT_PACKAGE" default:"agent" enum:"agent,pipelines-agent" help:"Package to download if the folder contains no agent: agent, or pipelines-agent, which comes without old versions of Node."`
	ShowSecrets  bool                  `name:"show-secret-variables" env:"AZP_SHOW_SECRET_VARIABLES" default:"false" help:"Show variables in the pool whose names suggest a secret, such as NPM_TOKEN."`
	JobFile      string                `name:"job-file" env:"AZP_JOB_FILE" placeholder:"FILE" unset:"/tmp/ado-agent-job" help:"File that exists while the agent has a job. The default on Windows is ado-agent-job in the folder for temporary files."`

	IdleTimeout  time.Duration `name:"idle-timeout" env:"AZP_IDLE_TIMEOUT" default:"0" help:"Time after which an agent without a job ends; 0 disables."`
	GracePeriod  time.Duration `name:"grace-period" env:"AZP_GRACE_PERIOD" default:"30s" min:"1s" help:"terminationGracePeriodSeconds of the pod. After SIGTERM a job may continue for this time, less the time to leave the pool."`
	StartTimeout time.Duration `name:"start-timeout" env:"AZP_START_TIMEOUT" default:"10m" min:"1s" help:"Timeout of downloading and configuring the agent, with retries after network failures."`
	LeaveTimeout time.Duration `name:"leave-timeout" env:"AZP_LEAVE_TIMEOUT" default:"30s" min:"1s" help:"Timeout of leaving the pool."`

	CAFile    string `name:"ca-file" env:"AZP_CA_FILE" placeholder:"FILE" help:"Certificate authorities (PEM) to trust besides the system's, for the agent and its jobs as well."`
	AllowHTTP bool   `name:"allow-http" env:"AZP_ALLOW_HTTP" default:"false" help:"Allow the credential to be sent over plain http to other machines."`
	LogLevel  string `name:"log-level" env:"AZP_LOG_LEVEL" default:"info" enum:"debug,info,warn,error" help:"Least severe level that is logged: debug, info, warn or error."`
	LogFormat string `name:"log-format" env:"AZP_LOG_FORMAT" default:"console" enum:"json,console" help:"Format of the log: json or console."`
}

// Check reports what is wrong with the settings, and completes what is not set.
func (f *flags) Check(p *setting.Problems) {
	if f.TokenFile != "" {
		f.Token = "" // as in Microsoft's script, the file wins
	}
	if f.Role == roleRunner {
		if f.Token != "" || f.TokenFile != "" {
			p.AddAll([]any{&f.Role, &f.Token, &f.TokenFile}, "the container that runs jobs (AZP_ROLE=runner) must have no token; set it for the keeper only")
		}
	} else if p.Sound(&f.Role) {
		if f.URL.IsZero() {
			p.Add(&f.URL, "is missing; it has the form https://dev.azure.com/ORGANIZATION")
		}
		f.Entra.Check(p, &f.Auth, &f.Token, &f.TokenFile)
	}
	if host, err := os.Hostname(); f.Name == "" {
		if f.Name = host; err != nil {
			p.Add(&f.Name, "is missing, and the host has no name: %w", err)
		}
	}
	f.JobFile = cmp.Or(f.JobFile, filepath.Join(os.TempDir(), "ado-agent-job"))
	// The agent runs in another folder.
	f.Folder = cmp.Or(f.Folder, defaultFolder())
	for _, path := range []*string{&f.SharedDir, &f.CAFile, &f.Folder} {
		absolute(p, path)
	}
	if _, err := adoqueue.NewHTTPClient(f.CAFile); err != nil {
		p.Add(&f.CAFile, "%w", err)
	}
	p.CheckProxy()
}

func absolute(p *setting.Problems, path *string) {
	if *path == "" {
		return
	}
	full, err := filepath.Abs(*path)
	if err != nil {
		p.Add(path, "%w", err)
		return
	}
	*path = full
}

func defaultFolder() string {
	if runtime.GOOS == "windows" {
		return `C:\azp\agent`
	}
	return "/azp/agent"
}

// ours are the launcher's own variables, which jobs have no use for.
var ours = func() (names []string) {
	for _, field := range reflect.VisibleFields(reflect.TypeFor[flags]()) {
		if name := field.Tag.Get("env"); strings.HasPrefix(name, "AZP_") {
			names = append(names, name)
		}
	}
	return names
}()

// credential returns what is needed to make the credential: nothing for a runner,
// which has none and passes none on to jobs.
func (f *flags) credential() adoauth.Settings {
	if f.Role == roleRunner {
		return adoauth.Settings{}
	}
	return f.Entra.Credential(f.Auth, f.Token, f.TokenFile)
}
