package main

import (
	"time"

	"github.com/alecthomas/kong"
	kedav1alpha1 "github.com/kedacore/keda/v2/apis/keda/v1alpha1"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/cmd/internal/setting"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/jobtemplate"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/explain/page"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/fleet"
)

// settingGroups are the groups of settings, as --help and the documents have
// them.
var settingGroups = []kong.Group{
	{Key: "azure-devops", Title: "Azure DevOps:"},
	{Key: "kubernetes", Title: "Kubernetes:"},
	{Key: "keda", Title: "KEDA:"},
	{Key: "agents", Title: "Agents:"},
	{Key: "housekeeping", Title: "Housekeeping:"},
	{Key: "process", Title: "The process:"},
}

// otherNames are names that people expect settings to have.
var otherNames = map[string]string{ //nolint:gosec // names, no credentials
	"ORG_TOKEN": "ORG_PAT", "ORG_TOKEN_FILE": "ORG_PAT_FILE",
	"AGENT_POOL_NAME": "AGENT_POOLS", "AGENT_POOL_NAMES": "AGENT_POOLS",
	"MIN_AGENT_COUNT": "MINIMUM_AGENT_COUNT", "MAX_AGENT_COUNT": "MAXIMUM_AGENT_COUNT",
	"GRPC_PORT": "GRPC_ADDR", "GRPC_ADDRESS": "GRPC_ADDR", "HTTP_PORT": "HTTP_ADDR", "HTTP_ADDRESS": "HTTP_ADDR",
	"SCALER_ADDR": "SCALER_ADDRESS", "TLS_CERT": "TLS_CERT_FILE", "TLS_KEY": "TLS_KEY_FILE",
}

// commonFlags are the settings of all commands that work with Azure DevOps.
type commonFlags struct {
	Org organizationFlags `embed:"" group:"azure-devops"`

	PollingDelay   time.Duration `name:"polling-delay" env:"POLLING_DELAY" group:"azure-devops" default:"1000" unit:"ms" min:"100ms" help:"Milliseconds between two requests about the same pool, at least 100."`
	StaleFor       time.Duration `name:"stale-for" env:"STALE_FOR" group:"azure-devops" default:"30s" min:"1s" max:"1h" help:"How long the last list of a pool's jobs is used while Azure DevOps fails. After that KEDA gets an error, never a zero."`
	Timeout        time.Duration `name:"request-timeout" env:"REQUEST_TIMEOUT" group:"azure-devops" default:"10s" min:"100ms" max:"5m" help:"Timeout of a request to Azure DevOps."`
	AcceptableWait time.Duration `name:"acceptable-wait" env:"ACCEPTABLE_WAIT" group:"azure-devops" default:"5m" min:"1s" help:"Time that a job may wait for an agent before the metrics count it as late."`
	ParallelJobs   bool          `name:"cap-by-parallel-jobs" env:"CAP_BY_PARALLEL_JOBS" group:"azure-devops" default:"false" help:"Start no more agents than the organization's parallel jobs allow, over all of its pools. It applies to count exact and to run, and takes one more request to Azure DevOps for each list of jobs."`
	AnnotateJobs   bool          `name:"annotate-jobs" env:"ANNOTATE_JOBS" group:"housekeeping" default:"false" help:"Once an agent has a job, add the pipeline, the run and its URL to the annotations of the Kubernetes Job, so that cost tools can group by them. Requires the right to patch Jobs."`

	LeaseName string `name:"lease-name" env:"LEASE_NAME" group:"kubernetes" placeholder:"NAME" unset:"made from organizations and pools" help:"Lease by which replicas elect their leader. Give it a name to restrict the right to it."`
	Election  string `name:"leader-election" env:"LEADER_ELECTION" group:"kubernetes" default:"auto" enum:"auto,on,off" help:"With several replicas, let only the leader write to Kubernetes and to pools: on, off, or auto, which is on if the process may write leases."`
}

func (f *commonFlags) check(p *setting.Problems) {
	f.Org.check(p)
	p.CheckProxy()
	if f.LeaseName == "" {
		return
	}
	if problems := validation.IsDNS1123Subdomain(f.LeaseName); len(problems) > 0 {
		p.Add(&f.LeaseName, "%q is not a name: %s", f.LeaseName, problems[0])
	}
}

// commonSettings are what the commands that run for long have in common.
type commonSettings struct {
	commonFlags
	processFlags
	organizations []organization
	// serves distinguishes this program from others that serve the same organizations.
	serves []string
	// compare returns what the page compares; nil if that is nothing.
	compare func() []page.Contender
}

// processFlags are about the process itself.
type processFlags struct {
	HTTPAddr  setting.Address `name:"http-addr" env:"HTTP_ADDR" default:":8080" help:"Address of /metrics, /healthz, /readyz and the status."`
	Status    bool            `name:"status" env:"STATUS" default:"true" negatable:"" help:"Serve the status of each pipeline job on $HTTP_ADDR: as a page (/), and as JSON for the command explain (/status.json)."`
	LogLevel  string          `name:"log-level" env:"LOG_LEVEL" default:"info" enum:"debug,info,warn,error" help:"Least severe level that is logged: debug, info, warn or error."`
	LogFormat string          `name:"log-format" env:"LOG_FORMAT" default:"json" enum:"json,console" help:"Format of the log: json or console."`
}

