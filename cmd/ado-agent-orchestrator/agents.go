package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue/adoauth"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue/secrets"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/cmd/internal/setting"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/jobtemplate"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/warm"
)

// defaultTokenSecret is the Secret that is made if a token is given and no
// Secret is named.
var defaultTokenSecret = jobtemplate.SecretKey{Name: "ado-agent-orchestrator-token", Key: "token"}

// agentFlags are the settings of the agents, of which there is one kind for all
// pools. The tag template names the field of jobtemplate.Settings that a setting
// is for.
type agentFlags struct {
	Pools      []string   `name:"agent-pools" env:"AGENT_POOLS" placeholder:"POOL" template:"pool" help:"Comma-separated agent pools to keep agents for. Write a comma in a name as \\,."`
	Image      string     `name:"job-image" env:"JOB_IMAGE" placeholder:"IMAGE" unset:"required" template:"image" help:"Image of the agents."`
	Namespace  string     `name:"job-namespace" env:"JOB_NAMESPACE" default:"default" template:"namespace" help:"Namespace of the agents."`
	Prefix     string     `name:"job-prefix" env:"JOB_PREFIX" default:"agent-job-" template:"prefix" help:"Prefix of the names of ScaledJobs, Jobs and pods. The pool's name follows, shortened and with a hash if necessary."`
	Definition definition `name:"job-definition-file" env:"JOB_DEFINITION_FILE" placeholder:"FILE" template:"definition" help:"File with a batch/v1 Job (YAML) to start from."`
	Socket     string     `name:"job-docker-socket-path" env:"JOB_DOCKER_SOCKET_PATH" placeholder:"PATH" template:"dockerSocketPath" help:"Docker socket of the node to mount into the agents, at the same path."`

	Capabilities   adoqueue.Capabilities `name:"job-capabilities" env:"JOB_CAPABILITIES" placeholder:"NAME=VALUE" unset:"anything" template:"capabilities" help:"Capabilities of the agents, such as docker,java=17."`
	Requests       quantities            `name:"job-requests" env:"JOB_REQUESTS" placeholder:"NAME=QUANTITY" template:"resources.requests" help:"Resource requests of an agent, such as cpu=1,memory=2Gi."`
	Limits         quantities            `name:"job-limits" env:"JOB_LIMITS" placeholder:"NAME=QUANTITY" template:"resources.limits" help:"Resource limits of an agent, such as memory=4Gi."`
	NodeSelector   setting.Pairs         `name:"job-node-selector" env:"JOB_NODE_SELECTOR" placeholder:"LABEL=VALUE" template:"nodeSelector" help:"Labels of the nodes for agents, such as disk=ssd."`
	Unrestricted   bool                  `name:"job-unrestricted" env:"JOB_UNRESTRICTED" default:"false" help:"Let images run as root: leave out what the restricted pod security standard requires."`
	Isolate        bool                  `name:"job-isolate-credential" env:"JOB_ISOLATE_CREDENTIAL" default:"false" template:"isolateCredential" help:"Keep the agents' credential in a sidecar, where no job can reach it. Needs Kubernetes 1.29 and the agent image of this project."`
	ServiceAccount string                `name:"job-service-account" env:"JOB_SERVICE_ACCOUNT" placeholder:"NAME" template:"serviceAccount" help:"Service account of the agents."`
	TokenSecret    tokenSecret           `name:"job-token-secret" env:"JOB_TOKEN_SECRET" placeholder:"NAME/KEY" unset:"created" template:"token" help:"Secret with the agents' token, as NAME/KEY. By default, serve and run create one from the token of this program; render requires a name."`
	TTL            time.Duration         `name:"job-ttl" env:"JOB_TTL" default:"10m" min:"1s" template:"ttl" help:"How long a finished Job is kept."`
	IdleTimeout    time.Duration         `name:"job-idle-timeout" env:"JOB_IDLE_TIMEOUT" default:"10m" template:"idleTimeout" help:"Time after which an agent without a job ends; 0 disables."`
	GracePeriod    time.Duration         `name:"job-grace-period" env:"JOB_GRACE_PERIOD" default:"1h" min:"1s" template:"gracePeriod" help:"How long an agent may continue its job when its pod is deleted."`

	CreateNamespace bool          `name:"initialize-namespace" env:"INITIALIZE_NAMESPACE" default:"true" help:"Create the agents' namespace if it does not exist."`
	Min             int           `name:"minimum-agent-count" env:"MINIMUM_AGENT_COUNT" default:"0" max:"65535" template:"minReplicas" help:"Minimum number of agents per pool."`
	MinIdle         int           `name:"minimum-idle-agent-count" env:"MINIMUM_IDLE_AGENT_COUNT" default:"0" max:"65535" template:"minIdle" help:"Number of agents per pool that wait for jobs at any time."`
	Warm            string        `name:"warm-agents" env:"WARM_AGENTS" placeholder:"SCHEDULE" help:"Number of agents per pool that wait for jobs, by periods of the week that replace $MINIMUM_IDLE_AGENT_COUNT, such as \"Mon-Fri 07:30-18:00 5 +20% max 12; Sat 10:00-14:00 1\". See docs/warm.md."`
	WarmZone        string        `name:"warm-time-zone" env:"WARM_TIME_ZONE" placeholder:"ZONE" unset:"UTC" help:"IANA time zone of $WARM_AGENTS, such as Europe/Berlin."`
	WarmMaxAge      time.Duration `name:"warm-max-age" env:"WARM_MAX_AGE" default:"0" help:"Age at which an idle agent is replaced, at least 1m; 0 leaves that to $JOB_IDLE_TIMEOUT. It requires $END_IDLE."`
	Max             int           `name:"maximum-agent-count" env:"MAXIMUM_AGENT_COUNT" default:"100" min:"1" max:"65535" template:"maxReplicas" help:"Maximum number of agents per pool."`

	Shard adoqueue.Shard `name:"shard" env:"SHARD" placeholder:"K/N" unset:"all jobs" template:"shard" help:"Share of each pool's jobs to create agents for, such as 1/2, where orchestrators in other clusters serve the other shares."`
}

