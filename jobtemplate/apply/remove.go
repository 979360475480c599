package apply

import (
	"context"
	"errors"
	"fmt"

	"go.uber.org/zap"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/jobtemplate"
)

// removeOthers deletes the ScaledJobs that were applied and are wanted no more.
func (a *Applier) removeOthers(ctx context.Context) error {
	wanted := map[string]bool{}
	for _, scaledJob := range a.ScaledJobs {
		wanted[scaledJob.Name] = true
	}
	list, err := a.scaledJobs.List(ctx, metav1.ListOptions{LabelSelector: jobtemplate.ManagedByLabel + "=" + jobtemplate.Manager})
	if err != nil {
		return fmt.Errorf("list ScaledJobs in %s: %w", a.Namespace, explain(err))
	}
	var errs []error
	for i := range list.Items {
		if object := &list.Items[i]; !wanted[object.GetName()] && a.made(object) {
			errs = append(errs, a.remove(ctx, object))
		}
	}
	return errors.Join(errs...)
}

// made reports whether a ScaledJob is one of this installation's. The label alone
// does not: it is also in what was rendered and applied by somebody else.
func (a *Applier) made(object *unstructured.Unstructured) bool {
	applied := false
	for _, entry := range object.GetManagedFields() {
		applied = applied || entry.Manager == jobtemplate.Manager && entry.Operation == metav1.ManagedFieldsOperationApply
	}
	triggers, _, _ := unstructured.NestedSlice(object.Object, "spec", "triggers")
	for _, trigger := range triggers {
		fields, _ := trigger.(map[string]any)
		if address, _, _ := unstructured.NestedString(fields, "metadata", "scalerAddress"); address == a.ScalerAddress {
			return applied
		}
	}
	return false
}

// remove deletes a ScaledJob. KEDA made it the owner of its Jobs, which would be
// deleted with it, and the builds in them, if they were not orphaned. They go
// when they have finished, by their own time to live.
func (a *Applier) remove(ctx context.Context, object *unstructured.Unstructured) error {
	if object.GetDeletionTimestamp() != nil {
		return nil
	}
	uid := object.GetUID()
	err := a.scaledJobs.Delete(ctx, object.GetName(), metav1.DeleteOptions{
		PropagationPolicy: new(metav1.DeletePropagationOrphan),
		Preconditions:     &metav1.Preconditions{UID: &uid},
	})
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("delete ScaledJob %s/%s: %w", a.Namespace, object.GetName(), explain(err))
	}
	delete(a.applied, object.GetName())
	a.Logger.Info("ScaledJob removed, since its pool is not in AGENT_POOLS any more; its Jobs continue",
		zap.String("namespace", a.Namespace), zap.String("scaledJob", object.GetName()))
	return nil
}
