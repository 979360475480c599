package housekeeping

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
	metaapply "k8s.io/client-go/applyconfigurations/meta/v1"
	policyapply "k8s.io/client-go/applyconfigurations/policy/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/fleet"
)

// failedCreate is the reason of the Job controller's event about a pod that it
// cannot create because of a quota or an admission rule.
const failedCreate = "FailedCreate"

// fieldManager is who changes Jobs, as Kubernetes keeps it.
const fieldManager = "ado-agent-orchestrator"

// namesPerList bounds the length of a label selector.
const namesPerList = 50

// KubernetesPods implements Pods and Budgets. It needs permission to list pods and
// events, for Delete to delete Jobs, and for Protect to create and patch
// PodDisruptionBudgets.
type KubernetesPods struct{ Client kubernetes.Interface }

// Unstarted returns the Jobs whose pods are pending or cannot be created. It
// lists pods because an informer for them would need most of the memory.
func (k KubernetesPods) Unstarted(ctx context.Context, namespace string, jobs []fleet.Job) ([]Unstarted, error) {
	byName := map[string]fleet.Job{}
	for i := range jobs {
		byName[jobs[i].Name] = jobs[i]
	}
	pending, err := k.Client.CoreV1().Pods(namespace).List(ctx, metav1.ListOptions{
		LabelSelector: batchv1.JobNameLabel, FieldSelector: "status.phase=" + string(corev1.PodPending),
	})
	if err != nil {
		return nil, failure(err, "list pods of namespace "+namespace)
	}
	var unstarted []Unstarted
	for i := range pending.Items {
		pod := &pending.Items[i]
		job, ok := byName[pod.Labels[batchv1.JobNameLabel]]
		if reason, message := fleet.StartFailure(pod); ok && reason != "" {
			unstarted = append(unstarted, Unstarted{job, pod.CreationTimestamp.Time, reason, message})
		}
		delete(byName, job.Name)
	}
	without, err := k.withoutPods(ctx, namespace, byName)
	return append(unstarted, without...), err
}

// withoutPods returns the Jobs that have no pod because none can be created.
func (k KubernetesPods) withoutPods(ctx context.Context, namespace string, byName map[string]fleet.Job) ([]Unstarted, error) {
	if len(byName) == 0 {
		return nil, nil
	}
	list, err := k.Client.CoreV1().Events(namespace).List(ctx, metav1.ListOptions{
		FieldSelector: "involvedObject.kind=Job,reason=" + failedCreate,
	})
	if err != nil {
		return nil, failure(err, "list events of namespace "+namespace)
	}
	messages := map[string]string{}
	for i := range list.Items {
		e := &list.Items[i]
		if job, ok := byName[e.InvolvedObject.Name]; ok && job.UID == string(e.InvolvedObject.UID) {
			messages[job.Name] = e.Message
		}
	}
	// Some of these Jobs got their pod later.
	var suspects []string
	for name := range messages {
		suspects = append(suspects, name)
	}
	for names := range slices.Chunk(suspects, namesPerList) {
		pods, err := k.Client.CoreV1().Pods(namespace).List(ctx, metav1.ListOptions{
			LabelSelector: batchv1.JobNameLabel + " in (" + strings.Join(names, ",") + ")",
		})
		if err != nil {
			return nil, failure(err, "list pods of namespace "+namespace)
		}
		for i := range pods.Items {
			delete(messages, pods.Items[i].Labels[batchv1.JobNameLabel])
		}
	}
	var unstarted []Unstarted
	for name, message := range messages {
		unstarted = append(unstarted, Unstarted{byName[name], byName[name].Created, failedCreate, message})
	}
	return unstarted, nil
}

// Delete deletes a Job and its pod. It ignores a Job that is gone or has been
// replaced by another of the same name.
func (k KubernetesPods) Delete(ctx context.Context, job fleet.Job) error {
	uid, background := types.UID(job.UID), metav1.DeletePropagationBackground
	err := k.Client.BatchV1().Jobs(job.Namespace).Delete(ctx, job.Name, metav1.DeleteOptions{
		Preconditions: &metav1.Preconditions{UID: &uid}, PropagationPolicy: &background,
	})
	if err == nil || apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
		return nil
	}
	return failure(err, "delete Job "+job.Namespace+"/"+job.Name)
}