// kedaFlags are about how KEDA reaches the scaler.
type kedaFlags struct {
	GRPCAddr        setting.Address `name:"grpc-addr" env:"GRPC_ADDR" default:":9090" help:"Address of the gRPC service that KEDA calls."`
	TLSCertFile     setting.File    `name:"tls-cert-file" env:"TLS_CERT_FILE" placeholder:"FILE" help:"Certificate (PEM) of the gRPC service, which switches TLS on. It is read again for each connection."`
	TLSKeyFile      setting.File    `name:"tls-key-file" env:"TLS_KEY_FILE" placeholder:"FILE" help:"Key (PEM) of the gRPC service's certificate."`
	TLSClientCAFile setting.File    `name:"tls-client-ca-file" env:"TLS_CLIENT_CA_FILE" placeholder:"FILE" help:"Certificate authorities (PEM) of KEDA's certificate, which switches mutual TLS on."`
}

func (f *kedaFlags) check(p *setting.Problems) {
	files := []any{&f.TLSCertFile, &f.TLSKeyFile, &f.TLSClientCAFile}
	switch {
	case (f.TLSCertFile == "") != (f.TLSKeyFile == ""):
		p.AddAll(files[:2], "go together; one of them is missing")
	case f.TLSClientCAFile != "" && f.TLSCertFile == "":
		p.AddAll([]any{&f.TLSClientCAFile, &f.TLSCertFile, &f.TLSKeyFile}, "mutual TLS requires a certificate and its key")
	case p.Sound(files...):
		f.checkFiles(p)
	}
}

func (f *kedaFlags) checkFiles(p *setting.Problems) {
	if f.TLSCertFile == "" {
		return
	}
	pair, clientCA := f.tlsFiles().Check()
	if pair != nil {
		p.AddAll([]any{&f.TLSCertFile, &f.TLSKeyFile}, "%w", pair)
	}
	if clientCA != nil {
		p.Add(&f.TLSClientCAFile, "%w", clientCA)
	}
}

// tls returns the TLS configuration of the gRPC service, nil if it has none.
func (f *kedaFlags) tls() (*scaler.TLS, error) {
	if f.TLSCertFile == "" {
		return nil, nil //nolint:nilnil // no configuration is no TLS
	}
	return scaler.LoadTLS(f.tlsFiles())
}

func (f *kedaFlags) tlsFiles() scaler.TLSFiles {
	return scaler.TLSFiles{Cert: string(f.TLSCertFile), Key: string(f.TLSKeyFile), ClientCA: string(f.TLSClientCAFile)}
}

// viewFlags are about the view of Kubernetes.
type viewFlags struct {
	Kube           string   `name:"kube" env:"KUBE" default:"auto" enum:"auto,on,off" help:"Watch ScaledJobs and Jobs, which count exact needs: on, off, or auto, which is off if Kubernetes refuses them, and waits while it does not answer. In a cluster the service account is used, elsewhere KUBECONFIG."`
	KubeNamespaces []string `name:"kube-namespaces" env:"KUBE_NAMESPACES" placeholder:"NAMESPACE" unset:"all" help:"Comma-separated namespaces to watch."`
}

func (f *viewFlags) check(p *setting.Problems) {
	for _, namespace := range f.KubeNamespaces {
		if problems := validation.IsDNS1123Label(namespace); len(problems) > 0 {
			p.Add(&f.KubeNamespaces, "%q is not a namespace: %s", namespace, problems[0])
		}
	}
}

// serveFlags are the settings of serve.
type serveFlags struct {
	Common       commonFlags       `embed:""`
	KEDA         kedaFlags         `embed:"" group:"keda"`
	ScaledJobs   scaledJobFlags    `embed:"" group:"keda"`
	View         viewFlags         `embed:"" group:"kubernetes"`
	Agents       agentFlags        `embed:"" group:"agents"`
	Housekeeping housekeepingFlags `embed:"" group:"housekeeping"`
	Process      processFlags      `embed:"" group:"process"`
}

// Check reports what is wrong with the settings of serve.
func (f *serveFlags) Check(p *setting.Problems) {
	f.Common.check(p)
	f.KEDA.check(p)
	f.View.check(p)
	if len(f.Agents.Pools) > 0 || !p.Sound(&f.Agents.Pools) {
		f.Agents.checkScaledJobs(p, &f.Common.Org, &f.ScaledJobs)
	} else {
		f.Agents.checkUnused(p, &f.Common.Org, &f.ScaledJobs)
	}
	f.Housekeeping.check(p, f)
}

// settings are what serve works with.
type settings struct {
	commonSettings
	keda              kedaFlags
	view              viewFlags
	agents            agents
	scaledJobs        []*kedav1alpha1.ScaledJob // of AGENT_POOLS
	scalerAddress     string
	housekeeper       housekeeper
	viewRetryInterval time.Duration
	// simulated stands for Kubernetes, nil if there is a real one.
	simulated *fleet.Fleet
}

// settings returns what serve works with, once the flags are checked.
func (f *serveFlags) settings() (settings, error) {
	s := settings{
		commonSettings: commonSettings{
			commonFlags: f.Common, processFlags: f.Process, organizations: f.Common.Org.organizations(),
		},
		keda: f.KEDA, view: f.View,
		scalerAddress: f.ScaledJobs.Address,
		housekeeper:   f.Housekeeping.housekeeper(&f.ScaledJobs, f.Common.AnnotateJobs), viewRetryInterval: viewRetryInterval,
	}
	if len(f.Agents.Pools) == 0 {
		return s, nil
	}
	scaling := f.ScaledJobs
	if f.Housekeeping.DryRun {
		scaling.EvictableIdle = false // nothing would protect agents in place of their annotations
	}
	s.agents = f.Agents.agents(&f.Common.Org, &scaling)
	var err error
	s.scaledJobs, err = each(s.agents.pools, jobtemplate.ScaledJob)
	return s, err
}
