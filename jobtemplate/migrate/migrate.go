// Package migrate turns manifests with KEDA's azure-pipelines trigger into
// ScaledJobs with ours. It talks to nobody.
package migrate

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"

	yamlv3 "go.yaml.in/yaml/v3"
)

// Options say what new triggers are to name.
type Options struct {
	// ScalerAddress is the HOST:PORT where KEDA finds the scaler.
	ScalerAddress string
	// Authentication is the TriggerAuthentication with the certificates for TLS
	// towards the scaler, "" for no TLS.
	Authentication string
	// AgentImage is for a ScaledObject whose Deployment is not among the
	// manifests.
	AgentImage string
}

// Report lists what happened to an object. It holds no value that may be secret.
type Report struct {
	Object             string
	Changes, Decisions []string
}

// ErrNothing means that there is nothing to migrate.
var ErrNothing = errors.New("no ScaledJob or ScaledObject has a trigger of type azure-pipelines")

// Migrate changes the documents that have to be changed, and leaves the others
// exactly as they are.
func Migrate(manifests []byte, options Options) (migrated []byte, reports []Report, err error) {
	documents, err := parse(manifests)
	if err != nil {
		return nil, nil, err
	}
	m := &migration{Options: options, documents: documents}
	for _, d := range documents {
		if d.is("ScaledJob", "ScaledObject") && len(azureTriggers(d.root)) > 0 {
			reports = append(reports, m.scaler(d))
		}
	}
	if len(reports) == 0 {
		return nil, nil, ErrNothing
	}
	reports = append(reports, m.dropNeedless()...)
	migrated, err = write(documents)
	return migrated, reports, err
}

// migration is what is known of all documents.
type migration struct {
	Options
	documents []*document
}

// change is a document that is being changed.
type change struct {
	*migration
	*document
	report *Report
}

func (c *change) changed(format string, args ...any) {
	c.report.Changes = append(c.report.Changes, fmt.Sprintf(format, args...))
}

func (c *change) decide(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	if !slices.Contains(c.report.Decisions, text) {
		c.report.Decisions = append(c.report.Decisions, text)
	}
}

// scaler migrates a ScaledJob or ScaledObject.
func (m *migration) scaler(d *document) Report {
	c := &change{migration: m, document: d, report: &Report{Object: d.String()}}
	c.dirty = true
	c.cleanUp()
	if d.is("ScaledObject") {
		c.fromScaledObject()
	}
	c.triggers()
	c.scaling()
	c.job()
	return *c.report
}

// azureTriggers are the triggers of a ScaledJob or ScaledObject to migrate.
func azureTriggers(root *yamlv3.Node) (list []*yamlv3.Node) {
	for _, trigger := range items(find(root, "spec", "triggers")) {
		if text(find(trigger, "type")) == "azure-pipelines" {
			list = append(list, trigger)
		}
	}
	return list
}

// ofServer are fields that the API server has added.
var ofServer = []string{"uid", "resourceVersion", "generation", "creationTimestamp", "managedFields", "selfLink", "finalizers"}

// cleanUp removes what kubectl get shows besides what was applied.
func (c *change) cleanUp() {
	removed := remove(c.root, "status")
	metadata := find(c.root, "metadata")
	for _, field := range ofServer {
		removed = remove(metadata, field) || removed
	}
	annotations := find(metadata, "annotations")
	removed = remove(annotations, "kubectl.kubernetes.io/last-applied-configuration") || removed
	if annotations != nil && len(annotations.Content) == 0 {
		remove(metadata, "annotations")
	}
	if removed {
		c.changed("status and the fields that the API server sets: removed")
	}
}

// dropNeedless drops the TriggerAuthentications that only migrated triggers
// named, and the Deployments that have become ScaledJobs.
func (m *migration) dropNeedless() (reports []Report) {
	stillUsed := map[string]bool{}
	for _, d := range m.documents {
		for _, trigger := range items(find(d.root, "spec", "triggers")) {
			if text(find(trigger, "type")) != "external" {
				stillUsed[text(find(trigger, "authenticationRef", "name"))] = true
			}
		}
	}
	for _, d := range m.documents {
		if why := d.needless; why != "" && !stillUsed[d.name()] {
			d.dropped = true
			reports = append(reports, Report{Object: d.String(), Changes: []string{"left out: " + why}})
		}
	}
	return reports
}

// other finds another document that this one refers to, which may leave the
// namespace out.
func (c *change) other(name string, kinds ...string) *document {
	for _, d := range c.documents {
		near := d.namespace() == "" || c.namespace() == "" || d.namespace() == c.namespace()
		if d.is(kinds...) && d.name() == name && (near || d.is("ClusterTriggerAuthentication")) {
			return d
		}
	}
	return nil
}

// write joins the documents.
func write(documents []*document) ([]byte, error) {
	var out bytes.Buffer
	for _, d := range documents {
		if d.dropped {
			continue
		}
		text := d.source
		if d.dirty {
			var encoded strings.Builder
			encoder := yamlv3.NewEncoder(&encoded)
			encoder.SetIndent(2)
			if err := encoder.Encode(d.node); err != nil {
				return nil, fmt.Errorf("write %s: %w", d, err)
			}
			text = encoded.String()
		}
		if out.Len() > 0 {
			out.WriteString("---\n")
		}
		out.WriteString(strings.TrimRight(text, "\n") + "\n")
	}
	return out.Bytes(), nil
}