// KubernetesJobs implements Jobs. It needs permission to patch Jobs.
type KubernetesJobs struct{ Client kubernetes.Interface }

// Annotate adds annotations to a Job. It ignores one that is gone or has been replaced
// by another of the same name.
func (k KubernetesJobs) Annotate(ctx context.Context, job fleet.Job, annotations map[string]string) error {
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"uid": job.UID, "annotations": annotations}})
	if err != nil {
		return err
	}
	_, err = k.Client.BatchV1().Jobs(job.Namespace).Patch(ctx, job.Name, types.MergePatchType, patch, metav1.PatchOptions{FieldManager: fieldManager})
	if err == nil || apierrors.IsNotFound(err) || isReplaced(err) {
		return nil
	}
	return failure(err, "annotate Job "+job.Namespace+"/"+job.Name)
}

// isReplaced reports whether a patch was refused because its UID is not the object's.
func isReplaced(err error) bool {
	status, ok := errors.AsType[*apierrors.StatusError](err)
	return ok && status.ErrStatus.Details != nil &&
		slices.ContainsFunc(status.ErrStatus.Details.Causes, func(c metav1.StatusCause) bool { return c.Field == "metadata.uid" })
}

// Protect applies a PodDisruptionBudget with the name of the ScaledJob, which goes
// with it. Its selector leaves out the Jobs whose pods may be evicted: Kubernetes
// decides by it at each eviction, so that what is added back is protected at once.
func (k KubernetesPods) Protect(ctx context.Context, scaledJob Member, evictable []string) error {
	selector := metaapply.LabelSelector().WithMatchLabels(map[string]string{scaledJobLabel: scaledJob.Key.Name})
	if len(evictable) > 0 {
		selector.WithMatchExpressions(metaapply.LabelSelectorRequirement().
			WithKey(batchv1.JobNameLabel).WithOperator(metav1.LabelSelectorOpNotIn).WithValues(evictable...))
	}
	budget := policyapply.PodDisruptionBudget(scaledJob.Key.Name, scaledJob.Key.Namespace).
		WithLabels(map[string]string{"app.kubernetes.io/managed-by": fieldManager}).
		WithOwnerReferences(metaapply.OwnerReference().
			WithAPIVersion("keda.sh/v1alpha1").WithKind("ScaledJob").WithName(scaledJob.Key.Name).WithUID(scaledJob.UID)).
		WithSpec(policyapply.PodDisruptionBudgetSpec().WithMinAvailable(moreThanAll).WithSelector(selector))
	_, err := k.Client.PolicyV1().PodDisruptionBudgets(scaledJob.Key.Namespace).Apply(ctx, budget, metav1.ApplyOptions{FieldManager: fieldManager})
	if err != nil {
		return failure(err, "apply PodDisruptionBudget "+scaledJob.Key.String())
	}
	return nil
}

// scaledJobLabel is KEDA's on the pods of a ScaledJob.
const scaledJobLabel = "scaledjob.keda.sh/name"

// moreThanAll is a number of agents that there never are, so that none may be
// evicted. A Job has no scale, of which a maximum or a share could be taken.
var moreThanAll = intstr.FromInt32(1_000_000)

// failure adds the operation and, if it is forbidden, what to do.
func failure(err error, operation string) error {
	if apierrors.IsForbidden(err) {
		return fmt.Errorf("%s: %w; grant the service account this permission", operation, err)
	}
	return fmt.Errorf("%s: %w", operation, err)
}

// OwnerIn returns an Owner for Options that is unique to a name in a namespace.
// It needs permission to get the namespace.
func OwnerIn(ctx context.Context, client kubernetes.Interface, namespace, name string) (string, error) {
	object, err := client.CoreV1().Namespaces().Get(ctx, namespace, metav1.GetOptions{})
	if err != nil {
		return "", failure(err, "get namespace "+namespace)
	}
	return string(object.UID) + "/" + name, nil
}
