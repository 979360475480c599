package main

import (
	"context"
	"errors"
	"sync"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
)

// madeJob is a Job that KEDA has made.
type madeJob struct {
	name        string
	made, ended time.Time // as seen here, for Kubernetes stores whole seconds only
}

// jobRecord has all Jobs of all sites, those that are gone as well.
type jobRecord struct {
	mu   sync.Mutex
	jobs map[types.NamespacedName]*madeJob
}

// recordJobs follows the Jobs until ctx ends.
func recordJobs(ctx context.Context, client kubernetes.Interface) (*jobRecord, error) {
	r := &jobRecord{jobs: map[types.NamespacedName]*madeJob{}}
	factory := informers.NewSharedInformerFactory(client, 0)
	informer := factory.Batch().V1().Jobs().Informer()
	if _, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    func(object any) { r.seen(object.(*batchv1.Job)) },
		UpdateFunc: func(_, object any) { r.seen(object.(*batchv1.Job)) },
	}); err != nil {
		return nil, err
	}
	factory.Start(ctx.Done())
	if !cache.WaitForCacheSync(ctx.Done(), informer.HasSynced) {
		return nil, errors.New("the Jobs cannot be watched")
	}
	return r, nil
}

func (r *jobRecord) seen(object *batchv1.Job) {
	r.mu.Lock()
	defer r.mu.Unlock()
	key := types.NamespacedName{Namespace: object.Namespace, Name: object.Name}
	job := r.jobs[key]
	if job == nil {
		job = &madeJob{name: object.Name, made: time.Now()}
		r.jobs[key] = job
	}
	if job.ended.IsZero() && ended(object) {
		job.ended = time.Now()
	}
}

func ended(job *batchv1.Job) bool {
	for _, condition := range job.Status.Conditions {
		final := condition.Type == batchv1.JobComplete || condition.Type == batchv1.JobFailed
		if final && condition.Status == corev1.ConditionTrue {
			return true
		}
	}
	return false
}

// of returns the Jobs of a site.
func (r *jobRecord) of(namespace string) []madeJob {
	r.mu.Lock()
	defer r.mu.Unlock()
	var jobs []madeJob
	for key, job := range r.jobs {
		if key.Namespace == namespace {
			jobs = append(jobs, *job)
		}
	}
	return jobs
}
