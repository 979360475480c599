package jobtemplate

import (
	"cmp"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// KeeperContainer is the name of the sidecar that holds the credential where
// IsolateCredential is set.
const KeeperContainer = "keeper"

// Keeper and agent share the folder of a socket.
const (
	keeperVolume = "agent-keeper"
	keeperPath   = "/azp/shared"
)

// The variables of the launcher that decide where the credential is.
const (
	envRole      = "AZP_ROLE"
	envSharedDir = "AZP_SHARED_DIR"
	envAuth      = "AZP_AUTH"
	envCAFile    = "AZP_CA_FILE"
)

// skipContainers keeps the webhook of Azure's workload identity from giving its
// token to containers.
const skipContainers = "azure.workload.identity/skip-containers"

// registering are variables that say how an agent gets into its pool, which the
// agent's container has no use for.
var registering = []string{envURL, envPool, envToken, envTokenFile, envAgentName, envCapabilities, envIdleTimeout, envAuth}

// identity are variables of an Entra identity. They are the jobs' own where the
// launcher uses a token.
var identity = []string{
	"AZURE_TENANT_ID", "AZURE_CLIENT_ID", "AZURE_CLIENT_SECRET", "AZURE_CLIENT_CERTIFICATE_PASSWORD", "AZURE_AUTHORITY_HOST",
	"IDENTITY_ENDPOINT", "IDENTITY_HEADER", "MSI_ENDPOINT", "MSI_SECRET",
}

// credentialFiles are variables that name files which jobs could read.
var credentialFiles = []string{envTokenFile, "AZURE_CLIENT_SECRET_FILE", "AZURE_CLIENT_CERTIFICATE_PATH", "AZURE_FEDERATED_TOKEN_FILE"}

// isolate moves the credential from the agent's container, in which jobs run, into
// a sidecar.
func (d *draft) isolate() {
	if !d.IsolateCredential {
		return
	}
	keeper := d.keeper()
	keeper.Env = append(d.roleVariables("keeper"), withoutNames(keeper.Env, envRole, envSharedDir)...)
	for _, v := range d.agent.Env {
		if !hasVariable(keeper.Env, v.Name) {
			keeper.Env = append(keeper.Env, v)
		}
	}
	d.agent.Env = append(d.roleVariables("runner"), withoutNames(d.agent.Env, d.keeperOnly()...)...)
	shared := corev1.VolumeMount{Name: keeperVolume, MountPath: keeperPath}
	for _, c := range []*corev1.Container{keeper, d.agent} {
		if !slices.ContainsFunc(c.VolumeMounts, func(m corev1.VolumeMount) bool { return m.MountPath == keeperPath }) {
			c.VolumeMounts = append(c.VolumeMounts, shared)
		}
	}
	if !slices.ContainsFunc(d.spec.Volumes, func(v corev1.Volume) bool { return v.Name == keeperVolume }) {
		d.spec.Volumes = append(d.spec.Volumes, corev1.Volume{
			Name: keeperVolume, VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}},
		})
	}
	d.spec.AutomountServiceAccountToken = new(false)
	annotations := over(d.job.Spec.Template.Annotations, map[string]string{})
	annotations[skipContainers] = cmp.Or(annotations[skipContainers], d.otherContainers())
	d.job.Spec.Template.Annotations = annotations
}

func (d *draft) roleVariables(role string) []corev1.EnvVar {
	return []corev1.EnvVar{{Name: envRole, Value: role}, {Name: envSharedDir, Value: keeperPath}}
}

// keeper returns the sidecar, that of the Definition or a new one before all other
// init containers, so that it outlasts them.
func (d *draft) keeper() *corev1.Container {
	i := slices.IndexFunc(d.spec.InitContainers, func(c corev1.Container) bool { return c.Name == KeeperContainer })
	if i < 0 {
		d.spec.InitContainers = slices.Insert(d.spec.InitContainers, 0, corev1.Container{Name: KeeperContainer})
		i = 0
	}
	keeper := &d.spec.InitContainers[i]
	keeper.Image = cmp.Or(keeper.Image, d.agent.Image)
	keeper.ImagePullPolicy = cmp.Or(keeper.ImagePullPolicy, d.agent.ImagePullPolicy)
	keeper.RestartPolicy = new(corev1.ContainerRestartPolicyAlways)
	if keeper.SecurityContext == nil {
		keeper.SecurityContext = d.agent.SecurityContext.DeepCopy()
	}
	if keeper.Resources.Requests == nil && keeper.Resources.Limits == nil {
		keeper.Resources.Requests = corev1.ResourceList{
			corev1.ResourceCPU: resource.MustParse("50m"), corev1.ResourceMemory: resource.MustParse("128Mi"),
		}
	}
	d.mountAuthorities(keeper)
	return keeper
}

