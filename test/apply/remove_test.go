package apply_test

import (
	"context"
	"slices"
	"testing"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/jobtemplate"
	batchv1 "k8s.io/api/batch/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/test/controlplane"
)

// finalizer is what KEDA puts on a ScaledJob that it has taken on.
const finalizer = "finalizer.keda.sh"

// TestRemove takes a pool out of the list while one of its Jobs runs, with
// KEDA's operator at work.
func TestRemove(t *testing.T) {
	plane := controlplane.ForTest(t, controlplane.Options{})
	s := newEnv(t, plane.Config(), "remove")
	both := s.options("linux", "windows")
	s.mustApply(both)
	for _, name := range []string{linux, windows} {
		s.eventually("KEDA has taken on "+name, func(context.Context) bool {
			return slices.Contains(s.get(name).GetFinalizers(), finalizer)
		})
	}
	// KEDA has written the whole object, but no field of ours otherwise.
	s.mustApply(both)

	running := s.startJob(s.get(windows))
	s.foreign("by-others", "kubectl", scalerAddress)
	s.foreign("of-another-scaler", jobtemplate.Manager, "another:9090")
	s.mustApply(s.options("linux"))
	s.eventually("the ScaledJob is gone", func(ctx context.Context) bool {
		_, err := s.scaledJobs().Get(ctx, windows, metav1.GetOptions{})
		return apierrors.IsNotFound(err)
	})
	for _, name := range []string{linux, "by-others", "of-another-scaler"} {
		if s.get(name).GetDeletionTimestamp() != nil {
			t.Errorf("%s is deleted", name)
		}
	}
	s.orphaned(running.Name)

	// It finishes, and goes after its own time to live. Meanwhile the pool may be
	// wanted again.
	s.mustApply(both)
	patch := `{"spec": {"activeDeadlineSeconds": 1, "ttlSecondsAfterFinished": 0}}`
	if _, err := s.kube.BatchV1().Jobs(s.namespace).Patch(t.Context(), running.Name, types.MergePatchType, []byte(patch), metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
	s.eventually("the Job has ended and is gone", func(ctx context.Context) bool {
		_, err := s.kube.BatchV1().Jobs(s.namespace).Get(ctx, running.Name, metav1.GetOptions{})
		return apierrors.IsNotFound(err)
	})
}

// orphaned wants a Job to be there, owned by nobody, after the garbage collector
// has had its time: it has by the time that it collects something else.
func (s *env) orphaned(name string) {
	s.t.Helper()
	control := s.startJob(s.get(linux))
	if err := s.scaledJobs().Delete(s.t.Context(), linux, metav1.DeleteOptions{PropagationPolicy: new(metav1.DeletePropagationBackground)}); err != nil {
		s.t.Fatal(err)
	}
	s.eventually("the Job of a ScaledJob that was deleted plainly is gone", func(ctx context.Context) bool {
		job, err := s.kube.BatchV1().Jobs(s.namespace).Get(ctx, control.Name, metav1.GetOptions{})
		return apierrors.IsNotFound(err) || err == nil && job.DeletionTimestamp != nil
	})
	var job *batchv1.Job
	job, err := s.kube.BatchV1().Jobs(s.namespace).Get(s.t.Context(), name, metav1.GetOptions{})
	if err != nil || len(job.OwnerReferences) > 0 || job.DeletionTimestamp != nil {
		s.t.Errorf("the running Job: %v, %v", job, err)
	}
}

// foreign makes a ScaledJob that looks like ours, but is not.
func (s *env) foreign(name, manager, address string) {
	s.t.Helper()
	settings := s.settings(name)
	settings.Scaling.ScalerAddress = address
	manifest, err := jobtemplate.Manifest(s.scaledJob(settings))
	if err != nil {
		s.t.Fatal(err)
	}
	manifest.SetName(name)
	if _, err := s.scaledJobs().Apply(s.t.Context(), name, manifest, metav1.ApplyOptions{FieldManager: manager}); err != nil {
		s.t.Fatal(err)
	}
}
