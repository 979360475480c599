package adoqueue

import (
	"cmp"
	"context"
	"errors"
	"sync"
	"time"
)

const (
	defaultStaleFor = 30 * time.Second
	defaultTimeout  = 10 * time.Second
	// idleFor is how long something is remembered that nobody asks for.
	idleFor = 10 * time.Minute
)

// CacheOptions are the bounds of a Cache.
type CacheOptions struct {
	// StaleFor is how old a snapshot may grow while Azure DevOps fails to give
	// a newer one; 0 means 30 s.
	StaleFor time.Duration
	// Timeout bounds one request to Azure DevOps; 0 means 10 s.
	Timeout time.Duration
	// Metrics shows what the snapshots hold; nil shows nothing.
	Metrics *Metrics
}

// Cache answers all callers from one snapshot per pool. It asks Azure DevOps
// only when somebody asks it, one request per pool at a time.
type Cache struct {
	client  *Client
	options CacheOptions
	ctx     context.Context // of the requests: callers come and go
	cancel  context.CancelFunc
	wg      sync.WaitGroup

	mu    sync.Mutex
	pools map[PoolRef]*cell[Pool]
	lists map[int]*cell[*Snapshot]

	parallel cell[ParallelJobs]
}

// NewCache makes a cache for the pools of one organization. Close ends it.
func NewCache(client *Client, options CacheOptions) *Cache {
	options.StaleFor = cmp.Or(options.StaleFor, defaultStaleFor)
	options.Timeout = cmp.Or(options.Timeout, defaultTimeout)
	c := &Cache{
		client: client, options: options,
		pools: map[PoolRef]*cell[Pool]{}, lists: map[int]*cell[*Snapshot]{},
	}
	c.ctx, c.cancel = context.WithCancel(once(context.Background()))
	c.parallel = cell[ParallelJobs]{
		staleFor: options.StaleFor, spawn: c.wg.Go,
		fetch: func() (ParallelJobs, error) {
			ctx, cancel := context.WithTimeout(c.ctx, options.Timeout)
			defer cancel()
			return client.ParallelJobs(ctx)
		},
	}
	return c
}

// Close gives up the requests that are under way and waits for their end.
func (c *Cache) Close() {
	c.cancel()
	c.wg.Wait()
}

// Snapshot gives the pool's snapshot, no older than maxAge if Azure DevOps
// answers. If it fails, the last snapshot serves on for a bounded time, with
// Err telling the reason; after that, and at once when the credential is
// refused or the pool is not there, the error comes instead.
//
// A pool is never asked more often than once in maxAge, failures included.
func (c *Cache) Snapshot(ctx context.Context, ref PoolRef, maxAge time.Duration) (*Snapshot, error) {
	pool, _, err := c.pool(ref).get(ctx, maxAge)
	if err != nil {
		return nil, err
	}
	snapshot, stale, err := c.list(pool).get(ctx, maxAge)
	if errors.Is(err, ErrPoolNotFound) {
		// It is gone; one of the same name may take its place.
		c.pool(ref).drop(err, maxAge)
		c.options.Metrics.forget(c.client.organization, pool)
	}
	if err != nil {
		return nil, err
	}
	if stale != nil {
		old := *snapshot
		old.Err = stale
		return &old, nil //nolint:nilerr // the old snapshot is an answer, and holds the reason
	}
	return snapshot, nil
}

// ParallelJobs gives the organization's parallel jobs, no older than maxAge if
// Azure DevOps answers, and for a bounded time the last ones if it does not.
func (c *Cache) ParallelJobs(ctx context.Context, maxAge time.Duration) (ParallelJobs, error) {
	jobs, _, err := c.parallel.get(ctx, maxAge)
	return jobs, err
}

func (c *Cache) pool(ref PoolRef) *cell[Pool] {
	c.mu.Lock()
	defer c.mu.Unlock()
	if known, ok := c.pools[ref.key()]; ok {
		return known
	}
	c.sweep()
	added := &cell[Pool]{
		lasting: true, staleFor: c.options.StaleFor, askedAt: time.Now(),
		fetch: func() (Pool, error) {
			ctx, cancel := context.WithTimeout(c.ctx, c.options.Timeout)
			defer cancel()
			return c.client.Pool(ctx, ref)
		},
		spawn: c.wg.Go,
	}
	c.pools[ref.key()] = added
	return added
}

func (c *Cache) list(pool Pool) *cell[*Snapshot] {
	c.mu.Lock()
	defer c.mu.Unlock()
	if known, ok := c.lists[pool.ID]; ok {
		return known
	}
	c.sweep()
	added := &cell[*Snapshot]{
		staleFor: c.options.StaleFor, askedAt: time.Now(),
		fetch: func() (*Snapshot, error) { return c.ask(pool) },
		spawn: c.wg.Go,
	}
	c.lists[pool.ID] = added
	return added
}

func (c *Cache) ask(pool Pool) (*Snapshot, error) {
	ctx, cancel := context.WithTimeout(c.ctx, c.options.Timeout)
	defer cancel()
	sent := time.Now()
	requests, err := c.client.JobRequests(ctx, pool)
	if err != nil {
		return nil, err
	}
	snapshot := &Snapshot{Pool: pool, Requests: requests, RequestedAt: sent}
	c.options.Metrics.show(c.client.organization, snapshot)
	return snapshot, nil
}

// sweep forgets what nobody has asked for lately. It runs when something is
// added, so that what is kept stays in proportion to what is asked for.
func (c *Cache) sweep() {
	deadline := time.Now().Add(-idleFor)
	for ref, pool := range c.pools {
		if pool.idleSince(deadline) {
			delete(c.pools, ref)
		}
	}
	for id, list := range c.lists {
		if list.idleSince(deadline) {
			delete(c.lists, id)
			if last := list.last(); last != nil {
				c.options.Metrics.forget(c.client.organization, last.Pool)
			}
		}
	}
}
