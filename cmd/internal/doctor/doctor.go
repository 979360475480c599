// Package doctor finds what keeps the scaler and its ScaledJobs from working. It
// changes nothing.
package doctor

import (
	"context"
	"fmt"
	"io"
	"time"

	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue"
)

// Status is what a check has found.
type Status string

// The statuses. Unknown means that a check could not be made, which is no fault.
const (
	OK      Status = "ok"
	Fault   Status = "fault"
	Unknown Status = "unknown"
)

// Finding is the result of one check.
type Finding struct {
	Status Status `json:"status"`
	// Subject is what was checked, Detail what was found, and Fix what to do.
	Subject string `json:"subject"`
	Detail  string `json:"detail"`
	Fix     string `json:"fix,omitempty"`
}

// Report is the result of all checks.
type Report struct {
	Findings []Finding `json:"findings"`
	Faults   int       `json:"faults"`
}

// Organization is one that the scaler serves.
type Organization struct {
	URL    adoqueue.OrganizationURL
	Client *adoqueue.Client
	// Credential is its kind.
	Credential string
	// Clock has seen the answers to Client.
	Clock *Clock
}

// Right is one that a feature needs in Kubernetes.
type Right struct {
	Verb, Group, Resource, Namespace string
	// Name restricts the right to one object; "" is all of them.
	Name string
	// For is the feature.
	For string
	// Without is what happens without an optional right, "" if it is required.
	Without string
}

// Options say what to check.
type Options struct {
	Organizations []Organization
	// ManagesAgents is set if the scaler registers and removes agents.
	ManagesAgents bool
	// Config leads to the cluster. If it is nil, NoCluster is why; that is a fault
	// unless it is empty, which means that the scaler needs none.
	Config    *rest.Config
	NoCluster string
	// Namespaces are those that the scaler views; none means all.
	Namespaces []string
	Rights     []Right
	// ScalerAddress is how triggers name the scaler, "" if that is not known.
	ScalerAddress string
	// InCluster is set if the scaler's address can be reached from here.
	InCluster bool
	// MetricsURL is where the scaler exposes its answers, "" if it cannot be
	// reached from here.
	MetricsURL string
	// CertFile is the scaler's certificate, "" if it has none here.
	CertFile string
	// Answer returns the error that KEDA gets for a trigger, or nil.
	Answer func(ctx context.Context, namespace, name string, metadata map[string]string) error
}

// doctor makes the checks.
type doctor struct {
	Options
	kube    kubernetes.Interface
	dynamic dynamic.Interface
	report  Report
	now     time.Time
}

// Check makes all checks.
func Check(ctx context.Context, options Options) (Report, error) {
	d := &doctor{Options: options, now: time.Now()}
	if options.Config == nil {
		d.withoutCluster(ctx)
		return d.report, nil
	}
	var err error
	if d.kube, err = kubernetes.NewForConfig(options.Config); err != nil {
		return Report{}, err
	}
	if d.dynamic, err = dynamic.NewForConfig(options.Config); err != nil {
		return Report{}, err
	}
	d.credentials(ctx)
	d.rights(ctx)
	d.operator(ctx)
	own := d.scaledJobs(ctx)
	d.fields(ctx, own)
	d.pools(ctx, own)
	d.address(ctx)
	d.certificate()
	return d.report, nil
}

// withoutCluster makes the checks that need no cluster.
func (d *doctor) withoutCluster(ctx context.Context) {
	d.credentials(ctx)
	d.certificate()
	if d.NoCluster == "" {
		d.unknown("Kubernetes", "it is not used (KUBE=off), so KEDA, ScaledJobs and their pools are not checked")
		return
	}
	d.fault("Kubernetes", "let KUBECONFIG name the cluster, or set KUBE=off if the scaler is to use none", "rights, KEDA, ScaledJobs and their pools are not checked: %s", d.NoCluster)
}

func (d *doctor) add(status Status, subject, detail, fix string) {
	d.report.Findings = append(d.report.Findings, Finding{Status: status, Subject: subject, Detail: detail, Fix: fix})
	if status == Fault {
		d.report.Faults++
	}
}

func (d *doctor) ok(subject, format string, args ...any) {
	d.add(OK, subject, fmt.Sprintf(format, args...), "")
}

func (d *doctor) unknown(subject, format string, args ...any) {
	d.add(Unknown, subject, fmt.Sprintf(format, args...), "")
}

// fault takes the fix first, since details have arguments.
func (d *doctor) fault(subject, fix, format string, args ...any) {
	d.add(Fault, subject, fmt.Sprintf(format, args...), fix)
}

// Write prints a report for people.
func (r Report) Write(w io.Writer) {
	for _, f := range r.Findings {
		fmt.Fprintf(w, "%-8s %s: %s\n", f.Status, f.Subject, f.Detail)
		if f.Fix != "" {
			fmt.Fprintf(w, "         fix: %s\n", f.Fix)
		}
	}
}
