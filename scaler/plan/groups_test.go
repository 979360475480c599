package plan_test

import (
	"slices"
	"time"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/plan"
)

// group is a ScaledJob of the scenario.
type group struct {
	name     string
	scaler   int
	shard    adoqueue.Shard
	skills   skills
	priority int
	minIdle  int
	min, max int
	poll     time.Duration
	phase    time.Duration // of its first poll
	blocked  span          // when it gets no new Jobs
	away     span          // when KEDA does not ask for it
	absence  absence       // why not
	polled   time.Duration // when KEDA asked last
}

// absence is why KEDA does not ask for a group.
type absence int

const (
	unknown absence = iota // nobody knows
	paused                 // its annotation says so
	deleted                // its Jobs run on
)

func (g *group) key() plan.Key { return plan.Key{Namespace: "ado", Name: g.name} }

func (g *group) isAway(now time.Duration) bool { return g.away.min <= now && now < g.away.max }

func (g *group) isPolled(now time.Duration) bool { return !g.isAway(now) }

// comesBack reports whether the group will get Jobs some time.
func (g *group) comesBack(now time.Duration) bool { return !g.isAway(now) || g.away.max != never }

// blockedNow is why the planner knows that the group gets no new Jobs, if it does.
func (g *group) blockedNow(now, asking time.Duration) string {
	switch {
	case g.blocked.min <= now && now < g.blocked.max:
		return "is held back: its Jobs fail"
	case g.isAway(now) && g.absence == paused:
		return "is paused"
	case g.isAway(now) && g.absence == deleted:
		return "was deleted"
	case now > g.polled+asking:
		return "is not asked for by KEDA"
	}
	return ""
}

// members are the groups that a scaler plans for: a deleted one for as long as it
// has Jobs.
func (s *simulator) members(scaler int) (members []int) {
	for g := range s.groups {
		group := &s.groups[g]
		if group.scaler == scaler && (group.absence != deleted || !group.isAway(s.now) || s.unfinished(g) > 0) {
			members = append(members, g)
		}
	}
	return members
}

// planGroups are some groups as the planner knows them now.
func (s *simulator) planGroups(members []int) []plan.Group {
	groups := make([]plan.Group, len(members))
	for i, m := range members {
		g := &s.groups[m]
		groups[i] = plan.Group{
			Key: g.key(), Priority: g.priority, Capabilities: len(g.skills.demands()), Shard: g.shard,
			MinIdle: g.minIdle, MinReplicas: g.min, MaxReplicas: g.max, Blocked: g.blockedNow(s.now, s.asking),
			Serves: func(r *adoqueue.JobRequest) bool { return g.skills.meet(skillsOf(r)) },
		}
	}
	return groups
}

// skillsOf reads demands back.
func skillsOf(r *adoqueue.JobRequest) (s skills) {
	for _, d := range r.Demands {
		s |= 1 << (d.Name[0] - 'a')
	}
	return s
}

// able are the groups whose agents can run a request.
func (s *simulator) able(r *request) []int {
	var groups []int
	for g := range s.groups {
		if s.groups[g].skills.meet(r.demands) {
			groups = append(groups, g)
		}
	}
	return groups
}

// groupsOf are the groups that are to serve a request.
func (s *simulator) groupsOf(r *request) []int {
	return slices.DeleteFunc(s.able(r), func(g int) bool { return !s.groups[g].shard.Has(&adoqueue.JobRequest{ID: r.id}) })
}

// servedByAny reports whether a group that is there, or will be again, is to serve
// the request.
func (s *simulator) servedByAny(r *request) bool {
	return slices.ContainsFunc(s.groupsOf(r), func(g int) bool { return s.groups[g].comesBack(s.now) })
}
