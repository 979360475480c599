package adoqueue

import (
	"context"
	"errors"
	"io"
	"net/url"
)

// ParallelJobs are how many self-hosted jobs the organization may run at once,
// and how many it runs now.
type ParallelJobs struct {
	Limit, Used int
}

// ParallelJobs reads the organization's parallel self-hosted jobs. The
// resource is undocumented and in preview; an Azure DevOps Server, which has no
// limit, may not know it and answers an error.
func (c *Client) ParallelJobs(ctx context.Context) (ParallelJobs, error) {
	q := call{
		name: "resourceusage", operation: "read the parallel jobs of the organization",
		query:   url.Values{"parallelismTag": {"Private"}, "poolIsHosted": {"false"}},
		path:    []string{"_apis", "distributedtask", "resourceusage"},
		version: "7.2-preview.2",
	}
	var jobs ParallelJobs
	err := c.try(ctx, q, func(body io.Reader) (err error) { // another version would not help
		jobs, err = decodeParallelJobs(body)
		return err
	})
	return jobs, err
}

func decodeParallelJobs(body io.Reader) (ParallelJobs, error) {
	var wire struct {
		ResourceLimit *struct {
			TotalCount *int `json:"totalCount"`
		} `json:"resourceLimit"`
		UsedCount int `json:"usedCount"`
	}
	if err := decodeObject(body, &wire); err != nil {
		return ParallelJobs{}, err
	}
	if wire.ResourceLimit == nil || wire.ResourceLimit.TotalCount == nil {
		return ParallelJobs{}, errors.New("it holds no limit")
	}
	return ParallelJobs{Limit: *wire.ResourceLimit.TotalCount, Used: wire.UsedCount}, nil
}
