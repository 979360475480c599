package scaler

import (
	"maps"
	"slices"
	"strings"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/housekeeping"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/plan"
)

// Members are the ScaledJobs that name this scaler and the pools that they
// serve, as they are now.
func (s *Service) Members() []housekeeping.Member {
	if s.planner == nil {
		return nil
	}
	var members []housekeeping.Member
	list := s.planner.cluster.ScaledJobs()
	for i := range list {
		for _, metadata := range list[i].Triggers {
			if !s.planner.isOurs(metadata) || hasForeignValues(metadata) {
				continue
			}
			t, err := parseTrigger(metadata, s.options.Organizations, countExact)
			if err != nil {
				continue // it is told when KEDA asks
			}
			members = append(members, housekeeping.Member{
				Key:          plan.Key{Namespace: list[i].Namespace, Name: list[i].Name},
				Organization: t.organization.URL.String(), Pool: t.pool, Capabilities: t.requests.placeholder(),
			})
		}
	}
	return members
}

// hasForeignValues tells whether some values are those of variables, which only
// KEDA knows.
func hasForeignValues(metadata map[string]string) bool {
	return slices.ContainsFunc(slices.Collect(maps.Keys(metadata)), func(key string) bool {
		return strings.HasSuffix(key, "FromEnv")
	})
}

// placeholder gives the capabilities that a placeholder for these requests needs,
// nil if the trigger names one of its own.
func (s *selector) placeholder() adoqueue.Capabilities {
	switch {
	case s.parent != "":
		return nil
	case s.capabilities != nil:
		return s.capabilities
	}
	capabilities := adoqueue.Capabilities{}
	for _, text := range s.demands {
		if d := adoqueue.ParseDemand(text); d.Operator != adoqueue.Unknown {
			capabilities[strings.ToLower(d.Name)] = d.Value
		}
	}
	return capabilities
}

// placeholderName is the name of our placeholder for these capabilities, "" if
// there is none. That Azure DevOps has matched it with a request is its own word
// on the request's demands.
func (p *planner) placeholderName(s *selector) string {
	if p.options.PlaceholderOwner == "" || s.capabilities == nil {
		return ""
	}
	return housekeeping.PlaceholderName(p.options.PlaceholderOwner, s.capabilities)
}
