package fleet

import (
	"context"
	"fmt"

	authorizationv1 "k8s.io/api/authorization/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic/dynamicinformer"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/tools/cache"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue/safetext"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/plan"
)

// slim is what an informer keeps of an object: its identity, and what is read of
// it here. The pod templates of ScaledJobs and Jobs are most of them.
type slim[T any] struct {
	metav1.ObjectMeta

	value T
}

func slimOf[T any](object metav1.Object, value T) *slim[T] {
	return &slim[T]{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: object.GetNamespace(), Name: object.GetName(), UID: object.GetUID(), ResourceVersion: object.GetResourceVersion(),
		},
		value: value,
	}
}

// follow keeps the index as the objects of an informer are. Each passes through
// read once.
func follow[T any](f *Fleet, informer cache.SharedIndexInformer, read func(object any) (*slim[T], bool), set, unset func(T)) error {
	err := informer.SetTransform(func(object any) (any, error) {
		if read, ok := read(object); ok {
			return read, nil
		}
		return object, nil // has been read before, or stands for one that is gone
	})
	if err != nil {
		return err
	}
	with := func(use func(T)) func(any) {
		return func(object any) {
			if gone, ok := object.(cache.DeletedFinalStateUnknown); ok {
				object = gone.Obj
			}
			if s, ok := object.(*slim[T]); ok {
				use(s.value)
			}
		}
	}
	update := with(set)
	registration, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc: update, UpdateFunc: func(_, object any) { update(object) }, DeleteFunc: with(unset),
	})
	if err != nil {
		return err
	}
	f.informers = append(f.informers, informer)
	f.synced = append(f.synced, registration.HasSynced)
	return nil
}

// one is for lists that find out whether lists are allowed: an informer retries
// forever, in silence.
var one = metav1.ListOptions{Limit: 1}

func (f *Fleet) followScaledJobs(ctx context.Context, namespace string) error {
	if _, err := f.custom.Resource(scaledJobs).Namespace(namespace).List(ctx, one); err != nil {
		return fmt.Errorf("list ScaledJobs: %w", err)
	}
	informer := dynamicinformer.NewFilteredDynamicInformer(f.followedCustom, scaledJobs, namespace, 0, cache.Indexers{}, nil).Informer()
	return follow(f, informer, func(object any) (*slim[viewedScaledJob], bool) {
		u, ok := object.(*unstructured.Unstructured)
		if !ok {
			return nil, false
		}
		return slimOf(u, viewedScaledJob{scaledJobOf(u), readyOf(u)}), true
	}, f.setOrDelete, func(s viewedScaledJob) { f.DeleteScaledJob(s.scaledJob.Key) })
}

// viewedScaledJob is a ScaledJob with what KEDA says of it.
type viewedScaledJob struct {
	scaledJob *ScaledJob
	ready     Condition
}

// setOrDelete leaves out ScaledJobs that no external scaler serves.
func (f *Fleet) setOrDelete(s viewedScaledJob) {
	if len(s.scaledJob.Triggers) == 0 {
		f.DeleteScaledJob(s.scaledJob.Key)
		return
	}
	f.SetScaledJob(s.scaledJob)
	f.SetReady(s.scaledJob.Key, s.ready)
}

func (f *Fleet) followJobs(ctx context.Context, namespace string) error {
	if _, err := f.kube.BatchV1().Jobs(namespace).List(ctx, one); err != nil {
		return fmt.Errorf("list Jobs: %w", err)
	}
	informer := informers.NewSharedInformerFactoryWithOptions(f.followedKube, 0, informers.WithNamespace(namespace),
		informers.WithTweakListOptions(func(o *metav1.ListOptions) { o.LabelSelector = f.label }),
	).Batch().V1().Jobs().Informer()
	return follow(f, informer, func(object any) (*slim[Job], bool) {
		job, ok := object.(*batchv1.Job)
		if !ok {
			return nil, false
		}
		return slimOf(job, f.JobOf(job)), true
	}, f.SetJob, f.DeleteJob)
}

