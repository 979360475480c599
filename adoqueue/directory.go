package adoqueue

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue/safetext"
)

const (
	// poolsMaxAge is the age after which the list of pools is read again, so that
	// a pool that was renamed is not served under its old name forever.
	poolsMaxAge = 5 * time.Minute
	// missMaxAge is the age up to which a pool that is not in the list does not
	// exist. However many names are made up, Azure DevOps is sent one request in
	// that time.
	missMaxAge = 30 * time.Second
	// poolsPace is the least time between two requests for the list if they fail.
	poolsPace = time.Second
)

// directory resolves pools by name and id in one list of an organization's
// pools. It remembers nothing about names that are not in it.
type directory struct {
	list refreshable[*poolIndex]
}

// poolIndex is a list of pools by what they are called.
type poolIndex struct {
	byID   map[int]Pool
	byName map[string][]Pool // by poolKey
}

func newPoolIndex(pools []Pool) *poolIndex {
	index := &poolIndex{byID: make(map[int]Pool, len(pools)), byName: make(map[string][]Pool, len(pools))}
	for _, pool := range pools {
		index.byID[pool.ID] = pool
		if pool.Name != "" {
			key := poolKey(pool.Name)
			index.byName[key] = append(index.byName[key], pool)
		}
	}
	return index
}

// poolKey folds names of one pool that differ only in case: Azure DevOps ignores
// it.
func poolKey(name string) string { return strings.ToLower(safetext.Printable(name)) }

func (i *poolIndex) find(ref PoolRef) (Pool, error) {
	var named []Pool
	if ref.Name != "" {
		named = i.byName[poolKey(ref.Name)]
	} else if pool, ok := i.byID[ref.ID]; ok {
		named = []Pool{pool}
	}
	pool, err := onlyOne(ref, named)
	if err != nil {
		return Pool{}, err
	}
	if err := pool.unfit(ref); err != nil {
		return Pool{}, err
	}
	return pool, nil
}

// resolve returns the pool that ref names. Only the first request and one for a
// pool that is not in the list are waited for.
func (d *directory) resolve(ctx context.Context, ref PoolRef) (Pool, error) {
	if index, ok := d.list.current(poolsMaxAge, poolsPace); ok {
		if pool, err := index.find(ref); !errors.Is(err, ErrPoolNotFound) {
			return pool, err
		}
	}
	// It may have been added since.
	index, stale, err := d.list.get(ctx, missMaxAge, poolsPace)
	switch {
	case err != nil:
		return Pool{}, err
	case stale != nil:
		return Pool{}, stale // whether the pool exists is not known
	}
	return index.find(ref)
}

// recheck reads the list again, unless it was read a short time ago, because a
// pool in it turned out to be gone.
func (d *directory) recheck() { _, _ = d.list.current(missMaxAge, poolsPace) }
