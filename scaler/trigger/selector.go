package trigger

import (
	"slices"
	"strings"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue"
)

// Selector decides which job requests a trigger serves. Without parent, demands
// and capabilities it serves all of its shard.
type Selector struct {
	// Capabilities are what the agents offer; nil if the trigger does not say.
	Capabilities adoqueue.Capabilities
	// Parent is a registered agent that stands for the agents, "" if none does.
	Parent string
	// Shard is the share of the pool's requests that the trigger counts, out of
	// those that its agents can run.
	Shard adoqueue.Shard

	// The rest is the matching of KEDA's built-in scaler, by text.
	demands    []string
	exact      bool // the job demands just these
	superset   bool // the job demands all of these, and maybe more
	ignoreCase bool
}

// Counts reports whether the trigger counts a request, without regard to its state.
func (s *Selector) Counts(r *adoqueue.JobRequest) bool { return s.Shard.Has(r) && s.Serves(r) }

// Serves reports whether the agents can run a request, of whichever shard.
func (s *Selector) Serves(r *adoqueue.JobRequest) bool {
	switch {
	case s.Parent != "" && s.matchedByParent(r):
		return true
	case s.Capabilities != nil:
		// Azure DevOps knows its registered agents better than we do.
		return r.MatchesAllAgents || s.Offers(r)
	case s.Parent != "":
		return false
	case s.demands != nil:
		return s.matchedByDemands(r)
	default:
		return !namesAnotherAgent(r)
	}
}

// Offers reports whether the capabilities, as the trigger states them, meet the
// demands of a request.
func (s *Selector) Offers(r *adoqueue.JobRequest) bool {
	return s.Capabilities != nil && len(s.Capabilities.Unmet(r.Demands)) == 0
}

// namesAnotherAgent reports whether the request is for one machine, by its name:
// no agent that is created for a job can have it.
func namesAnotherAgent(r *adoqueue.JobRequest) bool {
	return slices.ContainsFunc(r.Demands, func(d adoqueue.Demand) bool {
		return d.Operator == adoqueue.Equals &&
			(strings.EqualFold(d.Name, "Agent.Name") || strings.EqualFold(d.Name, "Agent.ComputerName"))
	})
}

// Placeholder returns the capabilities that a placeholder for the agents needs,
// nil if the trigger names its own agent as parent.
func (s *Selector) Placeholder() adoqueue.Capabilities {
	switch {
	case s.Parent != "":
		return nil
	case s.Capabilities != nil:
		return s.Capabilities
	}
	capabilities := adoqueue.Capabilities{}
	for _, text := range s.demands {
		if d := adoqueue.ParseDemand(text); d.Operator != adoqueue.Unknown {
			capabilities[strings.ToLower(d.Name)] = d.Value
		}
	}
	return capabilities
}

func (s *Selector) matchedByParent(r *adoqueue.JobRequest) bool {
	return r.MatchesAllAgents || slices.Contains(r.MatchedAgents, s.Parent)
}

// matchedByDemands compares demands as texts and as sets. KEDA's scaler counts
// equal pairs, which is the same unless one side repeats itself, and does not
// trim its list, which leaves an item after ", " without effect.
func (s *Selector) matchedByDemands(r *adoqueue.JobRequest) bool {
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

// contains reports whether all of the items are in the set.
func (s *Selector) contains(set, items []string) bool {
	for _, item := range items {
		if !slices.ContainsFunc(set, func(other string) bool {
			return other == item || s.ignoreCase && strings.EqualFold(other, item)
		}) {
			return false
		}
	}
	return true
}

// splitDemands returns nil only if the list is not there: an empty one is met by
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
