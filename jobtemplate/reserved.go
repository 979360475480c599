package jobtemplate

import (
	"fmt"
	"strings"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// definition is what the paths of fields begin with.
var definition = field.NewPath("definition")

// checkDefinition finds what a Definition must not say, since it would not work
// with what is laid over it, or with one Job for each job of a pipeline.
func (d *draft) checkDefinition() {
	if d.Definition == nil {
		return
	}
	d.checkMetadata()
	d.checkJob(definition.Child("spec"))
	if d.agent == nil {
		d.field(d.specPath.Child("containers"), "must hold the agent's container")
	} else {
		d.checkVariables()
	}
	d.checkOthers()
	d.checkSidecars()
	if policy := d.spec.RestartPolicy; policy != "" && policy != corev1.RestartPolicyNever {
		d.field(d.specPath.Child("restartPolicy"), "must be Never: an agent takes one job")
	}
	if grace := d.spec.TerminationGracePeriodSeconds; grace != nil && *grace < 0 {
		d.field(d.specPath.Child("terminationGracePeriodSeconds"), "must not be negative")
	}
}

// checkMetadata checks the Job's metadata and its pod's.
func (d *draft) checkMetadata() {
	meta, path := d.Definition.ObjectMeta, definition.Child("metadata")
	if meta.Namespace != "" && meta.Namespace != d.Namespace {
		d.field(path.Child("namespace"), "must be %q; omit it: it is set for you", d.Namespace)
	}
	if !equality.Semantic.DeepEqual(d.Definition.Status, batchv1.JobStatus{}) {
		d.field(definition.Child("status"), "is set by Kubernetes; leave it out")
	}
	// The name stands for the prefix.
	meta.Name, meta.Namespace = "", ""
	d.checkMeta(meta, path, "name, namespace, labels and annotations")
	d.checkMeta(d.Definition.Spec.Template.ObjectMeta, definition.Child("spec", "template", "metadata"), "labels and annotations")
}

// checkMeta refuses reserved labels and annotations, and all that is neither.
func (d *draft) checkMeta(meta metav1.ObjectMeta, path *field.Path, allowed string) {
	for name, values := range map[string]map[string]string{"labels": meta.Labels, "annotations": meta.Annotations} {
		for key := range values {
			if reserved(key) {
				d.field(path.Child(name).Key(key), "is set by Kubernetes, KEDA or %s; leave it out", Manager)
			}
		}
	}
	meta.Labels, meta.Annotations = nil, nil
	if !equality.Semantic.DeepEqual(meta, metav1.ObjectMeta{}) {
		d.field(path, "must hold nothing but %s", allowed)
	}
}

// reserved reports whether a label or annotation is not for a Definition.
func reserved(key string) bool {
	switch prefix, _, _ := strings.Cut(key, "/"); prefix {
	case "scaledjob.keda.sh", "batch.kubernetes.io", "ado-agent-orchestrator.io":
		return true
	}
	return key == ManagedByLabel || key == "job-name" || key == "controller-uid"
}

func (d *draft) checkJob(path *field.Path) {
	spec := d.Definition.Spec
	one := func(name string, n *int32) {
		if n != nil && *n != 1 {
			d.field(path.Child(name), "must be 1: there is one Job for each agent")
		}
	}
	one("parallelism", spec.Parallelism)
	one("completions", spec.Completions)
	if n := spec.BackoffLimit; n != nil && *n != 0 {
		d.field(path.Child("backoffLimit"), "must be 0: an agent that failed is replaced by a new Job if there is work for one")
	}
	if mode := spec.CompletionMode; mode != nil && *mode != batchv1.NonIndexedCompletion {
		d.field(path.Child("completionMode"), "must be NonIndexed")
	}
	if spec.Suspend != nil && *spec.Suspend {
		d.field(path.Child("suspend"), "must be false: agents start at once")
	}
	if spec.Selector != nil || spec.ManualSelector != nil && *spec.ManualSelector {
		d.field(path.Child("selector"), "is set by Kubernetes; leave it out, and manualSelector")
	}
	if n := spec.TTLSecondsAfterFinished; n != nil && *n < 0 {
		d.field(path.Child("ttlSecondsAfterFinished"), "must not be negative")
	}
	if n := spec.ActiveDeadlineSeconds; n != nil && *n < 1 {
		d.field(path.Child("activeDeadlineSeconds"), "must be at least 1")
	}
}

// checkOthers finds tokens in containers other than the agent's.
func (d *draft) checkOthers() {
	check := func(containers []corev1.Container, path *field.Path) {
		for i := range containers {
			for j, v := range containers[i].Env {
				if &containers[i] != d.agent && v.Name == envToken && v.Value != "" {
					d.field(path.Index(i).Child("env").Index(j), "%s must come from a Secret, by valueFrom.secretKeyRef", v.Name)
				}
			}
		}
	}
	check(d.spec.InitContainers, d.specPath.Child("initContainers"))
	check(d.spec.Containers, d.specPath.Child("containers"))
}

// checkSidecars finds containers that would keep the Job from ending, unless they
// share the processes, so that the agent's can end the others.
func (d *draft) checkSidecars() {
	if d.spec.ShareProcessNamespace != nil && *d.spec.ShareProcessNamespace {
		return
	}
	for i := range d.spec.Containers {
		if &d.spec.Containers[i] != d.agent {
			d.field(d.specPath.Child("containers").Index(i), "must be a sidecar, since a Job ends only when all of its containers have; "+
				"move it to initContainers, with restartPolicy: Always")
		}
	}
}

// Warnings returns what works badly in the Definition, with its fields.
func (s Settings) Warnings() (warnings []string) {
	if s.Definition == nil {
		return nil
	}
	if n := s.Definition.Spec.ActiveDeadlineSeconds; n != nil {
		warnings = append(warnings, fmt.Sprintf("%s is %d: the time that an agent waits for a job counts too, and a job that runs then is cut off; "+
			"use the pipeline's timeoutInMinutes instead", definition.Child("spec", "activeDeadlineSeconds"), *n))
	}
	return warnings
}
