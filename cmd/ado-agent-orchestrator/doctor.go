package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strings"

	"go.uber.org/zap"
	"k8s.io/client-go/rest"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue/adoauth"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/cmd/internal/doctor"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/cmd/internal/setting"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/engine"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/fleet"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/plan"
)

// doctorCommand checks what serve with the same settings needs.
type doctorCommand struct {
	Flags  serveFlags `embed:""`
	Output string     `name:"output" short:"o" enum:"text,json" default:"text" help:"Format of the findings: text or json."`
}

// Check reports what is wrong with the settings.
func (c *doctorCommand) Check(p *setting.Problems) { c.Flags.Check(p) }

// Run prints the findings. Faults are an error.
func (c *doctorCommand) Run(ctx context.Context, o outputs) error {
	o.warn()
	report, err := c.report(ctx)
	if err != nil {
		return err
	}
	if c.Output == "json" {
		encoder := json.NewEncoder(o.out)
		encoder.SetIndent("", "  ")
		err = encoder.Encode(report)
	} else {
		report.Write(o.out)
	}
	if err != nil {
		return err
	}
	if report.Faults > 0 {
		return fmt.Errorf("faults found: %d", report.Faults)
	}
	return nil
}

func (c *doctorCommand) report(ctx context.Context) (doctor.Report, error) {
	s, err := c.Flags.settings()
	if err != nil {
		return doctor.Report{}, err
	}
	bindKubernetesLog(ctx, zap.NewNop())
	options := doctor.Options{
		Namespaces:    s.view.KubeNamespaces,
		ScalerAddress: s.scalerAddress, ManagesAgents: s.housekeeper.pools(), CertFile: string(s.keda.TLSCertFile),
	}
	if s.view.Kube != off || len(s.rights("")) > 0 {
		var namespace string
		if options.Config, namespace, err = clusterForDoctor(); err != nil {
			options.NoCluster = err.Error()
		}
		options.Rights = s.rights(namespace)
	}
	// Kubernetes sets it in every pod.
	if os.Getenv("KUBERNETES_SERVICE_HOST") != "" {
		options.InCluster, options.MetricsURL = true, metricsURL(string(s.HTTPAddr))
	}
	for _, organization := range s.organizations {
		made, err := organization.forDoctor()
		if err != nil {
			return doctor.Report{}, err
		}
		options.Organizations = append(options.Organizations, made)
	}
	answer, stop, err := s.answers(ctx)
	if err != nil {
		return doctor.Report{}, err
	}
	defer stop()
	options.Answer = answer
	return doctor.Check(ctx, options)
}

// clusterForDoctor returns the way to the cluster, and the namespace there.
func clusterForDoctor() (config *rest.Config, namespace string, err error) {
	if config, err = kubernetesClientConfig(); err != nil {
		return nil, "", err
	}
	namespace, _, err = kubernetesConfig().Namespace()
	return config, namespace, err
}

// metricsURL is where this machine reads the metrics of a server that listens at an
// address, "" if that is unknown.
func metricsURL(address string) string {
	local, ok := localAddress(address)
	if !ok {
		return ""
	}
	return "http://" + local + "/metrics"
}

// forDoctor returns the organization with a client that watches its clock.
func (o organization) forDoctor() (doctor.Organization, error) {
	transport, err := adoqueue.NewHTTPClient(o.caFile)
	if err != nil {
		return doctor.Organization{}, err
	}
	clock := doctor.NewClock(transport)
	credential, err := adoauth.New(o.auth, transport)
	if err != nil {
		return doctor.Organization{}, fmt.Errorf("organization %s: %w", o.url, err)
	}
	client, err := adoqueue.NewClient(o.url, credential, adoqueue.Options{HTTPClient: clock, AllowHTTP: o.allowHTTP})
	return doctor.Organization{URL: o.url, Client: client, Credential: o.auth.Kind, Clock: clock}, err
}

// quietCluster records no events: doctor changes nothing.
type quietCluster struct{ *fleet.Fleet }

// Warn does nothing.
func (quietCluster) Warn(string, string, string, string) {}

