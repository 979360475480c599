package bench

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

// Pool is the agent pool that every site has, with an offline agent Placeholder,
// since Azure DevOps fails a job at once if no registered agent could run it.
const (
	Pool        = "linux"
	Placeholder = "placeholder"
)

// The tokens of a site's organization. That of the agents is in the Secret
// [workload.TokenSecret] as well.
const (
	ScalerPAT = "token-of-the-scaler"
	AgentsPAT = "token-of-the-agents"
)

// lookEvery is the pause between two looks at what is waited for.
const lookEvery = 50 * time.Millisecond

// Site is one run's part of a bench: a namespace, and an organization that assigns
// queued requests to the agents that come.
type Site struct {
	*Bench
	Namespace string
	Azure     *adotest.Server
}

// SiteOptions describe a site.
type SiteOptions struct {
	// Azure is the organization; PAT and AutoAssign are set here.
	Azure adotest.Options
	// Plan is for the site's pods; nil runs them as their specs say.
	Plan PlanFunc
	// Namespace is the name of a new namespace, by default a generated one.
	Namespace string
	// Capabilities are the placeholder's.
	Capabilities map[string]string
}

// NewSite makes a site in a separate namespace.
func (b *Bench) NewSite(ctx context.Context, options SiteOptions) (*Site, error) {
	options.Azure.PAT, options.Azure.AutoAssign = ScalerPAT, true
	azure, err := adotest.Listen("127.0.0.1:0", options.Azure)
	if err != nil {
		return nil, err
	}
	s := &Site{Bench: b, Azure: azure}
	if err := s.prepare(ctx, options); err != nil {
		return nil, errors.Join(fmt.Errorf("prepare a site: %w", err), azure.Close())
	}
	return s, nil
}

func (s *Site) prepare(ctx context.Context, options SiteOptions) error {
	s.Azure.AllowPAT(AgentsPAT, adotest.ScopeManage)
	s.Azure.AddPool(adotest.Pool{Name: Pool})
	placeholder := adotest.Agent{Name: Placeholder, Offline: true, Capabilities: options.Capabilities}
	if _, err := s.Azure.AddAgent(Pool, placeholder); err != nil {
		return err
	}
	namespace, err := s.Kube.CoreV1().Namespaces().Create(ctx,
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "site-", Name: options.Namespace}}, metav1.CreateOptions{})
	if err != nil {
		return err
	}
	s.Namespace = namespace.Name
	s.mu.Lock()
	s.plans[s.Namespace] = options.Plan
	s.mu.Unlock()
	return s.CreateSecret(ctx, workload.TokenSecret, map[string]string{"token": AgentsPAT})
}

// Close ends the organization. The namespace ends with the control plane.
func (s *Site) Close() error { return s.Azure.Close() }

// CreateSecret makes a Secret.
func (s *Site) CreateSecret(ctx context.Context, name string, data map[string]string) error {
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: name}, StringData: data}
	_, err := s.Kube.CoreV1().Secrets(s.Namespace).Create(ctx, secret, metav1.CreateOptions{})
	return err
}

// CreateAuthentication makes a TriggerAuthentication.
func (s *Site) CreateAuthentication(ctx context.Context, authentication *unstructured.Unstructured) error {
	_, err := s.Dynamic.Resource(workload.TriggerAuthentications).Namespace(s.Namespace).
		Create(ctx, authentication, metav1.CreateOptions{})
	return err
}

// Apply makes a ScaledJob, or changes it.
func (s *Site) Apply(ctx context.Context, job workload.ScaledJob) error {
	return s.ApplyTo(ctx, workload.ScaledJobs, job.Object())
}

// ApplyTo makes an object of a resource, or changes it.
func (s *Site) ApplyTo(ctx context.Context, resource schema.GroupVersionResource, object *unstructured.Unstructured) error {
	_, err := s.Dynamic.Resource(resource).Namespace(object.GetNamespace()).Apply(ctx, object.GetName(), object,
		metav1.ApplyOptions{FieldManager: "bench", Force: true})
	return err
}

// Delete removes a ScaledJob, and before it, its Jobs and their agents. It
// returns once KEDA has stopped asking for it.
func (s *Site) Delete(ctx context.Context, name string) error {
	jobs := s.Dynamic.Resource(workload.ScaledJobs).Namespace(s.Namespace)
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
func (s *Site) ScaledJob(ctx context.Context, name string) (*unstructured.Unstructured, error) {
	return s.Dynamic.Resource(workload.ScaledJobs).Namespace(s.Namespace).Get(ctx, name, metav1.GetOptions{})
}

// Jobs are the Jobs that KEDA has made.
func (s *Site) Jobs(ctx context.Context) ([]batchv1.Job, error) {
	list, err := s.Kube.BatchV1().Jobs(s.Namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, err
	}
	return list.Items, nil
}
