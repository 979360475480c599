package explain

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
	// MaxRequests, MaxDecisions and MaxScaledJobs bound a Report over all pools, 0
	// means the default of each.
	MaxRequests, MaxDecisions, MaxScaledJobs int
}
