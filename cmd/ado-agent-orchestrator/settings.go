package main

import (
	"time"

	kedav1alpha1 "github.com/kedacore/keda/v2/apis/keda/v1alpha1"
)

// commonFlags are the settings of all commands that work with Azure DevOps, as
// given. They are texts, so that all mistakes in them are found before any is
// reported.
type commonFlags struct {
	Org organizationFlags `embed:""`

	HTTPAddr     string `name:"http-addr" env:"HTTP_ADDR" default:":8080" help:"Address of /metrics, /healthz and /readyz."`
	PollingDelay string `name:"polling-delay" env:"POLLING_DELAY" default:"1000" help:"Milliseconds between two requests about one pool, at least; from 100."`
	StaleFor     string `name:"stale-for" env:"STALE_FOR" default:"30s" help:"How old the last snapshot may grow while Azure DevOps fails."`
	Timeout      string `name:"request-timeout" env:"REQUEST_TIMEOUT" default:"10s" help:"How long Azure DevOps may take to answer."`
	ParallelJobs yesNo  `name:"cap-by-parallel-jobs" env:"CAP_BY_PARALLEL_JOBS" default:"false" help:"No more agents than the organization's parallel jobs let run."`
	Election     string `name:"leader-election" env:"LEADER_ELECTION" default:"auto" help:"One of several replicas at a time writes to Kubernetes and to pools: on, off, or auto (on if leases may be written)."`

	LogLevel  string `name:"log-level" env:"LOG_LEVEL" default:"info" help:"debug, info, warn or error."`
	LogFormat string `name:"log-format" env:"LOG_FORMAT" default:"json" help:"json or console."`
}

// commonSettings are checked ones.
type commonSettings struct {
	organizations     []organization
	httpAddr          string
	pollingDelay      time.Duration
	staleFor          time.Duration
	timeout           time.Duration
	capByParallelJobs bool
	election          string
	// serves tells this program from others that serve the same organizations.
	serves []string
	log    logSettings
}

func (m *mistakes) common(f commonFlags) commonSettings {
	m.choice("LEADER_ELECTION (--leader-election)", f.Election, ifPossible, on, off)
	return commonSettings{
		organizations:     m.organizations(f.Org),
		httpAddr:          f.HTTPAddr,
		pollingDelay:      m.milliseconds("POLLING_DELAY (--polling-delay)", f.PollingDelay, 100),
		staleFor:          m.duration("STALE_FOR (--stale-for)", f.StaleFor),
		timeout:           m.duration("REQUEST_TIMEOUT (--request-timeout)", f.Timeout),
		capByParallelJobs: m.yesNo("CAP_BY_PARALLEL_JOBS (--cap-by-parallel-jobs)", f.ParallelJobs),
		election:          f.Election,
		log:               m.log(f.LogLevel, f.LogFormat),
	}
}

// serveFlags are the settings of serve as given.
type serveFlags struct {
	commonFlags

	GRPCAddr        string `name:"grpc-addr" env:"GRPC_ADDR" default:":9090" help:"Address on which KEDA is answered."`
	TLSCertFile     string `name:"tls-cert-file" env:"TLS_CERT_FILE" help:"Certificate (PEM) for TLS towards KEDA; re-read on change."`
	TLSKeyFile      string `name:"tls-key-file" env:"TLS_KEY_FILE" help:"Its key (PEM)."`
	TLSClientCAFile string `name:"tls-client-ca-file" env:"TLS_CLIENT_CA_FILE" help:"Authority (PEM) whose certificate KEDA must show: mutual TLS."`

	Kube           string `name:"kube" env:"KUBE" default:"auto" help:"View of Kubernetes, for count exact: on, off, or auto (on if it can be read)."`
	KubeNamespaces string `name:"kube-namespaces" env:"KUBE_NAMESPACES" help:"Comma list of the namespaces to view; empty means all."`

	scaledJobFlags
	agentFlags
	housekeepingFlags
}

// settings are the checked settings of serve.
type settings struct {
	commonSettings
	grpcAddr string
	tls      tlsFiles

	kube           string
	kubeNamespaces []string

	agents        agents
	scaledJobs    []*kedav1alpha1.ScaledJob // of AGENT_POOLS
	scalerAddress string
	housekeeper   housekeeper
}

type tlsFiles struct{ cert, key, clientCA string }

// check gives the settings, or an error that holds every mistake.
func (f serveFlags) check() (settings, error) {
	m := &mistakes{}
	s := settings{
		commonSettings: m.common(f.commonFlags),
		grpcAddr:       f.GRPCAddr,
		tls: tlsFiles{
			cert:     m.file("TLS_CERT_FILE (--tls-cert-file)", f.TLSCertFile),
			key:      m.file("TLS_KEY_FILE (--tls-key-file)", f.TLSKeyFile),
			clientCA: m.file("TLS_CLIENT_CA_FILE (--tls-client-ca-file)", f.TLSClientCAFile),
		},

		kube:           f.Kube,
		kubeNamespaces: splitList(f.KubeNamespaces),

		scalerAddress: f.Address,
		housekeeper:   m.housekeeping(f.housekeepingFlags, f.Address),
	}
	m.choice("KUBE (--kube)", f.Kube, ifPossible, on, off)
	if (s.tls.cert == "") != (s.tls.key == "") {
		m.add("TLS_CERT_FILE and TLS_KEY_FILE", "go together; one of them is missing")
	}
	if s.tls.clientCA != "" && s.tls.cert == "" {
		m.add("TLS_CLIENT_CA_FILE (--tls-client-ca-file)", "needs TLS_CERT_FILE and TLS_KEY_FILE")
	}
	if f.Pools != "" {
		s.agents, s.scaledJobs = m.scaledJobs(f.agentFlags, f.scaledJobFlags, s.organizations)
	}
	return s, m.err()
}
