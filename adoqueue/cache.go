package adoqueue

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

const (
	defaultStaleFor = 30 * time.Second
	defaultTimeout  = 10 * time.Second
	// idleFor is how long a snapshot is kept that nobody needs.
	idleFor = 10 * time.Minute
	// maxKept bounds the snapshots of a cache together. 100,000 job requests take
	// some 30 MiB.
	maxKept = 96 << 20
)

// CacheOptions are the bounds of a Cache.
type CacheOptions struct {
	// StaleFor is how old a snapshot may grow while Azure DevOps does not answer
	// with a newer one; 0 means 30 s.
	StaleFor time.Duration
	// Timeout bounds one request to Azure DevOps; 0 means 10 s.
	Timeout time.Duration
}

// Cache serves all callers from one snapshot per pool. It sends requests to Azure
// DevOps only when a caller needs them, for each pool one at a time.
type Cache struct {
	client  *Client
	options CacheOptions
	ctx     context.Context // of the requests: callers come and go
	cancel  context.CancelFunc
	wg      sync.WaitGroup

	pools    directory
	parallel refreshable[ParallelJobs]

	mu    sync.Mutex
	lists map[int]*refreshable[*Snapshot] // by the id of a pool that exists
	kept  map[int]*requestList            // the last one of each
	// preferred are the pools of callers that are; see Preferred.
	preferred map[int]bool
	// servedAt is when a caller needed the pool last who was not [Peeking].
	servedAt map[int]time.Time
	// agents are the lists of those whom somebody has wanted to know, by id of the
	// pool.
	agents map[int]*refreshable[[]Agent]
}

// NewCache makes a cache for the pools of one organization. Close ends it.
func NewCache(client *Client, options CacheOptions) *Cache {
	options.StaleFor = cmp.Or(options.StaleFor, defaultStaleFor)
	options.Timeout = cmp.Or(options.Timeout, defaultTimeout)
	c := &Cache{
		client: client, options: options, lists: map[int]*refreshable[*Snapshot]{}, kept: map[int]*requestList{},
		preferred: map[int]bool{}, servedAt: map[int]time.Time{}, agents: map[int]*refreshable[[]Agent]{},
	}
	c.ctx, c.cancel = context.WithCancel(once(context.Background()))
	// The next snapshot has to come before the last one is too old to serve.
	client.throttle.slowDownAtMost(options.StaleFor / 2)
	c.pools.list = refreshable[*poolIndex]{
		lasting: true, spawn: c.wg.Go,
		fetch: func() (*poolIndex, error) {
			pools, err := within(c, client.Pools)
			return newPoolIndex(pools), err
		},
	}
	c.parallel = refreshable[ParallelJobs]{
		staleFor: options.StaleFor, spawn: c.wg.Go,
		fetch: func() (ParallelJobs, error) { return within(c, client.ParallelJobs) },
	}
	client.metrics.metrics.show(c)
	return c
}

// within makes a request that ends after the cache's timeout.
func within[T any](c *Cache, request func(context.Context) (T, error)) (T, error) {
	ctx, cancel := context.WithTimeout(c.ctx, c.options.Timeout)
	defer cancel()
	return request(ctx)
}

// Close ends the requests that are under way and waits for their end.
func (c *Cache) Close() {
	c.client.metrics.metrics.hide(c)
	c.cancel()
	c.wg.Wait()
}

// Snapshot returns the pool's snapshot, no older than maxAge if Azure DevOps
// answers within a second. If not, the last snapshot serves for a bounded time,
// with Err as the reason, while the request goes on in the background; after
// that, and at once when the credential is refused or the pool does not exist,
// the error is returned instead.
//
// The pointer is the same for all calls between which nothing new is known: no
// newer answer, and no other reason in Err. A pool's list is never requested
// more often than once in maxAge, failures included.
func (c *Cache) Snapshot(ctx context.Context, ref PoolRef, maxAge time.Duration) (*Snapshot, error) {
	pool, err := c.pools.resolve(ctx, ref)
	if err != nil {
		return nil, err
	}
	snapshot, _, err := c.list(ctx, pool).get(ctx, maxAge, maxAge)
	if errors.Is(err, ErrPoolNotFound) {
		// It is gone; one of the same name may take its place.
		c.pools.recheck()
	}
	return snapshot, err
}

