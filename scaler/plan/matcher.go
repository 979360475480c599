package plan

import (
	"cmp"
	"encoding/binary"
	"slices"
	"strings"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue"
)

// maxRemembered bounds the kinds of requests that a Matcher remembers: a pipeline
// may demand anything.
const maxRemembered = 10_000

// Matcher finds the groups that can serve a request. It depends on the groups
// alone, so that one serves for all plans while they stay the same. It is not
// safe for concurrent use.
type Matcher struct {
	groups  []Group // the most preferred first
	order   []int   // indexes of groups in the list that the Matcher was made from
	stated  map[string][]int
	open    []int // groups that do not state what they offer
	ofNames map[string][]int
	found   map[string][]int // by what decides which groups can serve a request
	sets    map[string][]int // equal ones share a slice
	key     []byte
	shards  []adoqueue.Shard // each once; nil if all groups serve all requests
	shardOf []int            // of each group, in shards
	has     []bool           // which shards have the request in hand
	members []int            // of the set in hand
}

// NewMatcher returns a Matcher for these groups.
func NewMatcher(groups []Group) *Matcher {
	m := &Matcher{
		order: make([]int, len(groups)), groups: make([]Group, len(groups)),
		stated: map[string][]int{}, ofNames: map[string][]int{}, found: map[string][]int{}, sets: map[string][]int{},
	}
	for i := range groups {
		m.order[i] = i
	}
	slices.SortFunc(m.order, func(x, y int) int {
		a, b := &groups[x], &groups[y]
		return cmp.Or(
			-cmp.Compare(a.Priority, b.Priority), cmp.Compare(a.Capabilities, b.Capabilities),
			cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name),
		)
	})
	for g, i := range m.order {
		m.groups[g] = groups[i]
		if groups[i].Offers == nil {
			m.open = append(m.open, g)
		}
		for name := range groups[i].Offers {
			m.stated[name] = append(m.stated[name], g)
		}
		if groups[i].Placeholder != "" {
			m.ofNames[groups[i].Placeholder] = append(m.ofNames[groups[i].Placeholder], g)
		}
	}
	m.findShards()
	return m
}

// serving returns the groups that can serve a request, the most preferred first.
// Requests that the same groups can serve share one slice, which must not be
// changed.
func (m *Matcher) serving(r *adoqueue.JobRequest) []int {
	m.key = appendKey(m.key[:0], r)
	if known, ok := m.found[string(m.key)]; ok {
		return known
	}
	if len(m.found) >= maxRemembered {
		clear(m.found)
		clear(m.sets)
	}
	groups := m.shared(m.search(r))
	m.found[string(appendKey(m.key[:0], r))] = groups
	return groups
}

// shared returns the slice that all sets of these groups share: a copy of the first.
func (m *Matcher) shared(groups []int) []int {
	m.key = m.key[:0]
	for _, g := range groups {
		m.key = binary.AppendVarint(m.key, int64(g))
	}
	if known, ok := m.sets[string(m.key)]; ok {
		return known
	}
	groups = slices.Clone(groups)
	m.sets[string(m.key)] = groups
	return groups
}

// search asks the groups that may serve the request. That all registered agents
// match a request says little of a group that has none there now, so it counts
// only if no group states capabilities that meet the demands.
func (m *Matcher) search(r *adoqueue.JobRequest) []int {
	var serving []int
	offered := false
	for _, g := range m.candidates(r) {
		if m.groups[g].meets(r) {
			serving = append(serving, g)
			offered = offered || m.groups[g].Offers != nil
		}
	}
	if !r.MatchesAllAgents || offered {
		return serving
	}
	for g := range m.groups {
		if m.groups[g].Offers != nil {
			serving = append(serving, g)
		}
	}
	slices.Sort(serving)
	return slices.Compact(serving)
}

// meets reports whether the group's agents can run a request as far as the group
// states what they offer, and otherwise whether the group says so.
func (g *Group) meets(r *adoqueue.JobRequest) bool {
	if g.Offers == nil {
		return g.Serves(r)
	}
	return g.Placeholder != "" && slices.Contains(r.MatchedAgents, g.Placeholder) || len(g.Offers.Unmet(r.Demands)) == 0
}

// candidates returns the groups without which no other can serve the request:
// those that offer the rarest of its demands, and those that do not state what
// they offer.
func (m *Matcher) candidates(r *adoqueue.JobRequest) []int {
	rarest, limited := []int(nil), false
	for i := range r.Demands {
		name := strings.ToLower(r.Demands[i].Name)
		if strings.HasPrefix(name, "agent.") {
			continue // every agent has these, stated or not
		}
		if list := m.stated[name]; !limited || len(list) < len(rarest) {
			rarest, limited = list, true
		}
	}
	if !limited {
		all := make([]int, len(m.groups))
		for g := range all {
			all[g] = g
		}
		return all
	}
	list := slices.Concat(rarest, m.open)
	for _, agent := range r.MatchedAgents {
		list = append(list, m.ofNames[agent]...)
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// appendKey appends what decides which groups can serve a request.
func appendKey(key []byte, r *adoqueue.JobRequest) []byte {
	if r.MatchesAllAgents {
		key = append(key, '*')
	}
	for _, d := range r.Demands {
		key = append(append(key, d.String()...), '\n')
		key = append(append(key, d.Name...), '\n')
		key = append(append(key, d.Value...), '\n')
	}
	key = append(key, 0)
	for _, agent := range r.MatchedAgents {
		key = append(append(key, agent...), '\n')
	}
	return key
}