// scaledJobFlags are for ScaledJobs only.
type scaledJobFlags struct {
	Address        string        `name:"scaler-address" env:"SCALER_ADDRESS" placeholder:"HOST:PORT" template:"scalerAddress" help:"Address at which KEDA reaches this scaler, as in scalerAddress of the triggers. Required with $AGENT_POOLS, $PLACEHOLDERS, $OFFLINE_AGENTS, $END_IDLE and $EVICTABLE_IDLE."`
	Authentication string        `name:"scaler-authentication" env:"SCALER_AUTHENTICATION" placeholder:"NAME" template:"authentication" help:"TriggerAuthentication with the certificates, if the scaler serves TLS."`
	Interval       time.Duration `name:"polling-interval" env:"POLLING_INTERVAL" default:"5s" min:"1s" template:"pollingInterval" help:"Time between two polls of KEDA for each ScaledJob, in whole seconds."`
	EvictableIdle  bool          `name:"evictable-idle" env:"EVICTABLE_IDLE" default:"false" group:"housekeeping" help:"Let autoscalers and drains evict agents that have been idle for 30 s, and no others: keep a PodDisruptionBudget for each ScaledJob with the label ado-agent-orchestrator.io/launcher. ScaledJobs of $AGENT_POOLS then have none of the annotations that protect all agents."`
}

// checkScaledJobs reports what is wrong with the ScaledJobs of the pools.
func (f *agentFlags) checkScaledJobs(p *setting.Problems, org *organizationFlags, scaling *scaledJobFlags) {
	if scaling.Address == "" {
		p.Add(&scaling.Address, "is missing; it is HOST:PORT where KEDA reaches this scaler. Without KEDA use run")
	}
	check(f, p, org, scaling, jobtemplate.ScaledJob)
}

