package main

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/alecthomas/kong"
	"go.uber.org/zap/zapcore"
)

// serveFlags are the settings of serve as given. They are texts, so that all
// mistakes in them are found before any is reported.
type serveFlags struct {
	Org organizationFlags `embed:""`

	GRPCAddr        string `name:"grpc-addr" env:"GRPC_ADDR" default:":9090" help:"Address on which KEDA is answered."`
	HTTPAddr        string `name:"http-addr" env:"HTTP_ADDR" default:":8080" help:"Address of /metrics, /healthz and /readyz."`
	TLSCertFile     string `name:"tls-cert-file" env:"TLS_CERT_FILE" help:"Certificate (PEM) for TLS towards KEDA; re-read on change."`
	TLSKeyFile      string `name:"tls-key-file" env:"TLS_KEY_FILE" help:"Its key (PEM)."`
	TLSClientCAFile string `name:"tls-client-ca-file" env:"TLS_CLIENT_CA_FILE" help:"Authority (PEM) whose certificate KEDA must show: mutual TLS."`

	PollingDelay string `name:"polling-delay" env:"POLLING_DELAY" default:"1000" help:"Milliseconds between two requests about one pool, at least; from 100."`
	StaleFor     string `name:"stale-for" env:"STALE_FOR" default:"30s" help:"How old the last snapshot may grow while Azure DevOps fails."`
	Timeout      string `name:"request-timeout" env:"REQUEST_TIMEOUT" default:"10s" help:"How long Azure DevOps may take to answer."`

	Kube           string `name:"kube" env:"KUBE" default:"auto" help:"View of Kubernetes, for count exact: on, off, or auto (on if it can be read)."`
	KubeNamespaces string `name:"kube-namespaces" env:"KUBE_NAMESPACES" help:"Comma list of the namespaces to view; empty means all."`

	ParallelJobs yesNo `name:"cap-by-parallel-jobs" env:"CAP_BY_PARALLEL_JOBS" default:"false" help:"No more agents than the organization's parallel jobs let run."`

	LogLevel  string `name:"log-level" env:"LOG_LEVEL" default:"info" help:"debug, info, warn or error."`
	LogFormat string `name:"log-format" env:"LOG_FORMAT" default:"json" help:"json or console."`
}

// settings are the checked settings of serve.
type settings struct {
	organizations []organization
	grpcAddr      string
	httpAddr      string
	tls           tlsFiles
	pollingDelay  time.Duration
	staleFor      time.Duration
	timeout       time.Duration
	log           logSettings

	kube           string
	kubeNamespaces []string

	capByParallelJobs bool
}

type tlsFiles struct{ cert, key, clientCA string }

// check gives the settings, or an error that holds every mistake.
func (f serveFlags) check() (settings, error) {
	m := &mistakes{}
	s := settings{
		organizations: m.organizations(f.Org),
		grpcAddr:      f.GRPCAddr,
		httpAddr:      f.HTTPAddr,
		tls:           tlsFiles{f.TLSCertFile, f.TLSKeyFile, f.TLSClientCAFile},
		pollingDelay:  m.milliseconds("POLLING_DELAY (--polling-delay)", f.PollingDelay, 100),
		staleFor:      m.duration("STALE_FOR (--stale-for)", f.StaleFor),
		timeout:       m.duration("REQUEST_TIMEOUT (--request-timeout)", f.Timeout),
		log:           m.log(f.LogLevel, f.LogFormat),

		kube:           f.Kube,
		kubeNamespaces: splitList(f.KubeNamespaces),

		capByParallelJobs: m.yesNo("CAP_BY_PARALLEL_JOBS (--cap-by-parallel-jobs)", f.ParallelJobs),
	}
	m.choice("KUBE (--kube)", f.Kube, kubeAuto, kubeOn, kubeOff)
	if (s.tls.cert == "") != (s.tls.key == "") {
		m.add("TLS_CERT_FILE and TLS_KEY_FILE", "go together; one of them is missing")
	}
	if s.tls.clientCA != "" && s.tls.cert == "" {
		m.add("TLS_CLIENT_CA_FILE (--tls-client-ca-file)", "needs TLS_CERT_FILE and TLS_KEY_FILE")
	}
	return s, m.err()
}

// yesNo is a flag that may stand without a value. It is a text until it is
// checked together with all others.
type yesNo string

// Decode takes what follows the flag, or what the environment holds.
func (y *yesNo) Decode(ctx *kong.DecodeContext) error {
	*y = "true"
	if ctx.Scan.Peek().Type == kong.FlagValueToken {
		return ctx.Scan.PopValueInto("true or false", (*string)(y))
	}
	return nil
}

// IsBool lets the flag stand alone.
func (yesNo) IsBool() bool { return true }

// splitList reads a comma list; empty items do not count.
func splitList(text string) []string {
	return strings.FieldsFunc(text, func(r rune) bool { return r == ',' || unicode.IsSpace(r) })
}

// mistakes gathers what is wrong with settings.
type mistakes []error

func (m *mistakes) add(setting, format string, args ...any) {
	*m = append(*m, fmt.Errorf("%s: %w", setting, fmt.Errorf(format, args...)))
}

func (m *mistakes) err() error {
	if len(*m) == 0 {
		return nil
	}
	return fmt.Errorf("the settings cannot be used:\n%w\nsee --help", errors.Join(*m...))
}

func (m *mistakes) choice(setting, value string, allowed ...string) {
	if !slices.Contains(allowed, value) {
		m.add(setting, "%q is not one of %s", value, strings.Join(allowed, ", "))
	}
}

func (m *mistakes) milliseconds(setting, text string, least int) time.Duration {
	n, err := strconv.ParseUint(text, 10, 31)
	if err != nil || int(n) < least {
		m.add(setting, "%q is not a whole number of milliseconds from %d", text, least)
	}
	return time.Duration(n) * time.Millisecond
}

func (m *mistakes) yesNo(setting string, given yesNo) bool {
	yes, err := strconv.ParseBool(cmp.Or(string(given), "false"))
	if err != nil {
		m.add(setting, "%q is neither true nor false", given)
	}
	return yes
}

func (m *mistakes) duration(setting, text string) time.Duration {
	d, err := time.ParseDuration(text)
	if err != nil || d <= 0 {
		m.add(setting, "%q is not a duration such as 30s or 1m30s", text)
	}
	return d
}

func (m *mistakes) log(level, format string) logSettings {
	m.choice("LOG_FORMAT (--log-format)", format, "json", "console")
	m.choice("LOG_LEVEL (--log-level)", level, "debug", "info", "warn", "error")
	parsed, _ := zapcore.ParseLevel(level)
	return logSettings{level: parsed, console: format == "console"}
}
