package doctor

import (
	"context"
	"fmt"
	"net"
	"regexp"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/version"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/jobtemplate/apply"
)

// rights checks those that the switched-on features need.
func (d *doctor) rights(ctx context.Context) {
	missing := 0
	for i := range d.Rights {
		r := &d.Rights[i]
		review := &authorizationv1.SelfSubjectAccessReview{Spec: authorizationv1.SelfSubjectAccessReviewSpec{
			ResourceAttributes: &authorizationv1.ResourceAttributes{
				Namespace: r.Namespace, Verb: r.Verb, Group: r.Group, Resource: r.Resource, Name: r.Name,
			},
		}}
		answer, err := d.kube.AuthorizationV1().SelfSubjectAccessReviews().Create(ctx, review, metav1.CreateOptions{})
		if err != nil {
			d.fault("Kubernetes", "check the kubeconfig, or the pod's service account", "%s", err)
			return
		}
		if answer.Status.Allowed {
			continue
		}
		if r.Without != "" {
			d.ok("optional rights in Kubernetes", "%s (for %s), so %s", r.refused(), r.For, r.Without)
			continue
		}
		missing++
		d.fault("rights in Kubernetes", "allow it in a Role for the scaler's service account, or switch the feature off",
			"%s, which %s requires", r.refused(), r.For)
	}
	if missing == 0 {
		d.ok("rights in Kubernetes", "the switched-on features have all they need")
	}
}

// refused says that the right is missing.
func (r *Right) refused() string {
	where := "in namespace " + r.Namespace
	if r.Namespace == "" {
		where = "in all namespaces"
	}
	resource := r.Resource
	if r.Group != "" {
		resource += "." + r.Group
	}
	if r.Name != "" {
		resource += " " + r.Name
	}
	return fmt.Sprintf("cannot %s %s %s", r.Verb, resource, where)
}

// operatorName is the Deployment of KEDA's operator, by helm, AKS and OpenShift.
const operatorName = "keda-operator"

// oldestKEDA is the oldest version that is supported.
const oldestKEDA = "2.14"

var tag = regexp.MustCompile(`[:v-](\d+\.\d+\.\d+)`)

// operator checks KEDA's version and where it runs.
func (d *doctor) operator(ctx context.Context) {
	list, err := d.kube.AppsV1().Deployments(metav1.NamespaceAll).List(ctx, metav1.ListOptions{FieldSelector: "metadata.name=" + operatorName})
	switch {
	case apierrors.IsForbidden(err):
		d.unknown("KEDA", "its version and namespace: there is no right to list Deployments; run doctor outside of the cluster")
		return
	case err != nil:
		d.fault("KEDA", "check the kubeconfig, or the pod's service account", "%s", err)
		return
	case len(list.Items) == 0:
		d.fault("KEDA", "install KEDA: see docs/install.md", "there is no Deployment %s in the cluster", operatorName)
		return
	}
	for i := range list.Items {
		operator := &list.Items[i]
		subject := "KEDA in namespace " + operator.Namespace
		if operator.Status.ReadyReplicas == 0 {
			d.fault(subject, "check its pods and its log", "no replica of its operator is ready")
		}
		d.version(subject, operator)
	}
}

func (d *doctor) version(subject string, operator *appsv1.Deployment) {
	text := operator.Labels["app.kubernetes.io/version"]
	for i := range operator.Spec.Template.Spec.Containers {
		if match := tag.FindStringSubmatch(operator.Spec.Template.Spec.Containers[i].Image); match != nil && text == "" {
			text = match[1]
		}
	}
	keda, err := version.ParseGeneric(text)
	switch {
	case err != nil:
		d.unknown(subject, "neither its label nor its image says its version")
	case keda.LessThan(version.MustParseGeneric(oldestKEDA)):
		d.fault(subject, "update KEDA", "version %s is older than %s, the oldest supported one", keda, oldestKEDA)
	default:
		d.ok(subject, "version %s", keda)
	}
}

// podAnnotations are a field that some CRDs lack; see jobtemplate.Fit.
var podAnnotations = []string{"jobTargetRef", "template", "metadata", "annotations"}

// fields checks what KEDA's CRD lacks of what our ScaledJobs use.
func (d *doctor) fields(ctx context.Context, own []ownTrigger) {
	const subject = "KEDA's CRD of ScaledJobs"
	has, _, err := apply.NewSchema(d.kube.Discovery()).Fields()
	if err != nil {
		d.fault(subject, "install KEDA: see docs/install.md", "%s", err)
		return
	}
	if has(podAnnotations) {
		d.ok(subject, "it has the fields that ScaledJobs of ours use")
		return
	}
	unprotected := map[string]bool{}
	for _, s := range own {
		if !unprotected[s.namespace] && !d.protects(ctx, s) {
			unprotected[s.namespace] = true
			d.fault(subject, "apply the PodDisruptionBudget that render --keda-version 2.15 prints (see docs/compatibility.md)",
				"it has no annotations of pods, and no PodDisruptionBudget in namespace %s protects the builds of ScaledJob %s from eviction", s.namespace, s.name)
		}
	}
	if len(unprotected) == 0 {
		d.ok(subject, "it has no labels and annotations of pods; PodDisruptionBudgets protect them")
	}
}

// protects reports whether a PodDisruptionBudget selects a ScaledJob's pods.
func (d *doctor) protects(ctx context.Context, s ownTrigger) bool {
	list, err := d.kube.PolicyV1().PodDisruptionBudgets(s.namespace).List(ctx, metav1.ListOptions{})
	if apierrors.IsForbidden(err) {
		d.unknown("PodDisruptionBudgets in namespace "+s.namespace, "there is no right to list them")
		return true
	}
	if err != nil {
		return false
	}
	for i := range list.Items {
		selector, err := metav1.LabelSelectorAsSelector(list.Items[i].Spec.Selector)
		if err == nil && selector.Matches(podLabels(s.name)) {
			return true
		}
	}
	return false
}

// podLabels are what KEDA and Kubernetes give a ScaledJob's pods.
type podLabels string

func (p podLabels) Get(label string) string { value, _ := p.Lookup(label); return value }

func (p podLabels) Has(label string) bool { _, ok := p.Lookup(label); return ok }

func (p podLabels) Lookup(label string) (value string, exists bool) {
	switch label {
	case "scaledjob.keda.sh/name":
		return string(p), true
	case "batch.kubernetes.io/job-name", "job-name":
		return string(p) + "-xxxxx", true
	}
	return "", false
}

// dialTimeout bounds the attempt to reach the scaler.
const dialTimeout = 5 * time.Second

// address checks whether KEDA could reach the scaler.
func (d *doctor) address(ctx context.Context) {
	if d.ScalerAddress == "" {
		return
	}
	subject := "scaler address " + d.ScalerAddress
	if !d.InCluster {
		d.unknown(subject, "whether it can be reached is seen only in the cluster")
		return
	}
	dialer := net.Dialer{Timeout: dialTimeout}
	conn, err := dialer.DialContext(ctx, "tcp", strings.TrimPrefix(d.ScalerAddress, "dns:///"))
	if err != nil {
		d.fault(subject, "check the Service and SCALER_ADDRESS, and that the network policy lets this pod in", "%s", err)
		return
	}
	_ = conn.Close()
	d.ok(subject, "it can be reached")
}
