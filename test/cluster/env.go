package cluster

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue/adotest"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/wait"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/test/workload"
)

// Pool is the agent pool that every environment has, with an offline agent Placeholder,
// since Azure DevOps fails a job at once if no registered agent could run it.
const (
	Pool        = "linux"
	Placeholder = "placeholder"
)

// The tokens of an environment's organization. That of the agents is in the Secret
// [workload.TokenSecret] as well.
const (
	ScalerPAT = "token-of-the-scaler"
	AgentsPAT = "token-of-the-agents"
)

// lookEvery is the pause between two looks at what is waited for.
const lookEvery = 50 * time.Millisecond

// Env is one run's part of a cluster: a namespace, and an organization that assigns
// queued requests to the agents that come.
type Env struct {
	*Cluster
	Namespace string
	Azure     *adotest.Server
}

// EnvOptions describe an environment.
type EnvOptions struct {
	// Azure is the organization; PAT and AutoAssign are set here.
	Azure adotest.Options
	// Plan is for the environment's pods; nil runs them as their specs say.
	Plan PlanFunc
	// Namespace is the name of a new namespace, by default a generated one.
	Namespace string
	// Capabilities are the placeholder's.
	Capabilities map[string]string
}

// NewEnv makes an environment in a separate namespace.
func (c *Cluster) NewEnv(ctx context.Context, options EnvOptions) (*Env, error) {
	options.Azure.PAT, options.Azure.AutoAssign = ScalerPAT, true
	azure, err := adotest.Listen("127.0.0.1:0", options.Azure)
	if err != nil {
		return nil, err
	}
	e := &Env{Cluster: c, Azure: azure}
	if err := e.prepare(ctx, options); err != nil {
		return nil, errors.Join(fmt.Errorf("prepare an environment: %w", err), azure.Close())
	}
	return e, nil
}

func (e *Env) prepare(ctx context.Context, options EnvOptions) error {
	e.Azure.AllowPAT(AgentsPAT, adotest.ScopeManage)
	e.Azure.AddPool(adotest.Pool{Name: Pool})
	placeholder := adotest.Agent{Name: Placeholder, Offline: true, Capabilities: options.Capabilities}
	if _, err := e.Azure.AddAgent(Pool, placeholder); err != nil {
		return err
	}
	namespace, err := e.Kube.CoreV1().Namespaces().Create(ctx,
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "site-", Name: options.Namespace}}, metav1.CreateOptions{})
	if err != nil {
		return err
	}
	e.Namespace = namespace.Name
	e.mu.Lock()
	e.plans[e.Namespace] = options.Plan
	e.mu.Unlock()
	return e.CreateSecret(ctx, workload.TokenSecret, map[string]string{"token": AgentsPAT})
}

// Close ends the organization. The namespace ends with the control plane.
func (e *Env) Close() error { return e.Azure.Close() }

// CreateSecret makes a Secret.
func (e *Env) CreateSecret(ctx context.Context, name string, data map[string]string) error {
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: name}, StringData: data}
	_, err := e.Kube.CoreV1().Secrets(e.Namespace).Create(ctx, secret, metav1.CreateOptions{})
	return err
}

// CreateAuthentication makes a TriggerAuthentication.
func (e *Env) CreateAuthentication(ctx context.Context, authentication *unstructured.Unstructured) error {
	_, err := e.Dynamic.Resource(workload.TriggerAuthentications).Namespace(e.Namespace).
		Create(ctx, authentication, metav1.CreateOptions{})
	return err
}

// Apply makes a ScaledJob, or changes it.
func (e *Env) Apply(ctx context.Context, job workload.ScaledJob) error {
	return e.ApplyTo(ctx, workload.ScaledJobs, job.Object())
}

// ApplyTo makes an object of a resource, or changes it.
func (e *Env) ApplyTo(ctx context.Context, resource schema.GroupVersionResource, object *unstructured.Unstructured) error {
	_, err := e.Dynamic.Resource(resource).Namespace(object.GetNamespace()).Apply(ctx, object.GetName(), object,
		metav1.ApplyOptions{FieldManager: "test", Force: true})
	return err
}

// Delete removes a ScaledJob, and before it, its Jobs and their agents. It
// returns once KEDA has stopped asking for it.
func (e *Env) Delete(ctx context.Context, name string) error {
	jobs := e.Dynamic.Resource(workload.ScaledJobs).Namespace(e.Namespace)
	foreground := metav1.DeletePropagationForeground
	if err := jobs.Delete(ctx, name, metav1.DeleteOptions{PropagationPolicy: &foreground}); err != nil {
		return err
	}
	return wait.PollUntilContextCancel(ctx, lookEvery, true, func(ctx context.Context) (bool, error) {
		_, err := jobs.Get(ctx, name, metav1.GetOptions{})
		return apierrors.IsNotFound(err), nil
	})
}

// ScaledJob reads a ScaledJob.
func (e *Env) ScaledJob(ctx context.Context, name string) (*unstructured.Unstructured, error) {
	return e.Dynamic.Resource(workload.ScaledJobs).Namespace(e.Namespace).Get(ctx, name, metav1.GetOptions{})
}

// Jobs are the Jobs that KEDA has made.
func (e *Env) Jobs(ctx context.Context) ([]batchv1.Job, error) {
	list, err := e.Kube.BatchV1().Jobs(e.Namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, err
	}
	return list.Items, nil
}
