package cluster

import (
	"context"
	"errors"
	"strings"
	"sync"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
)

// MadeJob is a Job that KEDA has made.
type MadeJob struct {
	Name string
	// Made and Ended are as seen here, since Kubernetes has whole seconds only.
	Made, Ended time.Time
	// Created is Kubernetes' time.
	Created time.Time
	Failed  bool
}

// JobRecord has all Jobs of all environments, those that are gone as well.
type JobRecord struct {
	mu   sync.Mutex
	jobs map[types.NamespacedName]*MadeJob
}

// RecordJobs follows the Jobs until ctx ends.
func RecordJobs(ctx context.Context, client kubernetes.Interface) (*JobRecord, error) {
	r := &JobRecord{jobs: map[types.NamespacedName]*MadeJob{}}
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

func (r *JobRecord) seen(object *batchv1.Job) {
	r.mu.Lock()
	defer r.mu.Unlock()
	key := types.NamespacedName{Namespace: object.Namespace, Name: object.Name}
	job := r.jobs[key]
	if job == nil {
		job = &MadeJob{Name: object.Name, Made: time.Now(), Created: object.CreationTimestamp.Time}
		r.jobs[key] = job
	}
	for _, condition := range object.Status.Conditions {
		failed := condition.Type == batchv1.JobFailed
		if job.Ended.IsZero() && (failed || condition.Type == batchv1.JobComplete) && condition.Status == corev1.ConditionTrue {
			job.Ended, job.Failed = time.Now(), failed
		}
	}
}

// Of returns the Jobs of an environment.
func (r *JobRecord) Of(namespace string) []MadeJob {
	r.mu.Lock()
	defer r.mu.Unlock()
	var jobs []MadeJob
	for key, job := range r.jobs {
		if key.Namespace == namespace {
			jobs = append(jobs, *job)
		}
	}
	return jobs
}

// JobOf returns the Job of an agent, which is named after its pod.
func JobOf(agent string) string {
	i := strings.LastIndexByte(agent, '-')
	return agent[:max(i, 0)]
}
