package main

import (
	"cmp"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	kedav1alpha1 "github.com/kedacore/keda/v2/apis/keda/v1alpha1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue/adoauth"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/jobtemplate"
)

// defaultTokenSecret is the Secret that is made if a token is given and no
// Secret is named.
var defaultTokenSecret = jobtemplate.SecretKey{Name: "ado-agent-orchestrator-token", Key: "token"}

// agentFlags are the settings of the agents, of which there is one kind for all
// pools.
type agentFlags struct {
	Pools      string `name:"agent-pools" env:"AGENT_POOLS" help:"Comma list of the agent pools to keep agents for."`
	Image      string `name:"job-image" env:"JOB_IMAGE" help:"Image of the agents."`
	Namespace  string `name:"job-namespace" env:"JOB_NAMESPACE" default:"default" help:"Namespace of the agents."`
	Prefix     string `name:"job-prefix" env:"JOB_PREFIX" default:"agent-job-" help:"What the names of Jobs and ScaledJobs begin with."`
	Definition string `name:"job-definition-file" env:"JOB_DEFINITION_FILE" help:"A batch/v1 Job (YAML) to begin with."`
	Socket     string `name:"job-docker-socket-path" env:"JOB_DOCKER_SOCKET_PATH" help:"Docker socket of the node to mount into the agents."`

	Capabilities   string `name:"job-capabilities" env:"JOB_CAPABILITIES" help:"What the agents offer, such as docker,java=17."`
	Requests       string `name:"job-requests" env:"JOB_REQUESTS" help:"Resources that an agent requests, such as cpu=1,memory=2Gi."`
	Limits         string `name:"job-limits" env:"JOB_LIMITS" help:"Resources that an agent is limited to."`
	NodeSelector   string `name:"job-node-selector" env:"JOB_NODE_SELECTOR" help:"Labels of the nodes for agents, such as disk=ssd."`
	Unrestricted   yesNo  `name:"job-unrestricted" env:"JOB_UNRESTRICTED" help:"For images that need root: leave out what the restricted pod security standard asks for."`
	Isolate        yesNo  `name:"job-isolate-credential" env:"JOB_ISOLATE_CREDENTIAL" help:"Keep the agents' credential in a sidecar, where no job can reach it. Needs Kubernetes 1.29 and the agent image of this project."`
	ServiceAccount string `name:"job-service-account" env:"JOB_SERVICE_ACCOUNT" help:"Service account of the agents."`
	TokenSecret    string `name:"job-token-secret" env:"JOB_TOKEN_SECRET" help:"Secret with the agents' token, as NAME/KEY; by default one is made from the token of this program."`
	TTL            string `name:"job-ttl" env:"JOB_TTL" default:"10m" help:"How long a finished Job is kept."`
	IdleTimeout    string `name:"job-idle-timeout" env:"JOB_IDLE_TIMEOUT" default:"10m" help:"After how long an agent without a job ends; 0 is never."`
	GracePeriod    string `name:"job-grace-period" env:"JOB_GRACE_PERIOD" default:"1h" help:"How long an agent may go on with its job when its pod has to go."`

	CreateNamespace yesNo  `name:"initialize-namespace" env:"INITIALIZE_NAMESPACE" default:"true" help:"Create the namespace if it is missing."`
	Min             string `name:"minimum-agent-count" env:"MINIMUM_AGENT_COUNT" default:"0" help:"Agents of each pool, at least."`
	MinIdle         string `name:"minimum-idle-agent-count" env:"MINIMUM_IDLE_AGENT_COUNT" default:"0" help:"Agents of each pool that wait for jobs to come."`
	Max             string `name:"maximum-agent-count" env:"MAXIMUM_AGENT_COUNT" default:"100" help:"Agents of each pool, at most."`
}

// scaledJobFlags are for ScaledJobs only.
type scaledJobFlags struct {
	Address        string `name:"scaler-address" env:"SCALER_ADDRESS" help:"HOST:PORT where KEDA finds this scaler, as in the triggers' scalerAddress."`
	Authentication string `name:"scaler-authentication" env:"SCALER_AUTHENTICATION" help:"TriggerAuthentication with the certificates for TLS towards the scaler."`
	Interval       string `name:"polling-interval" env:"POLLING_INTERVAL" default:"5s" help:"How often KEDA asks, in whole seconds."`
}

