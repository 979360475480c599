package doctor

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strconv"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/trigger"
)

var (
	scaledJobs             = schema.GroupVersionResource{Group: "keda.sh", Version: "v1alpha1", Resource: "scaledjobs"}
	triggerAuthentications = schema.GroupVersionResource{Group: "keda.sh", Version: "v1alpha1", Resource: "triggerauthentications"}
)

// ownTrigger is a trigger of a ScaledJob that names the scaler.
type ownTrigger struct {
	namespace, name string
	object          *unstructured.Unstructured
	metadata        map[string]string
	authentication  string
	trigger         *trigger.Trigger // nil if it has mistakes
}

func (s ownTrigger) String() string { return "ScaledJob " + s.namespace + "/" + s.name }

// scaledJobs checks those with triggers for the scaler, and returns them.
func (d *doctor) scaledJobs(ctx context.Context) []ownTrigger {
	list, err := d.dynamic.Resource(scaledJobs).List(ctx, metav1.ListOptions{})
	if apierrors.IsForbidden(err) && len(d.Namespaces) > 0 {
		list, err = d.inNamespaces(ctx)
	}
	if err != nil {
		d.fault("ScaledJobs", "install KEDA, or allow the scaler to list ScaledJobs", "%s", err)
		return nil
	}
	var all []ownTrigger
	others := map[string]bool{}
	for i := range list.Items {
		found := triggersOf(&list.Items[i])
		for _, s := range found {
			address := s.metadata[trigger.ScalerAddress]
			if d.ScalerAddress != "" && address != d.ScalerAddress {
				others[address] = true
				continue
			}
			all = append(all, s)
		}
	}
	if len(all) == 0 {
		d.reportNone(others)
	}
	asked, known := d.asked(ctx)
	for i := range all {
		d.scaledJob(ctx, &all[i])
		if known && !asked[all[i].namespace+"/"+all[i].name] && !paused(all[i].object) {
			d.fault(all[i].String(), "see KEDA's log; does KEDA watch this namespace, and can it reach the scaler? With TLS up to KEDA 2.19, restart its operator",
				"KEDA has not polled it since the scaler started")
		}
	}
	return all
}

func (d *doctor) inNamespaces(ctx context.Context) (*unstructured.UnstructuredList, error) {
	all := &unstructured.UnstructuredList{}
	for _, namespace := range d.Namespaces {
		list, err := d.dynamic.Resource(scaledJobs).Namespace(namespace).List(ctx, metav1.ListOptions{})
		if err != nil {
			return nil, err
		}
		all.Items = append(all.Items, list.Items...)
	}
	return all, nil
}

// reportNone reports that no ScaledJob uses the scaler, and which addresses the
// triggers have instead.
func (d *doctor) reportNone(others map[string]bool) {
	detail := "none has a trigger of type external"
	if len(others) > 0 {
		addresses := make([]string, 0, len(others))
		for address := range others {
			addresses = append(addresses, address)
		}
		slices.Sort(addresses)
		detail = fmt.Sprintf("none names the scaler as %s; there are triggers for %q", d.ScalerAddress, addresses)
	}
	d.fault("ScaledJobs", "create one whose trigger has this scalerAddress; render prints it", "%s", detail)
}

// triggersOf returns the external triggers of a ScaledJob.
func triggersOf(object *unstructured.Unstructured) (all []ownTrigger) {
	triggers, _, _ := unstructured.NestedSlice(object.Object, "spec", "triggers")
	for _, item := range triggers {
		fields, _ := item.(map[string]any)
		metadata, _, _ := unstructured.NestedStringMap(fields, "metadata")
		if fields["type"] != "external" || metadata["poolName"] == "" && metadata["poolID"] == "" && metadata["poolNameFromEnv"] == "" {
			continue // another external scaler's
		}
		authentication, _, _ := unstructured.NestedString(fields, "authenticationRef", "name")
		kind, _, _ := unstructured.NestedString(fields, "authenticationRef", "kind")
		if kind == "ClusterTriggerAuthentication" {
			authentication = ""
		}
		all = append(all, ownTrigger{
			namespace: object.GetNamespace(), name: object.GetName(), object: object,
			metadata: metadata, authentication: authentication,
		})
	}
	return all
}

// scaledJob checks one.
func (d *doctor) scaledJob(ctx context.Context, s *ownTrigger) {
	before := d.report.Faults
	if len(d.Namespaces) > 0 && !slices.Contains(d.Namespaces, s.namespace) {
		d.fault(s.String(), "add the namespace to KUBE_NAMESPACES (kubernetes.namespaces of the chart)",
			"the scaler does not view its namespace, so its count is not exact")
	}
	metadata := trigger.WithoutEnvironment(s.metadata)
	parsed, err := trigger.Parse(metadata, trigger.Context{Organizations: d.organizationURLs(), DefaultCount: trigger.Exact})
	if err == nil {
		s.trigger = parsed
	}
	if err := d.Answer(ctx, s.namespace, s.name, metadata); err != nil {
		d.fault(s.String(), "change what the message names", "the scaler answers KEDA: %s", err)
	}
	if paused(s.object) {
		d.fault(s.String(), "remove the annotation autoscaling.keda.sh/paused", "it is paused: no agents are made")
	}
	if strategy, _, _ := unstructured.NestedString(s.object.Object, "spec", "rollout", "strategy"); strategy != "gradual" {
		d.fault(s.String(), "set spec.rollout.strategy to gradual", "an edit of it kills running builds")
	}
	d.conditions(s)
	d.authentication(ctx, s)
	d.secrets(ctx, s)
	if d.report.Faults == before {
		d.ok(s.String(), "no problems")
	}
}