// checkJobs reports what is wrong with the Jobs of the pools.
func (f *agentFlags) checkJobs(p *setting.Problems, org *organizationFlags) {
	for _, least := range []*int{&f.Min, &f.MinIdle} {
		if *least > f.Max {
			p.AddAll([]any{least, &f.Max}, "%d must not be more than %d", *least, f.Max)
		}
	}
	check(f, p, org, &scaledJobFlags{}, jobtemplate.Job)
}

// check makes the pools' objects once and reports what is wrong with them under
// the names of the settings.
func check[T any](f *agentFlags, p *setting.Problems, org *organizationFlags, scaling *scaledJobFlags, object func(jobtemplate.Settings) (T, error)) {
	f.checkPools(p)
	f.checkWarm(p)
	if len(org.File.organizations) > 1 {
		p.AddAll([]any{&f.Pools, &org.File}, "agents are for one organization; several are listed")
	}
	template, _ := f.template(org, scaling)
	if org.URL.IsZero() { // which has been reported
		template.OrganizationURL = "https://dev.azure.com/ORGANIZATION"
	}
	pools := f.Pools
	if len(pools) == 0 {
		pools = []string{"POOL"}
	}
	checkObjects(p, forPools(template, pools), object)
}

// checkUnused reports what is malformed where no pool is named. That the settings have
// no effect then is not a mistake.
func (f *agentFlags) checkUnused(p *setting.Problems, org *organizationFlags, scaling *scaledJobFlags) {
	f.checkMaxAge(p)
	f.checkSchedule(p, cmp.Or(f.Warm, "08:00-09:00 1")) // any one, to check the time zone
	template, _ := f.template(org, scaling)
	// These may be missing, and triggers may name the scaler in another way.
	template.OrganizationURL, template.Image = "https://dev.azure.com/ORGANIZATION", cmp.Or(f.Image, "IMAGE")
	template.Scaling.ScalerAddress = "HOST:1"
	checkObjects(p, forPools(template, []string{"POOL"}), jobtemplate.ScaledJob)
}

// checkObjects makes objects and reports what is wrong with them.
func checkObjects[T any](p *setting.Problems, pools []jobtemplate.Settings, object func(jobtemplate.Settings) (T, error)) {
	_, err := each(pools, object)
	invalid, ok := errors.AsType[jobtemplate.Invalid](err)
	if err != nil && !ok {
		p.AddError(fmt.Errorf("the agents: %w", err))
	}
	tagged := make([]setting.Tagged, len(invalid))
	for i, e := range invalid {
		tagged[i] = setting.Tagged{Fields: []string{e.Field, e.Related}, Err: errors.New(e.Problem)}
		if strings.HasPrefix(e.Field, "definition.") {
			tagged[i].Err = e // the path says where in the file
		}
	}
	p.AddTagged("template", tagged...)
}

// checkWarm reports what is wrong with the schedule of idle agents.
func (f *agentFlags) checkWarm(p *setting.Problems) {
	f.checkMaxAge(p)
	switch {
	case f.Warm != "":
		f.checkSchedule(p, f.Warm)
	case f.WarmZone != "":
		p.AddAll([]any{&f.WarmZone, &f.Warm}, "a time zone requires a schedule")
	}
}

func (f *agentFlags) checkMaxAge(p *setting.Problems) {
	if f.WarmMaxAge != 0 && f.WarmMaxAge < time.Minute {
		p.Add(&f.WarmMaxAge, "%s must be 0 or at least 1m", f.WarmMaxAge)
	}
}

func (f *agentFlags) checkSchedule(p *setting.Problems, schedule string) {
	if _, err := warm.Parse(schedule, f.WarmZone); err != nil {
		for mistake := range strings.SplitSeq(err.Error(), "\n") {
			p.AddAll([]any{&f.Warm, &f.WarmZone}, "%s", mistake)
		}
	}
}

