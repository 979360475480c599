// Package fleet keeps a view of what Kubernetes holds: the ScaledJobs that ask
// for agents, and their Jobs.
package fleet

import (
	"context"
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

// rememberFor is how long a Job that was deleted is still told of: longer than
// a snapshot may serve on while Azure DevOps fails.
const rememberFor = 2 * time.Minute

// Fleet is the view. It follows Kubernetes until Stop.
type Fleet struct {
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
	kube, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	custom, err := dynamic.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	if len(namespaces) == 0 {
		namespaces = []string{metav1.NamespaceAll}
	}
	broadcaster := events.NewBroadcaster(&events.EventSinkImpl{Interface: kube.EventsV1()})
	f := &Fleet{recorder: broadcaster.NewRecorder(scheme.Scheme, "ado-agent-orchestrator")}
	for _, namespace := range namespaces {
		// An informer would try for ever, in silence.
		if err := readable(ctx, kube, custom, namespace); err != nil {
			return nil, err
		}
		if err := f.follow(kube, custom, namespace); err != nil {
			return nil, err
		}
	}
	if err := f.run(ctx, broadcaster); err != nil {
		return nil, err
	}
	return f, nil
}

func readable(ctx context.Context, kube kubernetes.Interface, custom dynamic.Interface, namespace string) error {
	one := metav1.ListOptions{Limit: 1}
	if _, err := custom.Resource(scaledJobs).Namespace(namespace).List(ctx, one); err != nil {
		return fmt.Errorf("list ScaledJobs: %w", err)
	}
	if _, err := kube.BatchV1().Jobs(namespace).List(ctx, one); err != nil {
		return fmt.Errorf("list Jobs: %w", err)
	}
	return nil
}

func (f *Fleet) follow(kube kubernetes.Interface, custom dynamic.Interface, namespace string) error {
	objects := dynamicinformer.NewFilteredDynamicInformer(custom, scaledJobs, namespace, 0, cache.Indexers{}, nil).Informer()
	jobs := informers.NewSharedInformerFactoryWithOptions(kube, 0,
		informers.WithNamespace(namespace),
		informers.WithTweakListOptions(func(o *metav1.ListOptions) { o.LabelSelector = ScaledJobLabel }),
	).Batch().V1().Jobs().Informer()
	if err := objects.SetTransform(stripScaledJob); err != nil {
		return err
	}
	if err := jobs.SetTransform(stripJob); err != nil {
		return err
	}
	if _, err := jobs.AddEventHandler(cache.ResourceEventHandlerFuncs{DeleteFunc: f.remember}); err != nil {
		return err
	}
	f.scaledJobs = append(f.scaledJobs, objects)
	f.jobs = append(f.jobs, jobs)
	return nil
}

func (f *Fleet) run(ctx context.Context, broadcaster events.EventBroadcaster) error {
	following, cancel := context.WithCancel(context.Background())
	f.cancel = cancel
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
				list = append(list, jobOf(job))
			}
		}
	}
	return list
}

// Warn records an event on a ScaledJob. That it may not is of no consequence.
func (f *Fleet) Warn(namespace, scaledJob, reason, message string) {
	regarding := &corev1.ObjectReference{
		APIVersion: scaledJobs.GroupVersion().String(), Kind: "ScaledJob", Namespace: namespace, Name: scaledJob,
	}
	for _, s := range f.ScaledJobs() {
		if s.Namespace == namespace && s.Name == scaledJob {
			regarding.UID = s.uid
		}
	}
	f.recorder.Eventf(regarding, nil, corev1.EventTypeWarning, reason, "Scale", "%s", message)
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
	job, now := jobOf(gone), time.Now()
	if job.Ended.IsZero() {
		job.Ended = now
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	kept := f.deleted[:0]
	for _, other := range f.deleted {
		if now.Sub(other.Ended) < rememberFor {
			kept = append(kept, other)
		}
	}
	if now.Sub(job.Ended) < rememberFor {
		kept = append(kept, job)
	}
	f.deleted = kept
}
