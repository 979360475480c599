package housekeeping

import (
	"cmp"
	"context"
	"errors"
	"reflect"
	"slices"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue"
)

// organization keeps the pools of one organization. It is used by one goroutine.
type organization struct {
	*Keeper
	url    string
	client *adoqueue.Client
	pools  map[int]*pool

	members []Member
	found   map[adoqueue.PoolRef]adoqueue.Pool
	// complete is false while a member's pool is not known because Azure DevOps
	// could not be asked. Nothing is taken for unwanted meanwhile.
	complete bool
	findAt   time.Time

	swept   bool
	sweepAt time.Time
}

func newOrganization(k *Keeper, url string, client *adoqueue.Client) *organization {
	return &organization{
		Keeper: k, url: url, client: client,
		pools: map[int]*pool{}, found: map[adoqueue.PoolRef]adoqueue.Pool{},
	}
}

// step is called every second. It asks Azure DevOps nothing while there is
// nothing new.
func (o *organization) step(ctx context.Context) {
	o.assign(ctx, time.Now())
	o.sweep(ctx, time.Now())
	for _, p := range o.due(time.Now()) {
		if ctx.Err() != nil {
			return
		}
		p.look(ctx, o.complete)
		if len(p.members) == 0 && p.memory.empty() {
			delete(o.pools, p.ID)
		}
	}
}

// assign gives each pool its members. Those that are new, or not what they were,
// are looked at soon.
func (o *organization) assign(ctx context.Context, now time.Time) {
	members := slices.DeleteFunc(o.Members(), func(m Member) bool { return m.Organization != o.url })
	slices.SortFunc(members, func(a, b Member) int {
		return cmp.Or(strings.Compare(a.String(), b.String()), strings.Compare(a.Pool.String(), b.Pool.String()))
	})
	if reflect.DeepEqual(members, o.members) && (o.complete || now.Before(o.findAt)) {
		return
	}
	o.members, o.complete, o.findAt = members, true, now.Add(lookEvery)
	byPool := map[int][]Member{}
	for _, m := range members {
		if found, ok := o.find(ctx, m.Pool); ok {
			byPool[found.ID] = append(byPool[found.ID], m)
			o.keep(found, now)
		}
	}
	for id, p := range o.pools {
		if !reflect.DeepEqual(p.members, byPool[id]) {
			p.members = byPool[id]
			if !p.refused {
				p.next = now
			}
		}
	}
}

func (o *organization) keep(found adoqueue.Pool, now time.Time) {
	if o.pools[found.ID] == nil {
		o.pools[found.ID] = &pool{organization: o, Pool: found, memory: newMemory(), next: now}
	}
}

// find gives the pool that a member names. That there is none is told where the
// ScaledJob asks for its jobs.
func (o *organization) find(ctx context.Context, ref adoqueue.PoolRef) (found adoqueue.Pool, ok bool) {
	if found, ok = o.found[ref]; ok {
		return found, true
	}
	found, err := o.client.Pool(ctx, ref)
	switch {
	case err == nil:
		o.found[ref] = found
		return found, true
	case !errors.Is(err, adoqueue.ErrPoolNotFound) && !errors.Is(err, adoqueue.ErrPoolUnfit):
		o.complete = false
	}
	o.logger.Debug("a pool is not kept", zap.String("organization", o.url), zap.Error(err))
	return found, false
}

// sweep finds the pools in which an earlier run may have left something of ours
// that no ScaledJob names any more. Once is enough.
func (o *organization) sweep(ctx context.Context, now time.Time) {
	if o.swept || now.Before(o.sweepAt) {
		return
	}
	pools, err := o.client.ManagedPools(ctx)
	if err != nil {
		o.sweepAt = now.Add(lookEvery)
		o.logger.Debug("the pools are not known", zap.String("organization", o.url), zap.Error(err))
		return
	}
	o.swept = true
	for _, found := range pools {
		o.keep(found, now)
	}
}

// due are the pools to look at now: of those without members, one at a time, so
// that the others need not wait for a whole organization.
func (o *organization) due(now time.Time) []*pool {
	var due []*pool
	one := false
	for _, p := range o.pools {
		switch {
		case now.Before(p.next):
		case len(p.members) > 0:
			due = append(due, p)
		case !one:
			one = true
			due = append(due, p)
		}
	}
	slices.SortFunc(due, func(a, b *pool) int { return cmp.Compare(a.ID, b.ID) })
	return due
}