// answers returns a function that answers triggers as serve does.
func (s settings) answers(ctx context.Context) (answer func(ctx context.Context, namespace, name string, metadata map[string]string) error, stop func(), err error) {
	opened, err := s.open(nil)
	if err != nil {
		return nil, nil, err
	}
	options := s.engineOptions(opened.organizations(), nil, zap.NewNop())
	options.PlaceholderName = nil
	stop = opened.close
	// Without a view the rights that it lacks are reported, and what can be said
	// without it.
	if view, err := s.watch(ctx); err == nil {
		options.Cluster = quietCluster{view}
		stop = func() { view.Stop(); opened.close() }
	}
	decisions := engine.New(options)
	answer = func(ctx context.Context, namespace, name string, metadata map[string]string) error {
		_, err := decisions.Answer(ctx, engine.Request{Key: plan.Key{Namespace: namespace, Name: name}, Metadata: metadata, Half: engine.Whole})
		return err
	}
	before := stop
	return answer, func() { decisions.Close(); before() }, nil
}

// withoutRight is what happens without the right to watch a resource, if the scaler
// works on.
var withoutRight = map[string]string{
	"pods":          "agents are matched by name, and ScaledJobs with names over 51 characters or a backoffLimit are refused",
	"events":        "explain cannot say which quota or admission rule refuses a pod",
	"scaledobjects": "each ScaledObject has to set count unfinished, or its busy agents are not counted",
}

// rights are those that serve with these settings needs in Kubernetes.
func (s settings) rights(own string) (rights []doctor.Right) {
	add := func(namespaces []string, group, resource, feature string, verbs ...string) {
		for _, namespace := range namespaces {
			for _, verb := range verbs {
				rights = append(rights, doctor.Right{Verb: verb, Group: group, Resource: resource, Namespace: namespace, For: feature})
			}
		}
	}
	if s.view.Kube != off {
		view := s.view.KubeNamespaces
		if len(view) == 0 {
			view = []string{""}
		}
		add(view, "keda.sh", "scaledjobs", "count exact", "list", "watch")
		add(view, "batch", "jobs", "count exact", "list", "watch")
		add(view, "events.k8s.io", "events", "the report of problems", "create")
		optional := len(rights)
		add(view, "", "pods", "the join of Jobs with their agents", "list", "watch")
		add(view, "keda.sh", "scaledobjects", "ScaledObjects", "list", "watch")
		add(view, "", "events", "the command explain", "list", "watch")
		for i := range rights[optional:] {
			rights[optional+i].Without = withoutRight[rights[optional+i].Resource]
		}
		if s.housekeeper.StuckAfter > 0 {
			add(view, "", "pods", "STUCK_AFTER", "list")
			add(view, "", "events", "STUCK_AFTER", "list")
		}
		if s.housekeeper.DeleteStuck {
			add(view, "batch", "jobs", "DELETE_STUCK", "delete")
		}
		if s.housekeeper.EndIdle {
			add(view, "batch", "jobs", "END_IDLE", "delete")
		}
		if s.housekeeper.AnnotateJobs {
			optional := len(rights)
			add(view, "batch", "jobs", "ANNOTATE_JOBS", "patch")
			for i := range rights[optional:] {
				rights[optional+i].Without = "Jobs are not annotated with their runs"
			}
		}
		if s.housekeeper.EvictableIdle {
			add(view, "policy", "poddisruptionbudgets", "EVICTABLE_IDLE", "create", "patch")
		}
	}
	return append(rights, s.rightsToObjects(own)...)
}

// rightsToObjects are those that may be restricted to one namespace, and mostly to
// one object.
func (s settings) rightsToObjects(own string) (rights []doctor.Right) {
	add := func(namespace, group, resource, name, feature string, verbs ...string) {
		for _, verb := range verbs {
			r := doctor.Right{Verb: verb, Group: group, Resource: resource, Namespace: namespace, Name: name, For: feature}
			if verb == "create" {
				r.Name = "" // creation cannot be restricted to a name
			}
			rights = append(rights, r)
		}
	}
	if s.housekeeper.pools() && strings.TrimSpace(s.housekeeper.owner) == "" {
		add(own, "", "namespaces", own, "PLACEHOLDERS and OFFLINE_AGENTS without HOUSEKEEPING_OWNER", "get")
	}
	if s.Election == on {
		add(own, "coordination.k8s.io", "leases", s.leaseName(), "LEADER_ELECTION", "get", "create", "update")
	}
	if s.scaledJobs != nil {
		add(s.agents.namespace, "keda.sh", "scaledjobs", "", "AGENT_POOLS", "list", "create", "patch", "delete")
		if s.agents.token != nil {
			add(s.agents.namespace, "", "secrets", s.agents.pools[0].Token.Name, "the agents' token", "create", "patch")
		}
	}
	return rights
}
