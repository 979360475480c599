package scaler

import (
	"slices"
	"strings"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue"
)

// selector decides which job requests a trigger serves. Without parent, demands
// and capabilities it serves all.
type selector struct {
	// capabilities are what its agents offer; nil if not told.
	capabilities adoqueue.Capabilities

	// The rest is the matching of KEDA's built-in scaler, by text.
	parent     string
	demands    []string
	exact      bool // the job demands just these
	superset   bool // the job demands all of these, and maybe more
	ignoreCase bool
}

func (s *selector) serves(r *adoqueue.JobRequest) bool {
	switch {
	case s.parent != "" && s.matchedByParent(r):
		return true
	case s.capabilities != nil:
		// Azure DevOps knows its registered agents better than we do.
		return r.MatchesAllAgents || s.offers(r)
	case s.parent != "":
		return false
	case s.demands != nil:
		return s.matchedByDemands(r)
	default:
		return true
	}
}

// offers tells whether the capabilities, as the trigger states them, meet the
// demands of a request.
func (s *selector) offers(r *adoqueue.JobRequest) bool {
	return s.capabilities != nil && len(s.capabilities.Unmet(r.Demands)) == 0
}

func (s *selector) matchedByParent(r *adoqueue.JobRequest) bool {
	return r.MatchesAllAgents || slices.Contains(r.MatchedAgents, s.parent)
}

// matchedByDemands compares demands as texts and as sets. KEDA's scaler counts
// equal pairs, which is the same unless one side repeats itself, and does not
// trim its list, which leaves an item after ", " without effect.
func (s *selector) matchedByDemands(r *adoqueue.JobRequest) bool {
	var wanted []string
	for _, d := range r.Demands {
		if !strings.HasPrefix(d.String(), "Agent.Version") {
			wanted = append(wanted, d.String())
		}
	}
	covered := s.contains(s.demands, wanted)
	switch {
	case s.exact:
		return covered && s.contains(wanted, s.demands)
	case s.superset:
		return s.contains(wanted, s.demands)
	default:
		return covered
	}
}

// contains tells whether all of the items are in the set.
func (s *selector) contains(set, items []string) bool {
	for _, item := range items {
		if !slices.ContainsFunc(set, func(other string) bool {
			return other == item || s.ignoreCase && strings.EqualFold(other, item)
		}) {
			return false
		}
	}
	return true
}

// splitDemands gives nil only if the list is not there: an empty one is met by
// jobs without demands.
func splitDemands(list string, given bool) []string {
	if !given {
		return nil
	}
	demands := []string{}
	for demand := range strings.SplitSeq(list, ",") {
		if demand = strings.TrimSpace(demand); demand != "" && !strings.HasPrefix(demand, "Agent.Version") {
			demands = append(demands, demand)
		}
	}
	return demands
}