// mountAuthorities lets the keeper read AZP_CA_FILE as the agent does. It gets no
// other volume of the agent's: what jobs can write to is not for it to run.
func (d *draft) mountAuthorities(keeper *corev1.Container) {
	i := slices.IndexFunc(d.agent.Env, func(v corev1.EnvVar) bool { return v.Name == envCAFile })
	if i < 0 {
		return
	}
	for _, mount := range d.agent.VolumeMounts {
		inside := strings.HasPrefix(d.agent.Env[i].Value, strings.TrimSuffix(mount.MountPath, "/")+"/") || d.agent.Env[i].Value == mount.MountPath
		known := slices.ContainsFunc(keeper.VolumeMounts, func(m corev1.VolumeMount) bool { return m.MountPath == mount.MountPath })
		if inside && !known {
			mount.ReadOnly = true
			keeper.VolumeMounts = append(keeper.VolumeMounts, mount)
		}
	}
}

// keeperOnly names the variables that the agent's container must not have.
func (d *draft) keeperOnly() []string {
	names := append(slices.Clone(registering), envRole, envSharedDir)
	for _, v := range d.agent.Env {
		if v.Name == envAuth && v.Value != "pat" {
			names = append(names, identity...)
		}
	}
	return names
}

// otherContainers lists the containers that have no use for the identity.
func (d *draft) otherContainers() string {
	var names []string
	for _, containers := range [][]corev1.Container{d.spec.InitContainers, d.spec.Containers} {
		for i := range containers {
			if containers[i].Name != KeeperContainer {
				names = append(names, containers[i].Name)
			}
		}
	}
	return strings.Join(names, ";")
}

// checkIsolation refuses what would let jobs reach the credential all the same.
func (d *draft) checkIsolation() {
	if !d.IsolateCredential {
		return
	}
	if d.DockerSocketPath != "" {
		d.setting("isolateCredential", "has no effect with a docker socket: a job that can use it is root on the node")
	}
	for name, shared := range map[string]bool{
		"shareProcessNamespace": d.spec.ShareProcessNamespace != nil && *d.spec.ShareProcessNamespace, "hostPID": d.spec.HostPID,
	} {
		if shared {
			d.field(d.specPath.Child(name), "must not be set: jobs could look into the container that holds the credential")
		}
	}
	if mounts := d.spec.AutomountServiceAccountToken; mounts != nil && *mounts {
		d.field(d.specPath.Child("automountServiceAccountToken"), "must be false: jobs get no token of the service account")
	}
	for i, v := range d.agent.Env {
		if slices.Contains(credentialFiles, v.Name) {
			d.field(d.agentPath.Child("env").Index(i), "%s would have its file where jobs can read it; give both to an init container %q", v.Name, KeeperContainer)
		}
	}
	d.checkKeeper()
}

// checkKeeper finds what a Definition's own sidecar must not say.
func (d *draft) checkKeeper() {
	for i := range d.spec.InitContainers {
		c, path := &d.spec.InitContainers[i], d.specPath.Child("initContainers").Index(i)
		if c.Name != KeeperContainer {
			continue
		}
		if c.RestartPolicy != nil && *c.RestartPolicy != corev1.ContainerRestartPolicyAlways {
			d.field(path.Child("restartPolicy"), "must be Always: it lasts as long as the agent")
		}
		d.checkSharedMounts(c, path)
	}
}

// checkSharedMounts refuses volumes that jobs can write to where the keeper takes
// its programs from.
func (d *draft) checkSharedMounts(keeper *corev1.Container, path *field.Path) {
	for i, mount := range keeper.VolumeMounts {
		for _, other := range d.agent.VolumeMounts {
			if mount.Name == other.Name && !other.ReadOnly && !mount.ReadOnly && mount.Name != keeperVolume {
				d.field(path.Child("volumeMounts").Index(i), "must be readOnly, or the agent's mount of %s: jobs could write what the keeper runs", mount.Name)
			}
		}
	}
}

func hasVariable(env []corev1.EnvVar, name string) bool {
	return slices.ContainsFunc(env, func(v corev1.EnvVar) bool { return v.Name == name })
}

func withoutNames(env []corev1.EnvVar, names ...string) []corev1.EnvVar {
	return slices.DeleteFunc(slices.Clone(env), func(v corev1.EnvVar) bool { return slices.Contains(names, v.Name) })
}
