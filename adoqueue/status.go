package adoqueue

import (
	"context"
	"time"
)

// Status is how well an organization can be read, and what that has cost so far.
type Status struct {
	// Requests is how many were sent, retries included, and Delayed for how long
	// Azure DevOps has delayed them together.
	Requests int64
	Delayed  time.Duration
	// ThrottledUntil is until when nothing is sent because Azure DevOps asks for that;
	// it may be in the past.
	ThrottledUntil time.Time
	// CredentialExpires is when the credential does, zero if that is unknown.
	CredentialExpires time.Time
	// Directory is about the list of pools, which finds a pool's id by its name.
	Directory Reading
	// Pools are those with a snapshot, or an attempt at one.
	Pools map[int]Reading
}

// Reading is how well a list can be read.
type Reading struct {
	// Pool is the name of the pool whose list it is, "" if that is unknown.
	Pool string
	// At is when the request was sent for the newest list, zero if there is none.
	At time.Time
	// Err is why the last attempt failed, nil if it succeeded; FailingSince is the
	// first of the consecutive failures.
	Err          error
	FailingSince time.Time
}

// Status returns how well the organization can be read. It requests nothing.
func (c *Cache) Status() Status {
	sent, delayed := c.client.throttle.use()
	s := Status{
		Requests: sent, Delayed: delayed, ThrottledUntil: c.client.throttle.heldUntil(), CredentialExpires: c.client.CredentialExpires(),
		Directory: c.pools.list.reading(), Pools: map[int]Reading{},
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	index, _ := c.pools.list.last()
	for id, list := range c.lists {
		reading := list.reading()
		if index != nil {
			reading.Pool = index.byID[id].Name
		}
		s.Pools[id] = reading
	}
	return s
}

// Agents returns the agents registered in a pool, without capabilities, no older
// than maxAge. It is for questions that people ask: the list is requested no more
// often than once in maxAge, however many ask.
func (c *Cache) Agents(ctx context.Context, pool Pool, maxAge time.Duration) ([]Agent, error) {
	c.mu.Lock()
	list := c.agents[pool.ID]
	if list == nil {
		list = &refreshable[[]Agent]{
			spawn: c.wg.Go, staleFor: maxAge, askedAt: time.Now(),
			fetch: func() ([]Agent, error) {
				return within(c, func(ctx context.Context) ([]Agent, error) { return c.client.Agents(ctx, pool) })
			},
		}
		c.agents[pool.ID] = list
	}
	c.mu.Unlock()
	agents, _, err := list.get(ctx, maxAge, maxAge)
	return agents, err
}
