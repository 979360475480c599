// Package fleet keeps a view of what Kubernetes holds: the ScaledJobs that ask
// for agents, and their Jobs.
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
	"k8s.io/client-go/dynamic/dynamicinformer"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/events"
)

// ScaledJobLabel is the label by which KEDA marks the Jobs of a ScaledJob.
const ScaledJobLabel = "scaledjob.keda.sh/name"

var scaledJobs = schema.GroupVersionResource{Group: "keda.sh", Version: "v1alpha1", Resource: "scaledjobs"}

// RememberFor is how long a Job that was deleted is still told of: longer than
// a snapshot may serve on while Azure DevOps fails.
const RememberFor = 2 * time.Minute

// Fleet is the view. It follows Kubernetes until Stop.
type Fleet struct {
	owner      string // the label by which Jobs name what they belong to
	kube       kubernetes.Interface
	custom     dynamic.Interface
	scaledJobs []cache.SharedIndexInformer // one for each namespace
	jobs       []cache.SharedIndexInformer
	recorder   events.EventRecorder
	cancel     context.CancelFunc
	running    sync.WaitGroup

	mu      sync.Mutex
	deleted []Job
}

// Start begins to follow ScaledJobs and Jobs in these namespaces, none meaning
// all, and waits until the view is complete. The context bounds the start. It is
// an error if they may not be read.
func Start(ctx context.Context, config *rest.Config, namespaces ...string) (*Fleet, error) {
	f, err := newFleet(config, ScaledJobLabel)
	if err != nil {
		return nil, err
	}
	if len(namespaces) == 0 {
		namespaces = []string{metav1.NamespaceAll}
	}
	for _, namespace := range namespaces {
		if err := errors.Join(f.followScaledJobs(ctx, namespace), f.followJobs(ctx, namespace)); err != nil {
			return nil, err
		}
	}
	if err := f.run(ctx); err != nil {
		return nil, err
	}
	return f, nil
}

// StartJobs is Start without KEDA: it follows just the Jobs of a namespace that
// have a label, whose value takes the place of a ScaledJob's name.
func StartJobs(ctx context.Context, config *rest.Config, namespace, label string) (*Fleet, error) {
	f, err := newFleet(config, label)
	if err != nil {
		return nil, err
	}
	if err := f.followJobs(ctx, namespace); err != nil {
		return nil, err
	}
	if err := f.run(ctx); err != nil {
		return nil, err
	}
	return f, nil
}

func newFleet(config *rest.Config, owner string) (*Fleet, error) {
	kube, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	custom, err := dynamic.NewForConfig(config)
	return &Fleet{owner: owner, kube: kube, custom: custom}, err
}

// An informer that may not read would try for ever, in silence.
var one = metav1.ListOptions{Limit: 1}

func (f *Fleet) followScaledJobs(ctx context.Context, namespace string) error {
	if _, err := f.custom.Resource(scaledJobs).Namespace(namespace).List(ctx, one); err != nil {
		return fmt.Errorf("list ScaledJobs: %w", err)
	}
	objects := dynamicinformer.NewFilteredDynamicInformer(f.custom, scaledJobs, namespace, 0, cache.Indexers{}, nil).Informer()
	f.scaledJobs = append(f.scaledJobs, objects)
	return objects.SetTransform(stripScaledJob)
}

func (f *Fleet) followJobs(ctx context.Context, namespace string) error {
	if _, err := f.kube.BatchV1().Jobs(namespace).List(ctx, one); err != nil {
		return fmt.Errorf("list Jobs: %w", err)
	}
	jobs := informers.NewSharedInformerFactoryWithOptions(f.kube, 0,
		informers.WithNamespace(namespace),
		informers.WithTweakListOptions(func(o *metav1.ListOptions) { o.LabelSelector = f.owner }),
	).Batch().V1().Jobs().Informer()
	f.jobs = append(f.jobs, jobs)
	if err := jobs.SetTransform(f.stripJob); err != nil {
		return err
	}
	_, err := jobs.AddEventHandler(cache.ResourceEventHandlerFuncs{DeleteFunc: f.remember})
	return err
}

func (f *Fleet) run(ctx context.Context) error {
	following, cancel := context.WithCancel(context.Background())
	f.cancel = cancel
	broadcaster := events.NewBroadcaster(&events.EventSinkImpl{Interface: f.kube.EventsV1()})
	f.recorder = broadcaster.NewRecorder(scheme.Scheme, "ado-agent-orchestrator")
	if err := broadcaster.StartRecordingToSinkWithContext(following); err != nil {
		return err
	}
	var synced []cache.InformerSynced
	for _, informer := range append(f.scaledJobs, f.jobs...) {
		f.running.Go(func() { informer.RunWithContext(following) })
		synced = append(synced, informer.HasSynced)
	}
	if !cache.WaitForCacheSync(ctx.Done(), synced...) {
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

// ScaledJobs are those that have a trigger of type external.
func (f *Fleet) ScaledJobs() []ScaledJob {
	var list []ScaledJob
	for _, informer := range f.scaledJobs {
		for _, object := range informer.GetStore().List() {
			if s, ok := scaledJobOf(object); ok {
				list = append(list, s)
			}
		}
	}
	return list
}

// Jobs are those of all ScaledJobs, and those that were deleted of late.
func (f *Fleet) Jobs() []Job {
	f.mu.Lock()
	list := append([]Job(nil), f.deleted...)
	f.mu.Unlock()
	for _, informer := range f.jobs {
		for _, object := range informer.GetStore().List() {
			if job, ok := object.(*batchv1.Job); ok {
				list = append(list, f.JobOf(job))
			}
		}
	}
	return list
}

// Warn records an event on a ScaledJob that something is wrong. That it may not
// is of no consequence.
func (f *Fleet) Warn(namespace, scaledJob, reason, message string) {
	f.record(namespace, scaledJob, corev1.EventTypeWarning, reason, message)
}

// Note records an event on a ScaledJob that something was done.
func (f *Fleet) Note(namespace, scaledJob, reason, message string) {
	f.record(namespace, scaledJob, corev1.EventTypeNormal, reason, message)
}

func (f *Fleet) record(namespace, scaledJob, kind, reason, message string) {
	regarding := &corev1.ObjectReference{
		APIVersion: scaledJobs.GroupVersion().String(), Kind: "ScaledJob", Namespace: namespace, Name: scaledJob,
	}
	for _, s := range f.ScaledJobs() {
		if s.Namespace == namespace && s.Name == scaledJob {
			regarding.UID = s.uid
		}
	}
	f.recorder.Eventf(regarding, nil, kind, reason, "Scale", "%s", message)
}

// remember keeps a Job that was deleted: it may have taken a request that a
// snapshot from before still shows as queued.
func (f *Fleet) remember(object any) {
	if tombstone, ok := object.(cache.DeletedFinalStateUnknown); ok {
		object = tombstone.Obj
	}
	gone, ok := object.(*batchv1.Job)
	if !ok {
		return
	}
	job, now := f.JobOf(gone), time.Now()
	if job.Ended.IsZero() {
		job.Ended = now
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	kept := f.deleted[:0]
	for _, other := range f.deleted {
		if now.Sub(other.Ended) < RememberFor {
			kept = append(kept, other)
		}
	}
	if now.Sub(job.Ended) < RememberFor {
		kept = append(kept, job)
	}
	f.deleted = kept
}
