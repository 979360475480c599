package explain

import (
	"cmp"
	"strconv"
	"strings"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/plan"
)

// Filter says what a Report is to be about. The zero value is about everything.
type Filter struct {
	// Pool is a pool's name or id.
	Pool string
	// Run is the number or the id of a pipeline run.
	Run string
	// Request is the id of a job request.
	Request int64
	// ScaledJob is a ScaledJob's name, or namespace/name.
	ScaledJob string
	// MaxRequests, MaxDecisions and MaxScaledJobs bound a Report over all pools; 0
	// means 1,000 of each.
	MaxRequests, MaxDecisions, MaxScaledJobs int
}

// defaultBound is the default of each bound of a Filter.
const defaultBound = 1000

func (f Filter) withDefaults() Filter {
	for _, bound := range []*int{&f.MaxRequests, &f.MaxDecisions, &f.MaxScaledJobs} {
		*bound = cmp.Or(*bound, defaultBound)
	}
	return f
}

// particular reports whether only requests that are named are of interest.
func (f *Filter) particular() bool { return f.Run != "" || f.Request != 0 }

func (f *Filter) hasPool(id int, name string) bool {
	return f.Pool == "" || strings.EqualFold(f.Pool, name) || id != 0 && f.Pool == strconv.Itoa(id)
}

func (f *Filter) hasScaledJob(key plan.Key) bool {
	return f.ScaledJob == "" || f.ScaledJob == key.Name || f.ScaledJob == key.String()
}

// hasRequest reports whether a request is of interest that is counted for this
// ScaledJob, or would be first.
func (f *Filter) hasRequest(r *adoqueue.JobRequest, key plan.Key) bool {
	return (f.Request == 0 || f.Request == r.ID) &&
		(f.Run == "" || f.Run == r.Run || r.RunID != 0 && f.Run == strconv.FormatInt(r.RunID, 10)) &&
		(f.ScaledJob == "" || key.Name != "" && f.hasScaledJob(key))
}