// ParallelJobs returns the organization's parallel jobs, no older than maxAge if
// Azure DevOps answers, and for a bounded time the last ones if it does not.
func (c *Cache) ParallelJobs(ctx context.Context, maxAge time.Duration) (ParallelJobs, error) {
	jobs, _, err := c.parallel.get(ctx, maxAge, maxAge)
	return jobs, err
}

func (c *Cache) list(ctx context.Context, pool Pool) *refreshable[*Snapshot] {
	c.mu.Lock()
	defer c.mu.Unlock()
	if IsPreferred(ctx) {
		c.preferred[pool.ID] = true
	}
	if !isPeeking(ctx) {
		c.servedAt[pool.ID] = time.Now()
	}
	if known, ok := c.lists[pool.ID]; ok {
		return known
	}
	c.removeIdle()
	added := &refreshable[*Snapshot]{
		staleFor: c.options.StaleFor, askedAt: time.Now(), spawn: c.wg.Go,
		fetch: func() (*Snapshot, error) { return c.read(pool) },
		mark:  withReason,
	}
	c.lists[pool.ID] = added
	return added
}

func withReason(s *Snapshot, reason error) *Snapshot {
	old := *s
	old.Err = reason
	return &old
}

func (c *Cache) read(pool Pool) (*Snapshot, error) {
	ctx, cancel := context.WithTimeout(withWeight(c.ctx, c.weightOf(pool)), c.options.Timeout)
	defer cancel()
	sent := time.Now()
	list, err := c.client.jobRequests(ctx, pool, c.last(pool))
	if err == nil {
		err = c.keep(pool, list)
	}
	if err != nil {
		return nil, err
	}
	return &Snapshot{Pool: pool, Requests: list.requests, RequestedAt: sent}, nil
}

// last returns the last list of a pool, nil if there is none.
func (c *Cache) last(pool Pool) *requestList {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.kept[pool.ID]
}

// weightOf returns how much it matters to read a pool.
func (c *Cache) weightOf(pool Pool) weight {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch _, answered := c.kept[pool.ID]; {
	case c.preferred[pool.ID]:
		return preferred
	case answered:
		return ordinary
	default:
		return first
	}
}

// keep keeps the new list of a pool. That it does not fit beside those of the others is
// an error.
func (c *Cache) keep(pool Pool, list *requestList) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	total := list.size()
	for id, other := range c.kept {
		if id != pool.ID {
			total += other.size()
		}
	}
	if total > maxKept {
		return &Error{
			Operation: "keep the job requests of " + pool.String(),
			Message:   fmt.Sprintf("the unfinished job requests of all pools take more than %d MiB", maxKept>>20),
			Hint:      "cancel what nobody waits for, or serve fewer pools with one scaler", kind: ErrUnavailable,
		}
	}
	c.kept[pool.ID] = list
	return nil
}

// removeIdle removes the snapshots that nobody has needed lately. It runs when
// one is added, so that what is kept stays in proportion to what is needed.
func (c *Cache) removeIdle() {
	deadline := time.Now().Add(-idleFor)
	for id, list := range c.agents {
		if list.idleSince(deadline) {
			delete(c.agents, id)
		}
	}
	for id, list := range c.lists {
		if list.idleSince(deadline) {
			delete(c.lists, id)
			delete(c.kept, id)
			delete(c.preferred, id)
			delete(c.servedAt, id)
		}
	}
}

// shown returns the last snapshots of the pools that exist and that were served since
// the deadline.
func (c *Cache) shown(since time.Time) (snapshots []*Snapshot) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for id, list := range c.lists {
		if last, err := list.last(); last != nil && !errors.Is(err, ErrPoolNotFound) && !c.servedAt[id].Before(since) {
			snapshots = append(snapshots, last)
		}
	}
	return snapshots
}

// Check reads the list of the organization's pools, and returns how many there are. The
// first snapshot of the same cache needs that list too, and does not read it again.
func (c *Cache) Check(ctx context.Context) (pools int, err error) {
	index, stale, err := c.pools.list.get(ctx, poolsMaxAge, poolsPace)
	if err == nil {
		err = stale
	}
	if err != nil {
		return 0, err
	}
	return len(index.byID), nil
}
