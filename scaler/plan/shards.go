package plan

import (
	"slices"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue"
)

// findShards finds the shards of the groups.
func (m *Matcher) findShards() {
	if !slices.ContainsFunc(m.groups, func(g Group) bool { return !g.Shard.All() }) {
		return
	}
	m.shardOf = make([]int, len(m.groups))
	for g := range m.groups {
		i := slices.Index(m.shards, m.groups[g].Shard)
		if i < 0 {
			i = len(m.shards)
			m.shards = append(m.shards, m.groups[g].Shard)
		}
		m.shardOf[g] = i
	}
	m.has = make([]bool, len(m.shards))
}

// share returns those of the groups whose shard has the request. Equal sets share
// a slice, which must not be changed.
func (m *Matcher) share(r *adoqueue.JobRequest, groups []int) []int {
	if m.shards == nil {
		return groups
	}
	for i, shard := range m.shards {
		m.has[i] = shard.Has(r)
	}
	m.members = m.members[:0]
	for _, g := range groups {
		if m.has[m.shardOf[g]] {
			m.members = append(m.members, g)
		}
	}
	if len(m.members) == len(groups) {
		return groups
	}
	return m.shared(m.members)
}

// ours reports whether a request is for one of the groups to serve, and not for a
// scaler with another shard: what no group there can run now is still theirs. Of
// what no group here can run each shard has its share.
func (m *Matcher) ours(r *adoqueue.JobRequest) bool {
	able := m.serving(r)
	if len(able) > 0 {
		return len(m.share(r, able)) > 0
	}
	return slices.ContainsFunc(m.shards, func(s adoqueue.Shard) bool { return s.Has(r) })
}

// divide leaves requests of other shards out, apart from those that are adopted.
func (a *assignment) divide() {
	requests := a.in.Snapshot.Requests
	var ours, theirs []int
	for _, i := range a.queued {
		if a.matcher.ours(requests[i]) {
			ours = append(ours, i)
		} else {
			theirs = append(theirs, i)
		}
	}
	a.queued, a.adopted = ours, map[int]bool{}
	taken := newCandidates(a.matcher, requests, theirs)
	for i := range a.in.Swaps {
		if swap := &a.in.Swaps[i]; !swap.Lent {
			if r := taken.next(&swap.Request); r >= 0 {
				a.adopted[r] = true
				a.queued = append(a.queued, r)
			}
		}
	}
	slices.Sort(a.queued)
}

// owed are slots for the Jobs that other shards owe: one for each set of groups.
type owed struct {
	slots []int
	sets  [][]int
}

// owed adds a slot to the matching for the Jobs that other shards owe.
func (a *assignment) owed() owed {
	var o owed
	for i := range a.in.Swaps {
		if !a.in.Swaps[i].Lent || a.matcher.shards == nil {
			continue
		}
		set := a.matcher.serving(&a.in.Swaps[i].Request)
		s := slices.IndexFunc(o.sets, func(other []int) bool { return slices.Equal(other, set) })
		if s < 0 {
			s = len(o.sets)
			o.sets, o.slots = append(o.sets, set), append(o.slots, len(a.matching.slots))
			a.matching.slots = append(a.matching.slots, slot{})
		}
		a.matching.slots[o.slots[s]].size++
	}
	return o
}

// of returns the slots that can stand in for requests that these groups can run.
func (o *owed) of(able []int) (slots []int) {
	for i, set := range o.sets {
		if includes(able, set) {
			slots = append(slots, o.slots[i])
		}
	}
	return slots
}

// candidates are queued requests that swaps may be about.
type candidates struct {
	matcher *Matcher
	sets    [][]int // of groups that can serve them, the smallest first
	indexes [][]int // of the requests that can be served by each set, the oldest first
}

func newCandidates(m *Matcher, requests []*adoqueue.JobRequest, indexes []int) *candidates {
	c := &candidates{matcher: m}
	known := make(map[*int]int)
	for _, i := range indexes {
		able := m.serving(requests[i])
		if len(able) == 0 {
			continue
		}
		s, ok := known[&able[0]]
		if !ok {
			s = len(c.sets)
			known[&able[0]] = s
			c.sets, c.indexes = append(c.sets, able), append(c.indexes, nil)
		}
		c.indexes[s] = append(c.indexes[s], i)
	}
	return c
}

// next returns the index of a request that the agent may have been made for which
// took another, and takes it away; -1 if there is none. An agent that can run the
// other can run it too, so it does not matter which agent that was.
func (c *candidates) next(taken *adoqueue.JobRequest) int {
	least, best := c.matcher.serving(taken), -1
	for s := range c.sets {
		if len(c.indexes[s]) > 0 && (best < 0 || len(c.sets[s]) < len(c.sets[best])) && includes(c.sets[s], least) {
			best = s
		}
	}
	if best < 0 {
		return -1
	}
	i := c.indexes[best][0]
	c.indexes[best] = c.indexes[best][1:]
	return i
}

// includes reports whether all of some groups, in order, are among others. No
// groups are among none: whoever could run a request may be gone.
func includes(all, some []int) bool {
	if len(some) == 0 {
		return false
	}
	i := 0
	for _, g := range some {
		for i < len(all) && all[i] < g {
			i++
		}
		if i == len(all) || all[i] != g {
			return false
		}
	}
	return true
}
