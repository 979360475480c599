package adoqueue

import (
	"context"
	"net/url"
	"strconv"
)

// JobRequests lists the unfinished job requests of a pool, oldest first.
//
// It asks for no finished ones (completedRequestCount=0) and without $top,
// which would cut the list at 200 and leave out matchedAgents.
func (c *Client) JobRequests(ctx context.Context, pool Pool) ([]JobRequest, error) {
	q := call{
		name: "jobrequests", operation: "list job requests of " + pool.String(),
		query: url.Values{"completedRequestCount": {"0"}},
		path:  []string{"_apis", "distributedtask", "pools", strconv.Itoa(pool.ID), "jobrequests"},
	}
	body, err := c.do(ctx, q)
	if err != nil {
		return nil, err
	}
	requests, err := decodeJobRequests(body)
	if err != nil {
		return nil, undecodable(q, err)
	}
	return requests, nil
}
