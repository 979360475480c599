package jobtemplate

import (
	"cmp"
	"maps"
	"strings"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// Job makes the Job of one agent. Kubernetes completes its name, which begins
// with what Name returns for the pool. The error holds every mistake in the
// settings and in the Definition, each with its field.
func Job(s Settings) (*batchv1.Job, error) {
	found := &problems{}
	job, _ := s.job(found)
	if err := found.err(); err != nil {
		return nil, err
	}
	return job, nil
}

// job makes the Job, and the name that its own begins with. It is useless if
// there are mistakes.
func (s Settings) job(found *problems) (job *batchv1.Job, name string) {
	s = s.withDefaults()
	name = s.check(found)
	d := newDraft(s, found)
	d.checkDefinition()
	d.metadata(name)
	d.lifecycle()
	d.placement()
	if d.agent != nil {
		d.checkIsolation()
		d.container()
		d.environment()
		d.dockerSocket()
	}
	if s.Definition == nil {
		d.secure()
	}
	if d.agent != nil {
		d.isolate()
	}
	d.protect()
	return d.job, name
}

// draft is a Job in the making: the Definition, over which the settings are
// laid.
type draft struct {
	Settings
	*problems

	job      *batchv1.Job
	spec     *corev1.PodSpec
	specPath *field.Path
	// agent is the container of the agent, nil if there is no container.
	agent     *corev1.Container
	agentPath *field.Path
}

func newDraft(s Settings, found *problems) *draft {
	d := &draft{Settings: s, problems: found, job: &batchv1.Job{}}
	if s.Definition != nil {
		d.job = s.Definition.DeepCopy()
	}
	d.spec = &d.job.Spec.Template.Spec
	d.specPath = definition.Child("spec", "template", "spec")
	if s.Definition == nil {
		d.spec.Containers = []corev1.Container{{}}
	}
	for i := range d.spec.Containers {
		if c := &d.spec.Containers[i]; i == 0 || c.Name == AgentContainer {
			d.agent, d.agentPath = c, d.specPath.Child("containers").Index(i)
		}
	}
	return d
}

func (d *draft) metadata(name string) {
	d.job.TypeMeta = metav1.TypeMeta{APIVersion: batchv1.SchemeGroupVersion.String(), Kind: "Job"}
	d.job.Name, d.job.GenerateName, d.job.Namespace = "", name+"-", d.Namespace
	for _, meta := range []*metav1.ObjectMeta{&d.job.ObjectMeta, &d.job.Spec.Template.ObjectMeta} {
		meta.Labels = over(meta.Labels, map[string]string{
			"app.kubernetes.io/name":    "azure-pipelines-agent",
			"app.kubernetes.io/part-of": Manager,
		})
		meta.Labels[ManagedByLabel], meta.Labels[PoolLabel], meta.Labels[LauncherLabel] = Manager, name, Launcher
	}
}

// protect keeps a build from being moved to another node: it would restart, or fail.
// Where a PodDisruptionBudget does that, idle agents have nothing that holds them.
func (d *draft) protect() {
	annotations := map[string]string{}
	if !d.EvictableIdle {
		annotations["cluster-autoscaler.kubernetes.io/safe-to-evict"] = "false"
		annotations["karpenter.sh/do-not-disrupt"] = "true"
	} else if volumes := d.emptyDirs(); len(volumes) > 0 {
		// By default the cluster autoscaler evicts no pod with such a volume.
		annotations["cluster-autoscaler.kubernetes.io/safe-to-evict-local-volumes"] = strings.Join(volumes, ",")
	}
	if annotations = over(d.job.Spec.Template.Annotations, annotations); len(annotations) > 0 {
		d.job.Spec.Template.Annotations = annotations
	}
}

// emptyDirs are the names of the pod's volumes that are lost with it.
func (d *draft) emptyDirs() (names []string) {
	for i := range d.spec.Volumes {
		if d.spec.Volumes[i].EmptyDir != nil {
			names = append(names, d.spec.Volumes[i].Name)
		}
	}
	return names
}

// over lays values over defaults.
func over(values, defaults map[string]string) map[string]string {
	maps.Copy(defaults, values)
	return defaults
}

// lifecycle ensures that an agent is started once and its Job goes in time.
func (d *draft) lifecycle() {
	spec := &d.job.Spec
	spec.BackoffLimit = new(int32(0))
	d.spec.RestartPolicy = corev1.RestartPolicyNever
	if spec.TTLSecondsAfterFinished == nil {
		spec.TTLSecondsAfterFinished = new(int32(d.TTL.Seconds()))
	}
	if d.spec.EnableServiceLinks == nil {
		// A variable for each Service of the namespace would become a capability
		// of the agent.
		d.spec.EnableServiceLinks = new(false)
	}
	if d.spec.TerminationGracePeriodSeconds == nil {
		d.spec.TerminationGracePeriodSeconds = new(int64(d.GracePeriod.Seconds()))
	}
}

// placement sets where and as whom the pod runs.
func (d *draft) placement() {
	for key, value := range d.NodeSelector {
		if other, ok := d.spec.NodeSelector[key]; ok && other != value {
			d.contradiction(d.specPath.Child("nodeSelector").Key(key))
		}
	}
	if len(d.NodeSelector) > 0 {
		d.spec.NodeSelector = over(d.spec.NodeSelector, maps.Clone(d.NodeSelector))
	}
	if d.ServiceAccount != "" {
		if other := d.spec.ServiceAccountName; other != "" && other != d.ServiceAccount {
			d.contradiction(d.specPath.Child("serviceAccountName"))
		}
		d.spec.ServiceAccountName = d.ServiceAccount
	}
}

func (d *draft) contradiction(path *field.Path) {
	d.field(path, "contradicts the settings; remove it here or there")
}

func (d *draft) container() {
	d.agent.Name = cmp.Or(d.agent.Name, AgentContainer)
	d.agent.Image = cmp.Or(d.agent.Image, d.Image)
	if d.agent.Image == "" {
		d.setting("image", "is missing: the agent's image")
	}
	if equality.Semantic.DeepEqual(d.Resources, corev1.ResourceRequirements{}) {
		return
	}
	given := d.agent.Resources
	if !equality.Semantic.DeepEqual(given, corev1.ResourceRequirements{}) && !equality.Semantic.DeepEqual(given, d.Resources) {
		d.contradiction(d.agentPath.Child("resources"))
	}
	d.agent.Resources = *d.Resources.DeepCopy()
}
