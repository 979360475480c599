package adoqueue

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strconv"
	"strings"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue/safetext"
)

// Pools lists the pools of the organization that the credential may see.
func (c *Client) Pools(ctx context.Context) ([]Pool, error) {
	// A delay of this request does not hold back the lists of jobs, which
	// require its answer.
	return c.listPools(ctx, call{operation: "list pools", prelude: true})
}

// ManagedPools lists the pools of self-hosted agents that the credential may
// manage. The oldest servers list all that it may see.
func (c *Client) ManagedPools(ctx context.Context) ([]Pool, error) {
	all, err := c.listPools(ctx, call{
		operation: "list pools",
		query:     url.Values{"poolType": {"automation"}, "actionFilter": {"manage"}},
	})
	if err != nil {
		return nil, err
	}
	var pools []Pool
	for _, pool := range all {
		if pool.selfHosted() {
			pools = append(pools, pool)
		}
	}
	return pools, nil
}

// Pool returns a pool by name or id. A pool that does not exist and one that the
// credential may not see look alike to Azure DevOps: both are ErrPoolNotFound.
// A Cache resolves any number of pools with one request.
func (c *Client) Pool(ctx context.Context, ref PoolRef) (Pool, error) {
	pool, err := c.findPool(ctx, ref)
	if err != nil {
		return Pool{}, err
	}
	if err := pool.unfit(ref); err != nil {
		return Pool{}, err
	}
	return pool, nil
}

func (p Pool) selfHosted() bool { return !p.Hosted && !p.Elastic }

// unfit returns the error for a pool that has no self-hosted agents.
func (p Pool) unfit(ref PoolRef) error {
	if p.selfHosted() {
		return nil
	}
	return &Error{
		Operation: "find " + ref.String(),
		Message:   "its agents are not self-hosted: it is a pool of Microsoft-hosted agents or of a scale set",
		Hint:      "name a self-hosted pool", kind: ErrPoolNotSelfHosted,
	}
}

func (c *Client) findPool(ctx context.Context, ref PoolRef) (Pool, error) {
	if ref.Name == "" {
		return c.poolByID(ctx, ref)
	}
	listed, err := c.listPools(ctx, call{
		operation: "find " + ref.String(), query: url.Values{"poolName": {ref.Name}}, prelude: true,
	})
	if err != nil {
		return Pool{}, err
	}
	var named []Pool
	for _, pool := range listed {
		if pool.Name == "" || strings.EqualFold(pool.Name, safetext.Printable(ref.Name)) {
			named = append(named, pool)
		}
	}
	pool, err := onlyOne(ref, named)
	if pool.Name == "" && err == nil {
		pool.Name = ref.Name
	}
	return pool, err
}

// onlyOne returns the pool that ref names, of those that have its name.
func onlyOne(ref PoolRef, named []Pool) (Pool, error) {
	switch len(named) {
	case 0:
		return Pool{}, notFound(ref)
	case 1:
		return named[0], nil
	}
	ids := make([]string, len(named))
	for i, pool := range named {
		ids[i] = strconv.Itoa(pool.ID)
	}
	return Pool{}, &Error{
		Operation: "find " + ref.String(),
		Message:   safetext.Line("several pools have this name: ids " + strings.Join(ids, ", ")),
		Hint:      "name one by its id", kind: ErrPoolNotFound,
	}
}

func notFound(ref PoolRef) error {
	return &Error{
		Operation: "find " + ref.String(), Message: "the pool does not exist, or the credential may not see it",
		Hint: hintPool, kind: ErrPoolNotFound,
	}
}

func (c *Client) listPools(ctx context.Context, q call) (pools []Pool, err error) {
	q.name, q.path = "pools", []string{"_apis", "distributedtask", "pools"}
	err = c.do(ctx, q, func(body io.Reader) error {
		pools, err = decodePools(body)
		return err
	})
	return pools, err
}

func decodePools(body io.Reader) ([]Pool, error) {
	var pools []Pool
	err := decodeList(body, func(w *wirePool) error {
		if w.ID == 0 {
			return errors.New("it is not a pool")
		}
		if len(w.Name) > maxName {
			return errors.New("its name is too long")
		}
		pools = append(pools, w.pool())
		return nil
	})
	if err != nil {
		return nil, err
	}
	return pools, nil
}

func (c *Client) poolByID(ctx context.Context, ref PoolRef) (Pool, error) {
	q := call{
		name: "pools", operation: "find " + ref.String(),
		path:    []string{"_apis", "distributedtask", "pools", strconv.Itoa(ref.ID)},
		prelude: true,
	}
	var pool *wirePool
	err := c.do(ctx, q, func(body io.Reader) error {
		err := decodeObject(body, &pool)
		if err == nil && pool != nil && pool.ID != ref.ID {
			err = fmt.Errorf("the answer is about pool %d", pool.ID)
		}
		return err
	})
	if err != nil {
		return Pool{}, err
	}
	if pool == nil {
		return Pool{}, notFound(ref)
	}
	return pool.pool(), nil
}
