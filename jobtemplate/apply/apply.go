// Package apply writes the ScaledJobs of agent pools to Kubernetes and keeps
// them as they are meant to be.
package apply

import (
	"context"
	"errors"
	"fmt"

	kedav1alpha1 "github.com/kedacore/keda/v2/apis/keda/v1alpha1"
	"go.uber.org/zap"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/jobtemplate"
)

// Options say what is to be in Kubernetes.
type Options struct {
	// Namespace is that of everything else here.
	Namespace string
	// CreateNamespace makes it where it is missing.
	CreateNamespace bool
	// Secret is kept with what Token returns, unless Token is nil.
	Secret jobtemplate.SecretKey
	Token  func() (string, error)
	// ScaledJobs are all that there should be, in Namespace. Others that this
	// program made are left over if they have a trigger with ScalerAddress.
	ScaledJobs    []*kedav1alpha1.ScaledJob
	ScalerAddress string
	// Logger logs changes and, in Run, failures.
	Logger *zap.Logger
}

// Applier applies them. Its methods may not be called at the same time.
type Applier struct {
	Options
	kube       kubernetes.Interface
	scaledJobs dynamic.ResourceInterface
	schema     *Schema

	// applied is what is known to be there, by name.
	applied map[string]version
}

// version changes with what is asked for in an object.
type version struct {
	uid        types.UID
	generation int64
}

var scaledJobs = schema.GroupVersionResource{Group: "keda.sh", Version: "v1alpha1", Resource: "scaledjobs"}

// New makes an Applier. It asks nothing of Kubernetes yet.
func New(config *rest.Config, options Options) (*Applier, error) {
	kube, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	custom, err := dynamic.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	return &Applier{
		Options: options, kube: kube, scaledJobs: custom.Resource(scaledJobs).Namespace(options.Namespace),
		schema: NewSchema(kube.Discovery()), applied: map[string]version{},
	}, nil
}

// Prepare creates or updates the namespace and the Secret, which is all that Jobs without
// KEDA need. Keys of the Secret that others manage stay unchanged. It is an
// error if they manage the token.
func (a *Applier) Prepare(ctx context.Context) error {
	if err := a.namespace(ctx); err != nil {
		return err
	}
	return a.secret(ctx)
}

// Apply does what Prepare does, applies the ScaledJobs, and removes those that
// it applied before and that are no longer among them; their Jobs run on. Fields
// that others manage stay as they are; a setting for such a field is an error.
// Fields that the cluster's KEDA does not have are left out, with a warning. The
// error lists everything that failed; the rest was done.
func (a *Applier) Apply(ctx context.Context) error {
	if err := a.namespace(ctx); err != nil {
		return err
	}
	errs := []error{a.secret(ctx)}
	fields, changed, err := a.schema.Fields()
	if err != nil {
		return errors.Join(append(errs, err)...)
	}
	for _, scaledJob := range a.ScaledJobs {
		manifest, err := jobtemplate.Manifest(scaledJob)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		if omitted := jobtemplate.Fit(manifest, fields); changed && len(omitted) > 0 {
			a.Logger.Warn("ScaledJob applied without fields that KEDA does not have",
				zap.String("namespace", a.Namespace), zap.String("scaledJob", scaledJob.Name), zap.Stringers("omitted", omitted))
		}
		if err := a.scaledJob(ctx, manifest); err != nil {
			errs = append(errs, fmt.Errorf("apply ScaledJob %s/%s: %w", a.Namespace, scaledJob.Name, err))
		}
	}
	errs = append(errs, a.removeOthers(ctx))
	return errors.Join(errs...)
}

func (a *Applier) scaledJob(ctx context.Context, manifest *unstructured.Unstructured) error {
	name := manifest.GetName()
	options := metav1.ApplyOptions{FieldManager: jobtemplate.Manager}
	result, err := a.scaledJobs.Apply(ctx, name, manifest, options)
	if onlyYielding(err) {
		options.Force = true
		result, err = a.scaledJobs.Apply(ctx, name, manifest, options)
	}
	if err != nil {
		return explain(err)
	}
	if result.GetDeletionTimestamp() != nil {
		return errors.New("it is being deleted; it is created again once it is gone")
	}
	now := version{result.GetUID(), result.GetGeneration()}
	if a.applied[name] != now {
		a.applied[name] = now
		a.Logger.Info("ScaledJob applied", zap.String("namespace", a.Namespace), zap.String("scaledJob", name))
	}
	return nil
}
