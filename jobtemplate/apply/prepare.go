package apply

import (
	"context"
	"fmt"

	"go.uber.org/zap"
	corev1api "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	corev1 "k8s.io/client-go/applyconfigurations/core/v1"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/jobtemplate"
)

// labels are those of the namespace and the Secret.
func labels() map[string]string {
	return map[string]string{jobtemplate.ManagedByLabel: jobtemplate.Manager}
}

// namespace creates the namespace where it is missing. Without the
// rights to read and to create it, it is assumed to exist.
func (a *Applier) namespace(ctx context.Context) error {
	if !a.CreateNamespace {
		return nil
	}
	_, seen := a.kube.CoreV1().Namespaces().Get(ctx, a.Namespace, metav1.GetOptions{})
	if seen == nil {
		return nil
	}
	if !apierrors.IsNotFound(seen) && !apierrors.IsForbidden(seen) {
		return fmt.Errorf("look for namespace %s: %w", a.Namespace, seen)
	}
	namespace := &corev1api.Namespace{ObjectMeta: metav1.ObjectMeta{Name: a.Namespace, Labels: labels()}}
	_, err := a.kube.CoreV1().Namespaces().Create(ctx, namespace, metav1.CreateOptions{FieldManager: jobtemplate.Manager})
	switch {
	case err == nil:
		a.Logger.Info("namespace created", zap.String("namespace", a.Namespace))
		return nil
	case apierrors.IsAlreadyExists(err), apierrors.IsForbidden(err) && apierrors.IsForbidden(seen):
		return nil
	case apierrors.IsForbidden(err):
		return fmt.Errorf("namespace %s does not exist, and creating it is forbidden: create it, or allow it by a ClusterRole: %w", a.Namespace, err)
	default:
		return fmt.Errorf("create namespace %s: %w", a.Namespace, err)
	}
}

// secret keeps the agents' token.
func (a *Applier) secret(ctx context.Context) error {
	if a.Token == nil {
		return nil
	}
	token, err := a.Token()
	if err != nil {
		return err
	}
	secret := corev1.Secret(a.Secret.Name, a.Namespace).WithLabels(labels()).
		WithData(map[string][]byte{a.Secret.Key: []byte(token)})
	options := metav1.ApplyOptions{FieldManager: jobtemplate.Manager}
	_, err = a.kube.CoreV1().Secrets(a.Namespace).Apply(ctx, secret, options)
	if onlyYielding(err) {
		options.Force = true
		_, err = a.kube.CoreV1().Secrets(a.Namespace).Apply(ctx, secret, options)
	}
	if err != nil {
		return fmt.Errorf("apply Secret %s/%s: %w", a.Namespace, a.Secret.Name, explain(err))
	}
	return nil
}
