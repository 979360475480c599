package plan

import (
	"fmt"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue"
)

// classify finds the class of each queued request.
func (b *board) classify() {
	b.class = make([]int, len(b.in.Snapshot.Requests))
	alike := make(map[string]int)   // class by what Serves looks at
	classes := make(map[string]int) // class by the groups that can serve it
	var key []byte
	for i := range b.class {
		b.class[i] = none
	}
	for _, i := range b.queued {
		r := &b.in.Snapshot.Requests[i]
		key = appendKey(key[:0], r)
		c, ok := alike[string(key)]
		if !ok {
			groups := b.serving(r)
			same := fmt.Sprint(groups)
			if c, ok = classes[same]; !ok {
				c = b.matching.addClass(groups)
				classes[same] = c
			}
			alike[string(key)] = c
		}
		b.class[i] = c
	}
}

// appendKey appends what Serves may look at.
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

// serving are the groups that can serve a request, the most preferred first.
func (b *board) serving(r *adoqueue.JobRequest) (groups []int) {
	for g := range b.groups {
		if b.groups[g].Serves(r) {
			groups = append(groups, g)
		}
	}
	return groups
}
