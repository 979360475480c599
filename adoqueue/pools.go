package adoqueue

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
)

// Pool finds a pool by name or id. A pool that does not exist and one that the
// credential may not see look alike to Azure DevOps: both are ErrPoolNotFound.
func (c *Client) Pool(ctx context.Context, ref PoolRef) (Pool, error) {
	pool, err := c.findPool(ctx, ref)
	if err != nil {
		return Pool{}, err
	}
	if pool.Hosted || pool.Elastic {
		return Pool{}, &Error{
			Operation: "find " + ref.String(),
			Message:   "its agents are not self-hosted: it is a pool of Microsoft-hosted agents or of a scale set",
			Hint:      "name a self-hosted pool", kind: ErrPoolUnfit,
		}
	}
	return pool, nil
}

func (c *Client) findPool(ctx context.Context, ref PoolRef) (Pool, error) {
	if ref.Name == "" {
		return c.poolByID(ctx, ref)
	}
	q := call{
		name: "pools", operation: "find " + ref.String(),
		query: url.Values{"poolName": {ref.Name}}, path: []string{"_apis", "distributedtask", "pools"},
		prelude: true,
	}
	body, err := c.do(ctx, q)
	if err != nil {
		return Pool{}, err
	}
	list, err := decodeList[wirePool](body)
	if err != nil {
		return Pool{}, undecodable(q, err)
	}
	var ids []string
	var found Pool
	for _, pool := range list {
		if pool.ID == 0 {
			return Pool{}, undecodable(q, errors.New("an item of the list is no pool"))
		}
		if pool.Name == "" || strings.EqualFold(pool.Name, ref.Name) {
			found = pool.pool()
			ids = append(ids, strconv.Itoa(pool.ID))
		}
	}
	switch len(ids) {
	case 0:
		return Pool{}, notFound(q)
	case 1:
		if found.Name == "" {
			found.Name = ref.Name
		}
		return found, nil
	default:
		return Pool{}, &Error{
			Operation: q.operation,
			Message:   "several pools have this name: ids " + strings.Join(ids, ", "),
			Hint:      "name one by its id", kind: ErrPoolNotFound,
		}
	}
}

func (c *Client) poolByID(ctx context.Context, ref PoolRef) (Pool, error) {
	q := call{
		name: "pools", operation: "find " + ref.String(),
		path:    []string{"_apis", "distributedtask", "pools", strconv.Itoa(ref.ID)},
		prelude: true,
	}
	body, err := c.do(ctx, q)
	if err != nil {
		return Pool{}, err
	}
	var pool *wirePool
	if err := json.Unmarshal(bytes.TrimPrefix(body, byteOrderMark), &pool); err != nil {
		return Pool{}, undecodable(q, err)
	}
	if pool == nil {
		return Pool{}, notFound(q)
	}
	if pool.ID != ref.ID {
		return Pool{}, undecodable(q, fmt.Errorf("the answer is about pool %d", pool.ID))
	}
	return pool.pool(), nil
}

func notFound(q call) error {
	return &Error{
		Operation: q.operation, Message: "the pool does not exist, or the credential may not see it",
		Hint: hintPool, kind: ErrPoolNotFound,
	}
}

func undecodable(q call, err error) error {
	// encoding/json quotes the value that it could not take.
	if mismatch, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		err = fmt.Errorf("field %q is a %s", mismatch.Field, strings.SplitN(mismatch.Value, " ", 2)[0])
	}
	return &Error{
		Operation: q.operation, Message: "the answer cannot be read", cause: err,
		Hint: "check the organization URL and what stands between here and Azure DevOps", kind: ErrUnavailable,
	}
}