// agents are the checked settings of the agents of all pools.
type agents struct {
	pools           []jobtemplate.Settings
	namespace       string
	createNamespace bool
	// token gives what a Secret is made from; nil if none is to be made.
	token func() (string, error)
}

// agents reads the settings of agents; none if no pools are asked for.
func (m *mistakes) agents(f agentFlags, scaling scaledJobFlags, organizations []organization) agents {
	names := m.pools(f.Pools)
	if len(organizations) != 1 {
		if len(organizations) > 1 {
			m.add("AGENT_POOLS (--agent-pools)", "needs one organization, not several")
		}
		return agents{}
	}
	a := agents{
		namespace:       f.Namespace,
		createNamespace: m.yesNo("INITIALIZE_NAMESPACE (--initialize-namespace)", f.CreateNamespace),
	}
	template := m.template(f)
	template.OrganizationURL = organizations[0].url.String()
	template.Scaling = m.scaling(f, scaling)
	auth := organizations[0].auth
	switch secret, key, ok := strings.Cut(f.TokenSecret, "/"); {
	case ok && secret != "" && key != "":
		template.Token = jobtemplate.SecretKey{Name: secret, Key: key}
	case f.TokenSecret != "":
		m.add("JOB_TOKEN_SECRET (--job-token-secret)", "%q has not the form NAME/KEY", f.TokenSecret)
	case cmp.Or(auth.Kind, adoauth.PAT) == adoauth.PAT:
		template.Token = defaultTokenSecret
		a.token = tokenOf(auth)
	}
	for _, name := range names {
		template.Pool = name
		a.pools = append(a.pools, template)
	}
	return a
}

// tokenOf gives the personal access token of this program, as it is now.
func tokenOf(auth adoauth.Settings) func() (string, error) {
	return func() (string, error) {
		if auth.PATFile == "" {
			return strings.TrimSpace(auth.PAT), nil
		}
		content, err := os.ReadFile(auth.PATFile)
		return strings.TrimSpace(string(content)), err
	}
}

// pools reads the list of pools. Azure DevOps ignores the case of their names.
func (m *mistakes) pools(list string) []string {
	const setting = "AGENT_POOLS (--agent-pools)"
	var names []string
	for name := range strings.SplitSeq(list, ",") {
		name = strings.TrimSpace(name)
		if name == "" {
			continue
		}
		if slices.ContainsFunc(names, func(other string) bool { return strings.EqualFold(other, name) }) {
			m.add(setting, "names the pool %q twice", name)
			continue
		}
		names = append(names, name)
	}
	if len(names) == 0 {
		m.add(setting, "names no pool; it is a list such as linux,windows")
	}
	return names
}

// template reads what the Jobs of all pools have in common.
func (m *mistakes) template(f agentFlags) jobtemplate.Settings {
	if f.Image == "" {
		m.add("JOB_IMAGE (--job-image)", "is missing")
	}
	capabilities, err := adoqueue.ParseCapabilities(f.Capabilities)
	if err != nil {
		m.add("JOB_CAPABILITIES (--job-capabilities)", "%s", oneLine(err))
	}
	if f.Capabilities == "" {
		capabilities = nil // whatever the image has
	}
	return jobtemplate.Settings{
		Namespace: f.Namespace, Prefix: f.Prefix, Image: f.Image,
		Definition: m.definition(f.Definition), DockerSocketPath: f.Socket, Capabilities: capabilities,
		Unrestricted:      m.yesNo("JOB_UNRESTRICTED (--job-unrestricted)", f.Unrestricted),
		IsolateCredential: m.yesNo("JOB_ISOLATE_CREDENTIAL (--job-isolate-credential)", f.Isolate),
		Resources: corev1.ResourceRequirements{
			Requests: m.quantities("JOB_REQUESTS (--job-requests)", f.Requests),
			Limits:   m.quantities("JOB_LIMITS (--job-limits)", f.Limits),
		},
		NodeSelector: m.pairs("JOB_NODE_SELECTOR (--job-node-selector)", f.NodeSelector), ServiceAccount: f.ServiceAccount,
		TTL:         m.duration("JOB_TTL (--job-ttl)", f.TTL),
		IdleTimeout: m.idleTimeout(f.IdleTimeout),
		GracePeriod: m.duration("JOB_GRACE_PERIOD (--job-grace-period)", f.GracePeriod),
	}
}