// followPods reports whether pods may be followed in all of the namespaces.
func (f *Fleet) followPods(ctx context.Context, namespaces []string) bool {
	if !f.mayWatch(ctx, namespaces, schema.GroupResource{Resource: "pods"}) {
		return false
	}
	for _, namespace := range namespaces {
		informer := informers.NewSharedInformerFactoryWithOptions(f.followedKube, 0, informers.WithNamespace(namespace),
			informers.WithTweakListOptions(func(o *metav1.ListOptions) { o.LabelSelector = batchv1.JobNameLabel }),
		).Core().V1().Pods().Informer()
		err := follow(f, informer, func(object any) (*slim[Pod], bool) {
			pod, ok := object.(*corev1.Pod)
			if !ok {
				return nil, false
			}
			read, _ := podOf(pod)
			return slimOf(pod, read), true
		}, f.SetPod, f.DeletePod)
		if err != nil {
			return false
		}
	}
	return true
}

// followRefusals follows the Job controller's events about pods that it cannot
// create, if that is allowed in all of the namespaces.
func (f *Fleet) followRefusals(ctx context.Context, namespaces []string) {
	if !f.mayWatch(ctx, namespaces, schema.GroupResource{Resource: "events"}) {
		return
	}
	for _, namespace := range namespaces {
		informer := informers.NewSharedInformerFactoryWithOptions(f.kube, 0, informers.WithNamespace(namespace),
			informers.WithTweakListOptions(func(o *metav1.ListOptions) { o.FieldSelector = "involvedObject.kind=Job,reason=FailedCreate" }),
		).Core().V1().Events().Informer()
		err := follow(f, informer, func(object any) (*slim[Refusal], bool) {
			event, ok := object.(*corev1.Event)
			if !ok {
				return nil, false
			}
			return slimOf(event, refusalOf(event)), true
		}, f.SetRefusal, func(Refusal) {})
		if err != nil {
			return
		}
	}
}

// followScaledObjects reports whether ScaledObjects may be followed in all of the
// namespaces.
func (f *Fleet) followScaledObjects(ctx context.Context, namespaces []string) bool {
	if !f.mayWatch(ctx, namespaces, scaledObjects.GroupResource()) {
		return false
	}
	// All rights cover a kind that does not exist as well.
	if _, err := f.custom.Resource(scaledObjects).Namespace(namespaces[0]).List(ctx, one); err != nil {
		return false
	}
	for _, namespace := range namespaces {
		informer := dynamicinformer.NewFilteredDynamicInformer(f.followedCustom, scaledObjects, namespace, 0, cache.Indexers{}, nil).Informer()
		err := follow(f, informer, func(object any) (*slim[*ScaledObject], bool) {
			u, ok := object.(*unstructured.Unstructured)
			if !ok {
				return nil, false
			}
			return slimOf(u, scaledObjectOf(u)), true
		}, f.setOrDeleteObject, func(o *ScaledObject) { f.DeleteScaledObject(o.Key) })
		if err != nil {
			return false
		}
	}
	return true
}

// setOrDeleteObject leaves out ScaledObjects that no external scaler serves.
func (f *Fleet) setOrDeleteObject(o *ScaledObject) {
	if len(o.Triggers) == 0 {
		f.DeleteScaledObject(o.Key)
		return
	}
	f.SetScaledObject(o)
}

// mayWatch asks for both rights in all of the namespaces: the one to list alone
// does not make a view.
func (f *Fleet) mayWatch(ctx context.Context, namespaces []string, resource schema.GroupResource) bool {
	for _, namespace := range namespaces {
		for _, verb := range []string{"list", "watch"} {
			review, err := f.kube.AuthorizationV1().SelfSubjectAccessReviews().Create(ctx, &authorizationv1.SelfSubjectAccessReview{
				Spec: authorizationv1.SelfSubjectAccessReviewSpec{ResourceAttributes: &authorizationv1.ResourceAttributes{
					Namespace: namespace, Verb: verb, Group: resource.Group, Resource: resource.Resource,
				}},
			}, metav1.CreateOptions{})
			if err != nil || !review.Status.Allowed {
				return false
			}
		}
	}
	return true
}

// record writes an event about the ScaledJob of this name, or about the
// ScaledObject if there is only that.
func (f *Fleet) record(namespace, name, kind, reason, message string) {
	key := plan.Key{Namespace: namespace, Name: name}
	regarding := &corev1.ObjectReference{
		APIVersion: scaledJobs.GroupVersion().String(), Kind: "ScaledJob", Namespace: namespace, Name: name,
	}
	if s, ok := f.ScaledJob(key); ok {
		regarding.UID = s.UID
	} else if o, ok := f.ScaledObject(key); ok {
		regarding.Kind, regarding.UID = "ScaledObject", o.UID
	}
	f.recorder.Eventf(regarding, nil, kind, reason, "Scale", "%s", safetext.Printable(message))
}
