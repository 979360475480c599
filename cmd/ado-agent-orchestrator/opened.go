package main

import (
	"cmp"
	"net/http"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue/adoauth"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/engine"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/explain"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/explain/page"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/fleet"
)

// opened are organizations with their caches.
type opened []openedOrganization

type openedOrganization struct {
	organization organization
	cache        *adoqueue.Cache
}

// open makes a cache for each organization.
func (s commonSettings) open(metrics *adoqueue.Metrics) (opened, error) {
	var all opened
	for _, o := range s.organizations {
		client, err := o.client(metrics)
		if err != nil {
			all.close()
			return nil, err
		}
		cache := adoqueue.NewCache(client, adoqueue.CacheOptions{StaleFor: s.StaleFor, Timeout: s.Timeout})
		all = append(all, openedOrganization{o, cache})
	}
	return all, nil
}

func (all opened) close() {
	for _, o := range all {
		o.cache.Close()
	}
}

// organizations returns what an engine serves.
func (all opened) organizations() []engine.Organization {
	served := make([]engine.Organization, len(all))
	for i, o := range all {
		served[i] = engine.Organization{URL: o.organization.url, Queue: o.cache}
	}
	return served
}

// explained returns what an Explainer reads.
func (all opened) explained(placeholderName func(adoqueue.Capabilities) string) explain.Options {
	options := explain.Options{PlaceholderName: placeholderName}
	for _, o := range all {
		options.Organizations = append(options.Organizations, explain.ServedOrganization{
			URL: o.organization.url, Reader: o.cache, Credential: cmp.Or(o.organization.auth.Kind, adoauth.PAT),
		})
	}
	return options
}

// viewed returns a view of Kubernetes for an Explainer, nil if there is none.
func viewed(view *fleet.Fleet) explain.Cluster {
	if view == nil {
		return nil
	}
	return view
}

// showStatus serves what is known, unless that is switched off.
func (s commonSettings) showStatus(web *webServer, explainer *explain.Explainer) {
	if !s.Status {
		return
	}
	status := http.NewServeMux()
	status.Handle("GET "+explain.Path, explainer)
	status.Handle("/", page.New(explainer, page.Options{Compare: s.compare, Turns: explainer.Turns()}))
	web.setStatus(status)
}
