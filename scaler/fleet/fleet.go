// Package fleet keeps a view of what Kubernetes holds: the ScaledJobs that ask
// for agents, their Jobs and the pods of these, and the ScaledObjects.
package fleet

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/events"
)

// ScaledJobLabel is the label by which KEDA marks the Jobs of a ScaledJob.
const ScaledJobLabel = "scaledjob.keda.sh/name"

var (
	scaledJobs    = schema.GroupVersionResource{Group: "keda.sh", Version: "v1alpha1", Resource: "scaledjobs"}
	scaledObjects = schema.GroupVersionResource{Group: "keda.sh", Version: "v1alpha1", Resource: "scaledobjects"}
)

// Options say what a Fleet follows.
type Options struct {
	// Namespaces are those to follow; none means all.
	Namespaces []string
	// RememberFor is how long deleted Jobs are returned; see NewIndex.
	RememberFor time.Duration
	// JobLabel is the label whose value names what a Job belongs to; "" means
	// ScaledJobLabel.
	JobLabel string
	// ScaledJobs are followed in Kubernetes, and ScaledObjects too, if this is nil.
	// Without KEDA, these stand for them.
	ScaledJobs []*ScaledJob
}

// Fleet is an Index that follows Kubernetes until Stop.
type Fleet struct {
	*Index

	label   string
	objects bool // ScaledObjects are in view
	kube    kubernetes.Interface
	custom  dynamic.Interface
	// connection is that of the informers, and their clients.
	connection     *connection
	followedKube   kubernetes.Interface
	followedCustom dynamic.Interface
	informers      []cache.SharedIndexInformer
	synced         []cache.InformerSynced
	recorder       events.EventRecorder
	cancel         context.CancelFunc
	running        sync.WaitGroup
}

// New returns a fleet that does not follow anything yet.
func New(config *rest.Config, options Options) (*Fleet, error) {
	kube, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	custom, err := dynamic.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	f := &Fleet{Index: NewIndex(options.RememberFor), label: options.JobLabel, kube: kube, custom: custom, connection: newConnection()}
	persistent := f.connection.configure(config)
	if f.followedKube, err = kubernetes.NewForConfig(persistent); err != nil {
		return nil, err
	}
	if f.followedCustom, err = dynamic.NewForConfig(persistent); err != nil {
		return nil, err
	}
	if f.label == "" {
		f.label = ScaledJobLabel
	}
	return f, nil
}

// Simulated returns a fleet that follows nothing: its caller sets what it holds. Events
// are discarded.
func Simulated(rememberFor time.Duration) *Fleet {
	return &Fleet{
		Index: NewIndex(rememberFor), label: ScaledJobLabel, connection: newConnection(),
		recorder: &events.FakeRecorder{}, cancel: func() {},
	}
}

// Start returns a fleet once its view is complete. The context bounds the start.
// It is an error if ScaledJobs or Jobs may not be read; pods and ScaledObjects may
// be out of view.
func Start(ctx context.Context, config *rest.Config, options Options) (*Fleet, error) {
	f, err := New(config, options)
	if err != nil {
		return nil, err
	}
	namespaces := options.Namespaces
	if len(namespaces) == 0 {
		namespaces = []string{metav1.NamespaceAll}
	}
	for _, namespace := range namespaces {
		if options.ScaledJobs == nil {
			err = f.followScaledJobs(ctx, namespace)
		}
		if err := errors.Join(err, f.followJobs(ctx, namespace)); err != nil {
			return nil, err
		}
	}
	if f.followPods(ctx, namespaces) {
		f.ShowPods()
	}
	f.followRefusals(ctx, namespaces)
	f.objects = options.ScaledJobs == nil && f.followScaledObjects(ctx, namespaces)
	for _, s := range options.ScaledJobs {
		f.SetScaledJob(s)
	}
	if err := f.run(ctx); err != nil {
		return nil, err
	}
	return f, nil
}

// run starts to follow and waits until the view is complete.
func (f *Fleet) run(ctx context.Context) error {
	following, cancel := context.WithCancel(context.Background())
	f.cancel = cancel
	broadcaster := events.NewBroadcaster(&events.EventSinkImpl{Interface: f.kube.EventsV1()})
	f.recorder = broadcaster.NewRecorder(scheme.Scheme, "ado-agent-orchestrator")
	if err := broadcaster.StartRecordingToSinkWithContext(following); err != nil {
		return err
	}
	for _, informer := range f.informers {
		f.running.Go(func() { informer.RunWithContext(following) })
	}
	if !cache.WaitForCacheSync(ctx.Done(), f.synced...) {
		f.Stop()
		return fmt.Errorf("read ScaledJobs and Jobs: %w", ctx.Err())
	}
	return nil
}

// Stop ends the following.
func (f *Fleet) Stop() {
	f.cancel()
	f.running.Wait()
}

// ScaledObjectsInView reports whether ScaledObjects are in view.
func (f *Fleet) ScaledObjectsInView() bool { return f.objects }

// OutOfDate returns why the view may be out of date, nil if it is not.
func (f *Fleet) OutOfDate() error { return f.connection.err() }

// JobOf reads a Job that need not be in view yet.
func (f *Fleet) JobOf(job *batchv1.Job) Job { return jobOf(job, f.label) }

// Warn records a warning event on a ScaledJob, or on the ScaledObject if none has
// this name; permission errors are ignored.
func (f *Fleet) Warn(namespace, name, reason, message string) {
	f.record(namespace, name, corev1.EventTypeWarning, reason, message)
}

// Note records a normal event on a ScaledJob; permission errors are ignored.
func (f *Fleet) Note(namespace, scaledJob, reason, message string) {
	f.record(namespace, scaledJob, corev1.EventTypeNormal, reason, message)
}