func (m *mistakes) idleTimeout(text string) time.Duration {
	if text == "0" {
		return -1 // never
	}
	return m.duration("JOB_IDLE_TIMEOUT (--job-idle-timeout)", text)
}

func (m *mistakes) definition(file string) *batchv1.Job {
	if file == "" {
		return nil
	}
	content, err := os.ReadFile(file)
	if err != nil {
		m.add("JOB_DEFINITION_FILE (--job-definition-file)", "%w", err)
		return nil
	}
	job, err := jobtemplate.ReadDefinition(file, content)
	if err != nil {
		m.add("JOB_DEFINITION_FILE (--job-definition-file)", "%w", err)
	}
	return job
}

func (m *mistakes) scaling(f agentFlags, scaling scaledJobFlags) jobtemplate.Scaling {
	s := jobtemplate.Scaling{
		ScalerAddress: scaling.Address, Authentication: scaling.Authentication,
		MinReplicas:     m.count("MINIMUM_AGENT_COUNT (--minimum-agent-count)", f.Min),
		MinIdle:         m.count("MINIMUM_IDLE_AGENT_COUNT (--minimum-idle-agent-count)", f.MinIdle),
		MaxReplicas:     m.count("MAXIMUM_AGENT_COUNT (--maximum-agent-count)", f.Max),
		PollingInterval: m.duration("POLLING_INTERVAL (--polling-interval)", cmp.Or(scaling.Interval, "5s")),
	}
	if s.MaxReplicas == 0 {
		m.add("MAXIMUM_AGENT_COUNT (--maximum-agent-count)", "must be at least 1")
	}
	if s.MinReplicas > s.MaxReplicas {
		m.add("MINIMUM_AGENT_COUNT (--minimum-agent-count)", "%d is more than MAXIMUM_AGENT_COUNT %d", s.MinReplicas, s.MaxReplicas)
	}
	return s
}

func (m *mistakes) quantities(setting, list string) corev1.ResourceList {
	var quantities corev1.ResourceList
	for name, text := range m.pairs(setting, list) {
		quantity, err := resource.ParseQuantity(text)
		if err != nil {
			m.add(setting, "%s: %q is not a quantity such as 500m or 2Gi", name, text)
			continue
		}
		if quantities == nil {
			quantities = corev1.ResourceList{}
		}
		quantities[corev1.ResourceName(name)] = quantity
	}
	return quantities
}

// scaledJobs reads the settings of the agents and makes the ScaledJob of each
// pool.
func (m *mistakes) scaledJobs(f agentFlags, scaling scaledJobFlags, organizations []organization) (agents, []*kedav1alpha1.ScaledJob) {
	before := len(*m)
	a := m.agents(f, scaling, organizations)
	if scaling.Address == "" {
		m.add("SCALER_ADDRESS (--scaler-address)", "is missing; it is HOST:PORT where KEDA finds this scaler, or use run, which needs no KEDA")
	}
	if len(*m) > before { // else the same mistakes would come twice
		return a, nil
	}
	list, err := each(a.pools, jobtemplate.ScaledJob)
	if err != nil {
		m.add("the agents' ScaledJob", "%w", err)
	}
	return a, list
}

// poolNames are for the log.
func (a agents) poolNames() []string {
	names := make([]string, len(a.pools))
	for i := range a.pools {
		names[i] = a.pools[i].Pool
	}
	return names
}

// names tell these agents from others.
func (a agents) names() []string { return append(a.poolNames(), a.namespace) }

// each makes an object for each pool. What is wrong is wrong with all of them,
// so the first error says it.
func each[T any](pools []jobtemplate.Settings, of func(jobtemplate.Settings) (T, error)) ([]T, error) {
	var objects []T
	for _, pool := range pools {
		object, err := of(pool)
		if err != nil {
			return nil, fmt.Errorf("pool %q: %w", pool.Pool, err)
		}
		objects = append(objects, object)
	}
	return objects, nil
}
