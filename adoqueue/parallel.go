package adoqueue

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/url"
)

// ParallelJobs are how many self-hosted jobs the organization may run at once,
// and how many it runs now.
type ParallelJobs struct {
	Limit, Used int
}

// ParallelJobs asks for the organization's parallel self-hosted jobs. The
// resource is undocumented and in preview; an Azure DevOps Server, which has no
// limit, may not know it and answers an error.
func (c *Client) ParallelJobs(ctx context.Context) (ParallelJobs, error) {
	q := call{
		name: "resourceusage", operation: "read the parallel jobs of the organization",
		query:   url.Values{"parallelismTag": {"Private"}, "poolIsHosted": {"false"}},
		path:    []string{"_apis", "distributedtask", "resourceusage"},
		version: "7.2-preview.2",
	}
	body, err := c.try(ctx, q) // another version would not help
	if err != nil {
		return ParallelJobs{}, err
	}
	var wire struct {
		ResourceLimit *struct {
			TotalCount *int `json:"totalCount"`
		} `json:"resourceLimit"`
		UsedCount int `json:"usedCount"`
	}
	if err := json.Unmarshal(bytes.TrimPrefix(body, byteOrderMark), &wire); err != nil {
		return ParallelJobs{}, undecodable(q, err)
	}
	if wire.ResourceLimit == nil || wire.ResourceLimit.TotalCount == nil {
		return ParallelJobs{}, undecodable(q, errors.New("it holds no limit"))
	}
	return ParallelJobs{Limit: *wire.ResourceLimit.TotalCount, Used: wire.UsedCount}, nil
}
