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

// organizationKeeper keeps the pools of one organization. It is used by one
// goroutine.
type organizationKeeper struct {
	options  *Options
	reporter reporter
	url      string
	client   *adoqueue.Client
	pools    map[int]*poolKeeper // by the pool's ID

	members  []Member
	resolved map[adoqueue.PoolRef]adoqueue.Pool
	// membersIncomplete is true while Azure DevOps does not say which pool a
	// member means. Until then no placeholder counts as unused.
	membersIncomplete bool
	resolveAgainAt    time.Time

	discovered      bool
	discoverAgainAt time.Time
}

func newOrganizationKeeper(k *Keeper, url string, client *adoqueue.Client) *organizationKeeper {
	return &organizationKeeper{
		options: &k.options, reporter: k.reporter, url: url, client: client,
		pools: map[int]*poolKeeper{}, resolved: map[adoqueue.PoolRef]adoqueue.Pool{},
	}
}

// reconcile is called every second. It sends no request to Azure DevOps while
// nothing has changed and no pool is due.
func (o *organizationKeeper) reconcile(ctx context.Context) {
	o.refreshMembers(ctx, time.Now())
	o.discoverPools(ctx, time.Now())
	for _, p := range o.duePools(time.Now()) {
		if ctx.Err() != nil {
			return
		}
		p.reconcile(ctx, o.membersIncomplete)
		if len(p.members) == 0 && p.memory.empty() {
			delete(o.pools, p.pool.ID)
		}
	}
}

// refreshMembers assigns the members to their pools. A pool whose members have
// changed becomes due at once.
func (o *organizationKeeper) refreshMembers(ctx context.Context, now time.Time) {
	members := slices.DeleteFunc(o.options.Members(), func(m Member) bool { return m.Organization != o.url })
	slices.SortFunc(members, func(a, b Member) int {
		return cmp.Or(strings.Compare(a.Key.String(), b.Key.String()), strings.Compare(a.Pool.String(), b.Pool.String()))
	})
	resolved := !o.membersIncomplete || now.Before(o.resolveAgainAt)
	if resolved && reflect.DeepEqual(members, o.members) {
		return
	}
	o.members, o.membersIncomplete, o.resolveAgainAt = members, false, now.Add(reconcileInterval)
	byPool := map[int][]Member{}
	for _, m := range members {
		if pool, ok := o.resolve(ctx, m.Pool); ok {
			byPool[pool.ID] = append(byPool[pool.ID], m)
			o.addPool(pool, now)
		}
	}
	for id, p := range o.pools {
		if !reflect.DeepEqual(p.members, byPool[id]) {
			p.members = byPool[id]
			p.schedule.expedite(now)
		}
	}
}

// addPool starts to keep a pool, unless it is kept already.
func (o *organizationKeeper) addPool(pool adoqueue.Pool, now time.Time) {
	if o.pools[pool.ID] == nil {
		o.pools[pool.ID] = newPoolKeeper(o, pool, now)
	}
}

// resolve returns the pool that a member names. A pool that does not exist is
// reported by the scaler when KEDA polls the ScaledJob, not here.
func (o *organizationKeeper) resolve(ctx context.Context, ref adoqueue.PoolRef) (pool adoqueue.Pool, ok bool) {
	if pool, ok = o.resolved[ref]; ok {
		return pool, true
	}
	pool, err := o.client.Pool(ctx, ref)
	switch {
	case err == nil:
		o.resolved[ref] = pool
		return pool, true
	case !errors.Is(err, adoqueue.ErrPoolNotFound) && !errors.Is(err, adoqueue.ErrPoolNotSelfHosted):
		o.membersIncomplete = true
	}
	o.reporter.logger.Debug("no housekeeping in a pool that cannot be resolved",
		zap.String("organization", o.url), zap.Stringer("pool", ref), zap.Error(err))
	return pool, false
}

// discoverPools adds all pools that the credential manages: an earlier run may
// have left agents in pools that no ScaledJob names now. Once is enough.
func (o *organizationKeeper) discoverPools(ctx context.Context, now time.Time) {
	if o.discovered || now.Before(o.discoverAgainAt) {
		return
	}
	pools, err := o.client.ManagedPools(ctx)
	if err != nil {
		o.discoverAgainAt = now.Add(reconcileInterval)
		o.reporter.logger.Debug("listing the pools of the organization failed; retried automatically",
			zap.String("organization", o.url), zap.Error(err))
		return
	}
	o.discovered = true
	for _, pool := range pools {
		o.addPool(pool, now)
	}
}

// duePools returns the pools to reconcile now. Of pools without members it
// returns only one, so that the others need not wait for a whole organization.
func (o *organizationKeeper) duePools(now time.Time) []*poolKeeper {
	var due []*poolKeeper
	withoutMembers := false
	for _, p := range o.pools {
		switch {
		case now.Before(p.schedule.next):
		case len(p.members) > 0:
			due = append(due, p)
		case !withoutMembers:
			withoutMembers = true
			due = append(due, p)
		}
	}
	slices.SortFunc(due, func(a, b *poolKeeper) int { return cmp.Compare(a.pool.ID, b.pool.ID) })
	return due
}
