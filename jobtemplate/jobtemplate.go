// Package jobtemplate makes the Kubernetes objects that run agents: the Job of
// one agent, and KEDA's ScaledJob for the agents of a pool. It talks to nobody.
package jobtemplate

import (
	"cmp"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
)

// Defaults of the settings.
const (
	DefaultNamespace       = "default"
	DefaultPrefix          = "agent-job-"
	DefaultMaxReplicas     = 100
	DefaultPollingInterval = 5 * time.Second
	DefaultTTL             = 10 * time.Minute
	DefaultIdleTimeout     = 10 * time.Minute
	DefaultGracePeriod     = time.Hour
)

// Labels of all objects that are made here.
const (
	// ManagedByLabel has the value Manager. KEDA's Jobs inherit it.
	ManagedByLabel = "app.kubernetes.io/managed-by"
	// Manager is the name of this program in Kubernetes, also as a field manager.
	Manager = "ado-agent-orchestrator"
	// PoolLabel has the value that Name returns for the pool. By it the Jobs of a
	// pool are found, whoever made them.
	PoolLabel = "ado-agent-orchestrator.io/pool"
	// LauncherLabel marks Jobs whose image starts the agent by our launcher: when
	// one is deleted, its agent leaves if it is idle, and finishes its job otherwise.
	LauncherLabel = "ado-agent-orchestrator.io/launcher"
	// Launcher is its value.
	Launcher = "ado-agent"
)

// AgentContainer is the name of the container that runs the agent.
const AgentContainer = "agent"

// Settings describe the agents of one pool.
type Settings struct {
	// OrganizationURL is that of Azure DevOps, such as
	// https://dev.azure.com/contoso.
	OrganizationURL string
	// Pool is the agent pool's name.
	Pool string
	// Namespace is where Jobs run, by default DefaultNamespace.
	Namespace string
	// Prefix begins the names of all objects, by default DefaultPrefix.
	// A Definition's metadata.name goes before it.
	Prefix string
	// Image is the agent's. A Definition's goes before it.
	Image string
	// Token is where the agents find their token. Without it they get none, as
	// with Entra, or that of the Definition.
	Token SecretKey
	// Definition is the Job to begin with; see ReadDefinition. It is not changed.
	Definition *batchv1.Job
	// DockerSocketPath is a socket on the node that is mounted into the agent's
	// container at the same path, "" being none.
	DockerSocketPath string
	// Unrestricted leaves out what Kubernetes' restricted pod security standard
	// asks for, for images that need root. DockerSocketPath and Definition
	// leave it out as well.
	Unrestricted bool
	// IsolateCredential makes pods in which no job can reach what manages the pool:
	// a sidecar holds the token or the identity, the agent's container gets the
	// registered agent. It needs Kubernetes 1.29 and the agent image of this
	// project.
	IsolateCredential bool
	// Capabilities are what the agents offer, values by name.
	Capabilities map[string]string
	// Resources, NodeSelector and ServiceAccount are the pod's. Other values
	// in a Definition are a mistake.
	Resources      corev1.ResourceRequirements
	NodeSelector   map[string]string
	ServiceAccount string
	// TTL is how long a finished Job is kept, by default DefaultTTL.
	TTL time.Duration
	// IdleTimeout is after how long an agent without a job ends, by default
	// DefaultIdleTimeout. A negative one stands for never.
	IdleTimeout time.Duration
	// GracePeriod is how long an agent may finish its job when its pod has to
	// go, by default DefaultGracePeriod.
	GracePeriod time.Duration
	// EvictableIdle leaves out the annotations that protect agents from eviction: a
	// PodDisruptionBudget that the scaler keeps protects those with a job.
	EvictableIdle bool

	// Scaling is for ScaledJob alone.
	Scaling Scaling
}

// Scaling says how KEDA scales the agents of a pool.
type Scaling struct {
	// ScalerAddress is the host and port where KEDA finds the scaler.
	ScalerAddress string
	// Authentication is the TriggerAuthentication with the certificates for TLS
	// towards the scaler, "" being no TLS.
	Authentication string
	// MinReplicas and MaxReplicas bound the number of agents, by default from 0
	// to DefaultMaxReplicas.
	MinReplicas, MaxReplicas int
	// MinIdle is how many agents wait for a job at any time.
	MinIdle int
	// Warm is a schedule of agents that wait for a job, as the trigger's key warm
	// has it, and WarmTimeZone the time zone of its periods.
	Warm, WarmTimeZone string
	// WarmMaxAge is the age at which an idle agent is replaced, if it is not 0.
	WarmMaxAge time.Duration
	// Priority decides between ScaledJobs that can serve the same job: the
	// highest does.
	Priority int
	// Shard is the share of the pool's jobs that this cluster serves, such as 1/2,
	// "" being all of them.
	Shard string
	// PollingInterval is how often KEDA asks, in whole seconds, by default
	// DefaultPollingInterval.
	PollingInterval time.Duration
}

// SecretKey names one value of a Secret in the Jobs' namespace.
type SecretKey struct{ Name, Key string }

// withDefaults returns the settings with nothing left to default.
func (s Settings) withDefaults() Settings {
	s.Namespace = cmp.Or(s.Namespace, DefaultNamespace)
	s.Prefix = cmp.Or(s.Prefix, DefaultPrefix)
	if s.Definition != nil {
		s.Prefix = cmp.Or(s.Definition.Name, s.Prefix)
	}
	s.TTL = cmp.Or(s.TTL, DefaultTTL)
	s.IdleTimeout = cmp.Or(s.IdleTimeout, DefaultIdleTimeout)
	s.GracePeriod = cmp.Or(s.GracePeriod, DefaultGracePeriod)
	s.Scaling.MaxReplicas = cmp.Or(s.Scaling.MaxReplicas, DefaultMaxReplicas)
	s.Scaling.PollingInterval = cmp.Or(s.Scaling.PollingInterval, DefaultPollingInterval)
	return s
}
