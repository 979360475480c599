package explain

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/engine"
)

// poolCopy is what is remembered of a pool at one moment.
type poolCopy struct {
	key        poolKey
	last       *engine.Decision
	unfinished []record // in the order of the last snapshot
	finished   []record // the newest first
	decisions  []Decision
	kept       int // decisions that there are
	omitted    int
}

// copy returns what is remembered, in the order of the pools, so that a Report does
// not hold up decisions.
func (h *history) copy(f *Filter) []poolCopy {
	h.mu.Lock()
	defer h.mu.Unlock()
	keys := slices.SortedFunc(maps.Keys(h.pools), poolKey.compare)
	keys = slices.DeleteFunc(keys, func(key poolKey) bool { return !f.hasPool(key.id, h.pools[key].last.Snapshot.Pool.Name) })
	pools := make([]poolCopy, 0, len(keys))
	for _, key := range keys {
		p := h.pools[key]
		c := poolCopy{
			key: key, last: p.last, decisions: p.log.decisions(share(f.MaxDecisions, len(keys))), kept: len(p.log.entries), omitted: p.omitted,
			unfinished: make([]record, 0, len(p.unfinished)), finished: make([]record, 0, len(p.finished)),
		}
		for _, r := range p.unfinished {
			c.unfinished = append(c.unfinished, *r)
		}
		for _, r := range p.finished {
			c.finished = append(c.finished, *r)
		}
		slices.SortFunc(c.unfinished, func(a, b record) int { return cmp.Compare(a.index, b.index) })
		slices.SortFunc(c.finished, func(a, b record) int { return cmp.Or(cmp.Compare(b.ended.at, a.ended.at), cmp.Compare(b.id, a.id)) })
		pools = append(pools, c)
	}
	return pools
}

func (k poolKey) compare(other poolKey) int {
	return cmp.Or(strings.Compare(k.organization.String(), other.organization.String()), cmp.Compare(k.id, other.id))
}