// checkPools reports pools that are listed twice: Azure DevOps ignores the case
// of their names.
func (f *agentFlags) checkPools(p *setting.Problems) {
	if len(f.Pools) == 0 {
		p.Add(&f.Pools, "names no pool; it is a list such as linux,windows")
	}
	for i, name := range f.Pools {
		if slices.ContainsFunc(f.Pools[:i], func(other string) bool { return strings.EqualFold(other, name) }) {
			p.Add(&f.Pools, "names the pool %q twice", name)
		}
	}
}

// agents are what is made for all pools.
type agents struct {
	pools           []jobtemplate.Settings
	namespace       string
	createNamespace bool
	// token returns what a Secret is made from; nil if none is to be made.
	token func() (string, error)
}

// agents returns what is made for the pools, once the flags are checked.
func (f *agentFlags) agents(org *organizationFlags, scaling *scaledJobFlags) agents {
	template, token := f.template(org, scaling)
	return agents{
		pools: forPools(template, f.Pools), token: token,
		namespace: f.Namespace, createNamespace: f.CreateNamespace,
	}
}

func forPools(template jobtemplate.Settings, pools []string) []jobtemplate.Settings {
	var list []jobtemplate.Settings
	for _, template.Pool = range pools {
		list = append(list, template)
	}
	return list
}

// tokenOf returns the personal access token of this program, as it is now.
func tokenOf(auth adoauth.Settings) func() (string, error) {
	return func() (string, error) {
		if auth.PATFile == "" {
			return secrets.Token(auth.PAT)
		}
		return secrets.ReadToken(context.Background(), auth.PATFile)
	}
}

// template returns what all pools have in common, and what their Secret is made
// from if one is to be made.
func (f *agentFlags) template(org *organizationFlags, scaling *scaledJobFlags) (s jobtemplate.Settings, token func() (string, error)) {
	organization := org.organizations()[0]
	s = jobtemplate.Settings{
		OrganizationURL: organization.url.String(),
		Namespace:       f.Namespace, Prefix: f.Prefix, Image: f.Image, Token: f.TokenSecret.SecretKey,
		Definition: f.Definition.job, DockerSocketPath: f.Socket, Unrestricted: f.Unrestricted, IsolateCredential: f.Isolate,
		Capabilities: f.Capabilities, NodeSelector: f.NodeSelector, ServiceAccount: f.ServiceAccount,
		TTL: f.TTL, IdleTimeout: f.IdleTimeout, GracePeriod: f.GracePeriod, EvictableIdle: scaling.EvictableIdle,
		Scaling: jobtemplate.Scaling{
			ScalerAddress: scaling.Address, Authentication: scaling.Authentication, PollingInterval: scaling.Interval,
			MinReplicas: f.Min, MinIdle: f.MinIdle, MaxReplicas: f.Max,
			Warm: f.Warm, WarmTimeZone: f.WarmZone, WarmMaxAge: f.WarmMaxAge, Shard: f.Shard.String(),
		},
	}
	s.Resources.Requests, s.Resources.Limits = f.Requests.list(), f.Limits.list()
	if s.IdleTimeout == 0 {
		s.IdleTimeout = -1 // never
	}
	kind := cmp.Or(organization.auth.Kind, adoauth.PAT)
	if s.Token == (jobtemplate.SecretKey{}) && kind == adoauth.PAT {
		s.Token, token = defaultTokenSecret, tokenOf(organization.auth)
	}
	return s, token
}

// poolNames are for the log.
func (a agents) poolNames() []string {
	names := make([]string, len(a.pools))
	for i := range a.pools {
		names[i] = a.pools[i].Pool
	}
	return names
}

// names distinguish these agents from others.
func (a agents) names() []string { return append(a.poolNames(), a.namespace) }

// each makes an object for each pool.
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