func (d *doctor) organizationURLs() []adoqueue.OrganizationURL {
	urls := make([]adoqueue.OrganizationURL, len(d.Organizations))
	for i, o := range d.Organizations {
		urls[i] = o.URL
	}
	return urls
}

func paused(object *unstructured.Unstructured) bool {
	value, found := object.GetAnnotations()["autoscaling.keda.sh/paused"]
	yes, err := strconv.ParseBool(value)
	return found && (yes || err != nil) // as KEDA reads it
}

// conditions checks what KEDA says of a ScaledJob. Unknown is no fault: before 2.16,
// KEDA may take Ready back without a reason, and keeps it Unknown after an error that
// is over. Other checks find the cause.
func (d *doctor) conditions(s *ownTrigger) {
	conditions, _, _ := unstructured.NestedSlice(s.object.Object, "status", "conditions")
	if len(conditions) == 0 {
		d.fault(s.String(), "check that KEDA runs and watches this namespace (WATCH_NAMESPACE of its operator)", "KEDA has not reconciled it")
		return
	}
	for _, item := range conditions {
		condition, _ := item.(map[string]any)
		if condition["type"] != "Ready" || paused(s.object) {
			continue
		}
		detail := fmt.Sprintf("KEDA's condition Ready is %v: %v (%v)", condition["status"], condition["message"], condition["reason"])
		switch {
		case condition["status"] == "False":
			d.fault(s.String(), "kubectl describe it: its events have the reason", "%s", detail)
		case condition["status"] == "Unknown" && condition["reason"] != nil:
			d.unknown(s.String(), "%s; before 2.16, KEDA does not set it again when the error is over", detail)
		}
	}
}

// secrets checks that the Secrets exist which the agents' variables refer to.
func (d *doctor) secrets(ctx context.Context, s *ownTrigger) {
	containers, _, _ := unstructured.NestedSlice(s.object.Object, "spec", "jobTargetRef", "template", "spec", "containers")
	for _, container := range containers {
		fields, _ := container.(map[string]any)
		env, _, _ := unstructured.NestedSlice(fields, "env")
		for _, entry := range env {
			variable, _ := entry.(map[string]any)
			ref, found, _ := unstructured.NestedMap(variable, "valueFrom", "secretKeyRef")
			if !found || ref["optional"] == true {
				continue
			}
			d.secretKey(ctx, s, fmt.Sprint(ref["name"]), fmt.Sprint(ref["key"]))
		}
	}
}

// secretKey returns a value of a Secret. Failures are reported.
func (d *doctor) secretKey(ctx context.Context, s *ownTrigger, name, key string) []byte {
	secret, err := d.kube.CoreV1().Secrets(s.namespace).Get(ctx, name, metav1.GetOptions{})
	switch {
	case apierrors.IsForbidden(err):
		d.unknown(s.String(), "Secret %s: there is no right to read it; run doctor outside of the cluster", name)
	case err != nil:
		d.fault(s.String(), "create it", "Secret %s: %s", name, err)
	case len(secret.Data[key]) == 0:
		d.fault(s.String(), "add the key", "Secret %s has no key %s", name, key)
	default:
		return secret.Data[key]
	}
	return nil
}

// series are the metrics of the values that KEDA got.
var series = regexp.MustCompile(`^ado_agent_orchestrator_metric_value\{name="([^"]*)",namespace="([^"]*)"`)

// asked returns the ScaledJobs that KEDA has asked the running scaler about. known
// is not set if that cannot be read from here.
func (d *doctor) asked(ctx context.Context) (asked map[string]bool, known bool) {
	if d.MetricsURL == "" {
		d.unknown("questions of KEDA", "seen only in the scaler's pod, by kubectl exec")
		return nil, false
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, d.MetricsURL, http.NoBody)
	if err != nil {
		d.unknown("questions of KEDA", "%s", err)
		return nil, false
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		d.fault("scaler", "see its log", "its metrics cannot be read: %s", err)
		return nil, false
	}
	defer response.Body.Close()
	asked = map[string]bool{}
	lines := bufio.NewScanner(response.Body)
	for lines.Scan() {
		if match := series.FindStringSubmatch(lines.Text()); match != nil {
			asked[match[2]+"/"+match[1]] = true
		}
	}
	return asked, lines.Err() == nil
}
