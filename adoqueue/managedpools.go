package adoqueue

import (
	"context"
	"errors"
	"net/url"
)

// ManagedPools are the pools of self-hosted agents that the credential may
// manage. The oldest servers list all that it may see.
func (c *Client) ManagedPools(ctx context.Context) ([]Pool, error) {
	q := call{
		name: "pools", operation: "list pools",
		query: url.Values{"poolType": {"automation"}, "actionFilter": {"manage"}},
		path:  []string{"_apis", "distributedtask", "pools"},
	}
	body, err := c.do(ctx, q)
	if err != nil {
		return nil, err
	}
	list, err := decodeList[wirePool](body)
	if err != nil {
		return nil, undecodable(q, err)
	}
	var pools []Pool
	for _, wire := range list {
		pool := wire.pool()
		switch {
		case pool.ID == 0:
			return nil, undecodable(q, errors.New("an item of the list is no pool"))
		case !pool.Hosted && !pool.Elastic:
			pools = append(pools, pool)
		}
	}
	return pools, nil
}
