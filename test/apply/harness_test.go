// Package apply_test tries the writing of ScaledJobs on a real API server.
package apply_test

import (
	"context"
	"encoding/json"
	"testing"
	"time"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/jobtemplate"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/jobtemplate/apply"
	kedav1alpha1 "github.com/kedacore/keda/v2/apis/keda/v1alpha1"
	"go.uber.org/zap/zaptest"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/test/workload"
)

const (
	scalerAddress = "scaler.ado:9090"
	token         = "the-token-of-the-agents"
)

// env is one namespace on an API server.
type env struct {
	t         *testing.T
	config    *rest.Config
	kube      kubernetes.Interface
	dynamic   dynamic.Interface
	namespace string
}

// newEnv does not make the namespace.
func newEnv(t *testing.T, config *rest.Config, namespace string) *env {
	t.Helper()
	kube, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	custom, err := dynamic.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	return &env{t: t, config: config, kube: kube, dynamic: custom, namespace: namespace}
}

func (s *env) settings(pool string) jobtemplate.Settings {
	return jobtemplate.Settings{
		OrganizationURL: "https://dev.azure.com/contoso", Pool: pool, Namespace: s.namespace, Image: "agent",
		Token:   jobtemplate.SecretKey{Name: "azure-devops", Key: "token"},
		Scaling: jobtemplate.Scaling{ScalerAddress: scalerAddress},
	}
}

func (s *env) scaledJob(settings jobtemplate.Settings) *kedav1alpha1.ScaledJob {
	s.t.Helper()
	scaledJob, err := jobtemplate.ScaledJob(settings)
	if err != nil {
		s.t.Fatal(err)
	}
	return scaledJob
}

func (s *env) options(pools ...string) apply.Options {
	s.t.Helper()
	options := apply.Options{
		Namespace: s.namespace, CreateNamespace: true,
		Secret: jobtemplate.SecretKey{Name: "azure-devops", Key: "token"}, Token: func() (string, error) { return token, nil },
		ScalerAddress: scalerAddress, Logger: zaptest.NewLogger(s.t),
	}
	for _, pool := range pools {
		options.ScaledJobs = append(options.ScaledJobs, s.scaledJob(s.settings(pool)))
	}
	return options
}

// apply applies with a separate Applier, as after a restart.
func (s *env) apply(options apply.Options) error {
	s.t.Helper()
	applier, err := apply.New(s.config, options)
	if err != nil {
		s.t.Fatal(err)
	}
	return applier.Apply(s.t.Context())
}

func (s *env) mustApply(options apply.Options) {
	s.t.Helper()
	if err := s.apply(options); err != nil {
		s.t.Fatal(err)
	}
}

func (s *env) scaledJobs() dynamic.ResourceInterface {
	return s.dynamic.Resource(workload.ScaledJobs).Namespace(s.namespace)
}

func (s *env) get(name string) *unstructured.Unstructured {
	s.t.Helper()
	object, err := s.scaledJobs().Get(s.t.Context(), name, metav1.GetOptions{})
	if err != nil {
		s.t.Fatal(err)
	}
	return object
}

// allow grants a user rights, on namespaces in the cluster, else in this one.
func (s *env) allow(user string, rules ...rbacv1.PolicyRule) {
	s.t.Helper()
	role := &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: user}, Rules: rules}
	if _, err := s.kube.RbacV1().ClusterRoles().Create(s.t.Context(), role, metav1.CreateOptions{}); err != nil {
		s.t.Fatal(err)
	}
	meta := metav1.ObjectMeta{Name: user}
	ref := rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: user}
	subjects := []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: "User", Name: user}}
	var err error
	if rules[0].Resources[0] == "namespaces" {
		binding := &rbacv1.ClusterRoleBinding{ObjectMeta: meta, RoleRef: ref, Subjects: subjects}
		_, err = s.kube.RbacV1().ClusterRoleBindings().Create(s.t.Context(), binding, metav1.CreateOptions{})
	} else {
		binding := &rbacv1.RoleBinding{ObjectMeta: meta, RoleRef: ref, Subjects: subjects}
		_, err = s.kube.RbacV1().RoleBindings(s.namespace).Create(s.t.Context(), binding, metav1.CreateOptions{})
	}
	if err != nil {
		s.t.Fatal(err)
	}
}

// patch changes the ScaledJob of the pool linux as another field manager does.
func (s *env) patch(manager, patch string) {
	s.t.Helper()
	if _, err := s.scaledJobs().Patch(s.t.Context(), linux, types.MergePatchType, []byte(patch), metav1.PatchOptions{FieldManager: manager}); err != nil {
		s.t.Fatal(err)
	}
}

// versions are the resource versions of all that is applied, by name.
func (s *env) versions() map[string]string {
	s.t.Helper()
	all := map[string]string{}
	namespace, err := s.kube.CoreV1().Namespaces().Get(s.t.Context(), s.namespace, metav1.GetOptions{})
	if err != nil {
		s.t.Fatal(err)
	}
	all["namespace"] = namespace.ResourceVersion
	secret := s.secret()
	all["secret"] = secret.ResourceVersion
	list, err := s.scaledJobs().List(s.t.Context(), metav1.ListOptions{})
	if err != nil {
		s.t.Fatal(err)
	}
	for _, object := range list.Items {
		all[object.GetName()] = object.GetResourceVersion()
	}
	return all
}

func (s *env) secret() *corev1.Secret {
	s.t.Helper()
	secret, err := s.kube.CoreV1().Secrets(s.namespace).Get(s.t.Context(), "azure-devops", metav1.GetOptions{})
	if err != nil {
		s.t.Fatal(err)
	}
	return secret
}

// startJob makes a Job of a ScaledJob, as KEDA does.
func (s *env) startJob(scaledJob *unstructured.Unstructured) *batchv1.Job {
	s.t.Helper()
	data, err := json.Marshal(scaledJob)
	if err != nil {
		s.t.Fatal(err)
	}
	var typed kedav1alpha1.ScaledJob
	if err := json.Unmarshal(data, &typed); err != nil {
		s.t.Fatal(err)
	}
	job := &batchv1.Job{
		ObjectMeta: metav1.ObjectMeta{
			GenerateName: typed.Name + "-", Labels: map[string]string{"scaledjob.keda.sh/name": typed.Name},
			OwnerReferences: []metav1.OwnerReference{{
				APIVersion: scaledJob.GetAPIVersion(), Kind: scaledJob.GetKind(), Name: typed.Name, UID: typed.UID,
				Controller: new(true), BlockOwnerDeletion: new(true),
			}},
		},
		Spec: *typed.Spec.JobTargetRef,
	}
	job, err = s.kube.BatchV1().Jobs(s.namespace).Create(s.t.Context(), job, metav1.CreateOptions{})
	if err != nil {
		s.t.Fatal(err)
	}
	return job
}

// eventually waits until a condition holds.
func (s *env) eventually(what string, holds func(context.Context) bool) {
	s.t.Helper()
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	deadline := time.After(90 * time.Second) // the garbage collector looks for new kinds every 30 s
	for !holds(s.t.Context()) {
		select {
		case <-ticker.C:
		case <-deadline:
			s.t.Fatalf("it did not come about: %s", what)
		}
	}
}
