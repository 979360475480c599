package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/test/controlplane"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/test/workload"
)

const (
	namespace = metav1.NamespaceDefault
	// scalerAddress is how the ScaledJobs name the scaler. It is not called by
	// this name, since there is no KEDA.
	scalerAddress = "ado-agent-orchestrator:9090"
	// podsWithin bounds how long the Job controller may take to create the pods.
	podsWithin = 10 * time.Minute
	// writers is the number of writes to Kubernetes at a time.
	writers = 16
)

// apiServer is the Kubernetes that the scaler views.
type apiServer struct {
	kube    kubernetes.Interface
	dynamic dynamic.Interface
}

func newAPIServer(plane *controlplane.ControlPlane) (*apiServer, error) {
	kube, err := kubernetes.NewForConfig(plane.Config())
	if err != nil {
		return nil, err
	}
	custom, err := dynamic.NewForConfig(plane.Config())
	return &apiServer{kube: kube, dynamic: custom}, err
}

// each calls do for 0 to n-1, some at a time.
func each(ctx context.Context, n int, do func(ctx context.Context, i int) error) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(writers)
	for i := range n {
		group.Go(func() error { return do(ctx, i) })
	}
	return group.Wait()
}

// createScaledJobs creates a ScaledJob for each reference.
func (c *apiServer) createScaledJobs(ctx context.Context, refs []ref, organization string, interval time.Duration) ([]*unstructured.Unstructured, error) {
	created := make([]*unstructured.Unstructured, len(refs))
	err := each(ctx, len(refs), func(ctx context.Context, i int) error {
		object := workload.ScaledJob{
			Namespace: namespace, Name: refs[i].name, ScalerAddress: scalerAddress,
			OrganizationURL: organization, Pool: refs[i].pool, PollingInterval: interval,
		}.Object()
		var err error
		created[i], err = c.dynamic.Resource(workload.ScaledJobs).Namespace(namespace).Create(ctx, object, metav1.CreateOptions{})
		return err
	})
	return created, err
}

// createJobs creates Jobs as KEDA does, dealt to the ScaledJobs in turn.
func (c *apiServer) createJobs(ctx context.Context, scaledJobs []*unstructured.Unstructured, n int) error {
	return each(ctx, n, func(ctx context.Context, i int) error {
		job, err := jobOf(scaledJobs[i%len(scaledJobs)])
		if err != nil {
			return err
		}
		_, err = c.kube.BatchV1().Jobs(namespace).Create(ctx, job, metav1.CreateOptions{})
		return err
	})
}

// jobOf returns a Job that KEDA would create for a ScaledJob.
func jobOf(scaledJob *unstructured.Unstructured) (*batchv1.Job, error) {
	spec, _, err := unstructured.NestedMap(scaledJob.Object, "spec", "jobTargetRef")
	if err != nil {
		return nil, err
	}
	name := scaledJob.GetName()
	job := &batchv1.Job{ObjectMeta: metav1.ObjectMeta{
		GenerateName: name + "-",
		Labels: map[string]string{
			"app.kubernetes.io/name": name, "app.kubernetes.io/part-of": name,
			"app.kubernetes.io/managed-by": "keda-operator", scaledJobLabel: name,
		},
		OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(scaledJob, scaledJob.GroupVersionKind())},
	}}
	return job, runtime.DefaultUnstructuredConverter.FromUnstructured(spec, &job.Spec)
}

// scaledJobLabel is the label that KEDA sets on Jobs.
const scaledJobLabel = "scaledjob.keda.sh/name"

// ownerOf returns the name of the ScaledJob of a Job's pod.
func ownerOf(pod *corev1.Pod) string {
	job := pod.Labels[batchv1.JobNameLabel]
	return job[:max(strings.LastIndexByte(job, '-'), 0)]
}

// awaitPods returns the pods once the Job controller has created n.
func (c *apiServer) awaitPods(ctx context.Context, n int) ([]corev1.Pod, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, podsWithin, errors.New("the Job controller did not create all pods"))
	defer cancel()
	var pods []corev1.Pod
	err := wait.PollUntilContextCancel(ctx, time.Second, true, func(ctx context.Context) (bool, error) {
		list, err := c.kube.CoreV1().Pods(namespace).List(ctx, metav1.ListOptions{})
		if err != nil {
			return false, err
		}
		pods = list.Items
		return len(pods) >= n, nil
	})
	if err != nil {
		return nil, fmt.Errorf("%d of %d pods: %w", len(pods), n, errors.Join(err, context.Cause(ctx)))
	}
	return pods, nil
}

// run makes pods running ones, as a kubelet would.
func (c *apiServer) run(ctx context.Context, pods []corev1.Pod) error {
	patch := []byte(`{"status":{"phase":"Running","conditions":[{"type":"Ready","status":"True"}]}}`)
	return each(ctx, len(pods), func(ctx context.Context, i int) error {
		_, err := c.kube.CoreV1().Pods(namespace).Patch(ctx, pods[i].Name, types.StrategicMergePatchType, patch, metav1.PatchOptions{}, "status")
		return err
	})
}
