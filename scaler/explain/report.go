package explain

import "time"

// SchemaVersion is the version of the Report's shape. It grows when a field changes
// its meaning or goes away; new fields alone leave it as it is.
const SchemaVersion = 1

// Report is all that is known at one moment. Its JSON is documented in
// docs/status-json.md. Texts of Azure DevOps and Kubernetes in it are single
// printable lines; they are not safe to use as HTML without escaping.
type Report struct {
	SchemaVersion int       `json:"schemaVersion"`
	MadeAt        time.Time `json:"madeAt"`
	// Since is when the scaler started: nothing from before is remembered.
	Since         time.Time      `json:"since"`
	Organizations []Organization `json:"organizations"`
	Pools         []Pool         `json:"pools"`
	// Unpooled are ScaledJobs whose pool is unknown: their triggers have mistakes, or
	// name a pool that was never read.
	Unpooled []ScaledJob `json:"unpooled,omitempty"`
	// KubernetesInView reports whether the scaler watches ScaledJobs and Jobs. If not, it
	// counts requests alone, and nothing is known of them here.
	KubernetesInView bool `json:"kubernetesInView"`
	// PodsInView reports whether the steps between Job and agent are known.
	PodsInView bool `json:"podsInView"`
	// Summary counts the requests that the Report is about, those included that a
	// bound has left out.
	Summary Summary `json:"summary"`
}

// Organization is the use of one organization by this process.
type Organization struct {
	URL string `json:"url"`
	// Credential is its kind, such as "pat"; CredentialExpires is when it does, zero
	// if that is unknown.
	Credential        string    `json:"credential,omitempty"`
	CredentialExpires time.Time `json:"credentialExpires,omitzero"`
	// Requests is how many were sent since the start, retries included; Delayed is
	// how long Azure DevOps has delayed them together.
	Requests       int64   `json:"requests"`
	DelayedSeconds float64 `json:"delayedSeconds"`
	// ThrottledUntil is until when nothing is sent because Azure DevOps asks for
	// that, zero if it does not.
	ThrottledUntil time.Time `json:"throttledUntil,omitzero"`
	// Error is why its list of pools could not be read last, "" if it could, and
	// FailingSince when that began.
	Error        string    `json:"error,omitempty"`
	FailingSince time.Time `json:"failingSince,omitzero"`
}

// Pool is one agent pool.
type Pool struct {
	Organization string      `json:"organization"`
	ID           int         `json:"id"`
	Name         string      `json:"name"`
	AzureDevOps  AzureDevOps `json:"azureDevOps"`
	// Stages are the steps of the way with the unfinished requests at each, in order.
	Stages []Stage `json:"stages"`
	// Broken is what concerns the pool as a whole, such as Azure DevOps not being
	// readable.
	Broken *Broken `json:"broken,omitempty"`
	// Inexact is why metrics of the pool are not exact, nil if all are; Counted are those
	// who got them.
	Inexact    *Inexact    `json:"inexact,omitempty"`
	Counted    []Caller    `json:"counted,omitempty"`
	ScaledJobs []ScaledJob `json:"scaledJobs"`
	// Requests are broken ones first, then unfinished ones, then finished ones; within
	// each the oldest first.
	Requests []Request `json:"requests"`
	// Decisions are the newest first.
	Decisions []Decision `json:"decisions"`
	// Omitted counts what a bound has left out.
	Omitted Omitted `json:"omitted,omitzero"`
}

// Omitted counts what a bound has left out of a Pool.
type Omitted struct {
	ScaledJobs int `json:"scaledJobs,omitempty"`
	Requests   int `json:"requests,omitempty"`
	Decisions  int `json:"decisions,omitempty"`
}

// AzureDevOps is how well a pool's requests can be read.
type AzureDevOps struct {
	// LastRead is when the request was sent for the newest list, zero if there has
	// been none.
	LastRead time.Time `json:"lastRead,omitzero"`
	// Error is why the last attempt failed, "" if it succeeded; FailingSince is when
	// the first of these failures was.
	Error        string    `json:"error,omitempty"`
	FailingSince time.Time `json:"failingSince,omitzero"`
}

// Inexact is why metrics of a pool count requests alone, and what to do.
type Inexact struct {
	Sentence string `json:"sentence"`
	Fix      string `json:"fix"`
}

// Caller is a ScaledJob or ScaledObject whose metric was counted from a pool's requests
// alone.
type Caller struct {
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	// Count is how the metric was made, and Asked the count that the trigger asks for if
	// that is another.
	Count string `json:"count"`
	Asked string `json:"asked,omitempty"`
	// Value is the metric, and PolledAt when it was asked for last.
	Value    int64     `json:"value"`
	PolledAt time.Time `json:"polledAt"`
}

// Stage is one step with the unfinished requests that have reached it and no later
// one.
type Stage struct {
	Step     Step `json:"step"`
	Requests int  `json:"requests"`
	// Broken counts those of them that go no further, and First is the oldest one's
	// reason.
	Broken int     `json:"broken,omitempty"`
	First  *Broken `json:"first,omitempty"`
}

// ScaledJob is one that serves a pool, with what it has and lacks.
type ScaledJob struct {
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	// Capabilities are what its agents offer, "" if the trigger does not say.
	Capabilities string `json:"capabilities,omitempty"`
	Priority     int    `json:"priority,omitempty"`
	// Count is how the metric is made, such as "exact".
	Count       string `json:"count,omitempty"`
	MinReplicas int    `json:"minReplicas"`
	MaxReplicas int    `json:"maxReplicas"`
	// MinIdle is how many Jobs it keeps waiting now, by minIdle or its schedule.
	MinIdle         int `json:"minIdle,omitempty"`
	PollingInterval int `json:"pollingIntervalSeconds"`

	// Unfinished Jobs are Waiting for a request, Busy with one, or Draining: they
	// have had theirs and are about to end.
	Unfinished int `json:"unfinished"`
	Waiting    int `json:"waiting"`
	Busy       int `json:"busy"`
	Draining   int `json:"draining"`
	// Queued is how many queued requests it is to serve, Missing how many Jobs it
	// lacks for them.
	Queued  int `json:"queued"`
	Missing int `json:"missing"`

	// Reported is the metric that KEDA got last, nil if it has had none.
	Reported *Reported `json:"reported,omitempty"`
	// PolledAt is when KEDA polled last, zero if it has not yet; Error is what it got
	// if not a metric.
	PolledAt time.Time `json:"polledAt,omitzero"`
	Error    string    `json:"error,omitempty"`
	// State is one of the States.
	State State `json:"state"`
	// Broken is why it gets no new Jobs, or why those that it has do not become
	// agents.
	Broken *Broken `json:"broken,omitempty"`
	// Warnings are what works badly in its manifest.
	Warnings []string `json:"warnings,omitempty"`
}

// Reported is a metric that KEDA got.
type Reported struct {
	Value int64     `json:"value"`
	At    time.Time `json:"at"`
}

// State is whether a ScaledJob gets new Jobs.
type State string

// The states of a ScaledJob.
const (
	Scaling   State = "scaling"
	Paused    State = "paused"
	Deleting  State = "deleting"
	NotPolled State = "not polled"
	HeldBack  State = "held back"
	Invalid   State = "invalid"
)

// Request is one pipeline job's request for an agent.
type Request struct {
	ID int64 `json:"id"`
	// Pipeline is the name of the definition, Run the number of the run, RunID its id
	// and URL its page, "" if that is unknown.
	Pipeline string `json:"pipeline,omitempty"`
	Run      string `json:"run,omitempty"`
	RunID    int64  `json:"runID,omitempty"`
	URL      string `json:"url,omitempty"`
	Priority int    `json:"priority,omitempty"`
	// Demands are those of the job, with values masked that look like secrets.
	Demands []string `json:"demands,omitempty"`
	// Progress sums up the rest.
	Progress Progress `json:"progress"`
	// Outcome is who serves it, by the last decision: "unserved", "waiting Job", "new
	// Job", "busy Job", "other agent" or "other shard"; "not known" without a decision.
	Outcome string `json:"outcome"`
	// ScaledJob is namespace/name of the one that it is counted for, and Job and Agent
	// are those that serve it, or are expected to.
	ScaledJob string `json:"scaledJob,omitempty"`
	Job       string `json:"job,omitempty"`
	Agent     string `json:"agent,omitempty"`
	// Reason is why nobody serves it, by the last decision.
	Reason string `json:"reason,omitempty"`
	// Chain has all steps in order.
	Chain []Link `json:"chain"`
	// Broken is the first broken link, nil if none is.
	Broken *Broken `json:"broken,omitempty"`
}

// Progress sums up how far a request has come.
type Progress string

// The kinds of progress. Only Stopped ones need somebody to do something.
const (
	Stopped  Progress = "stopped"  // a link is broken
	Coming   Progress = "coming"   // an agent is on its way
	Served   Progress = "served"   // an agent has it
	Finished Progress = "finished" // it has left the pool's list
)

// Link is one step on a request's way.
type Link struct {
	Step Step `json:"step"`
	// At is when it was reached, zero if it was not, or if that was not seen.
	At     time.Time  `json:"at,omitzero"`
	Status LinkStatus `json:"status"`
}

// LinkStatus is whether a step was reached.
type LinkStatus string

// The statuses of a link.
const (
	Done    LinkStatus = "done"
	Next    LinkStatus = "next"    // the step that is awaited
	Pending LinkStatus = "pending" // comes after that
	Failed  LinkStatus = "broken"
	Skipped LinkStatus = "skipped" // not on this request's way, or out of view
)

// Step is one on the way of a request.
type Step string

// Steps in order.
const (
	StepQueued     Step = "queued"
	StepCounted    Step = "counted"
	StepReported   Step = "reported"
	StepJob        Step = "job created"
	StepScheduled  Step = "pod scheduled"
	StepStarted    Step = "pod started"
	StepRegistered Step = "agent registered"
	StepAssigned   Step = "assigned"
	StepRunning    Step = "running"
	StepFinished   Step = "finished"
)

// Steps returns all steps in order.
func Steps() []Step {
	return []Step{
		StepQueued, StepCounted, StepReported, StepJob, StepScheduled, StepStarted, StepRegistered, StepAssigned, StepRunning,
		StepFinished,
	}
}

// Broken is a link that does not hold.
type Broken struct {
	// Step is the one that is not reached.
	Step Step `json:"step"`
	Code Code `json:"code"`
	// Sentence says what is wrong, Fix what to do.
	Sentence string `json:"sentence"`
	Fix      string `json:"fix"`
	// Since is when it began, as far as that is known.
	Since time.Time `json:"since,omitzero"`
}

// Code names a kind of broken link. It is stable, and has few values.
type Code string

// The codes.
const (
	CodeUnreadable    Code = "azure-devops-unreadable"
	CodeThrottled     Code = "throttled"
	CodeKubernetes    Code = "kubernetes-unreadable"
	CodeNoScaledJob   Code = "no-scaled-job"
	CodePlaceholder   Code = "placeholder-missing"
	CodeMaxReplicas   Code = "max-replicas"
	CodeParallelJobs  Code = "parallel-jobs"
	CodeBackOff       Code = "back-off"
	CodePaused        Code = "paused"
	CodeDeleting      Code = "deleting"
	CodeInvalid       Code = "scaled-job-invalid"
	CodeNotPolled     Code = "not-polled"
	CodeNotCreated    Code = "job-not-created"
	CodeRefused       Code = "job-refused"
	CodePodRefused    Code = "pod-refused"
	CodeUnschedulable Code = "unschedulable"
	CodeImagePull     Code = "image-pull"
	CodeNotStarted    Code = "pod-not-started"
	CodeContainer     Code = "container-failed"
	CodeNotRegistered Code = "agent-not-registered"
	CodeOtherName     Code = "agent-name-unknown"
	CodeTaken         Code = "agent-taken"
	CodeIdle          Code = "agent-without-job"
)

// Decision is one decision about a pool with what it was made from. Decisions that
// repeat the one before are counted, not kept.
type Decision struct {
	At time.Time `json:"at"`
	// Repeated is how often it was made again without a difference, and Last when
	// that was last.
	Repeated int       `json:"repeated,omitempty"`
	Last     time.Time `json:"last,omitzero"`
	// SnapshotAt is when the list of requests was requested; Stale is set if a newer
	// one could not be read.
	SnapshotAt time.Time `json:"snapshotAt"`
	Stale      bool      `json:"stale,omitempty"`
	// Queued, Assigned and Running are the requests in that list.
	Queued   int `json:"queued"`
	Assigned int `json:"assigned"`
	Running  int `json:"running"`
	// Unserved is how many of the queued ones nobody serves.
	Unserved int `json:"unserved"`
	// ParallelJobs is how many more jobs the organization could start, nil if that is
	// no bound.
	ParallelJobs *int `json:"parallelJobs,omitempty"`
	// ScaledJobs are those for which it differs from the decision before, and Others
	// how many of them are left out.
	ScaledJobs []DecisionPart `json:"scaledJobs,omitempty"`
	Others     int            `json:"others,omitempty"`
}

// DecisionPart is what a decision says of one ScaledJob.
type DecisionPart struct {
	ScaledJob string `json:"scaledJob"`
	Metric    int64  `json:"metric"`
	Missing   int    `json:"missing"`
	Queued    int    `json:"queued"`
	Waiting   int    `json:"waiting"`
	Busy      int    `json:"busy"`
	Draining  int    `json:"draining"`
	// Ended are Jobs that ended since the list was requested and may have taken a
	// request of it.
	Ended int `json:"ended"`
	// Blocked is why it gets no new Jobs, such as "is paused".
	Blocked string `json:"blocked,omitempty"`
}

// Summary counts requests by progress.
type Summary struct {
	Stopped  int `json:"stopped"`
	Coming   int `json:"coming"`
	Served   int `json:"served"`
	Finished int `json:"finished"`
}

// OK reports whether all requests are served or being served, all pools readable,
// and all metadata valid.
func (r *Report) OK() bool {
	known := map[string]bool{}
	for i := range r.Pools {
		known[r.Pools[i].Organization] = true
	}
	for i := range r.Organizations {
		if o := &r.Organizations[i]; o.Error != "" && !known[o.URL] {
			return false
		}
	}
	for i := range r.Unpooled {
		if r.Unpooled[i].State == Invalid { // nobody knows which jobs it would serve
			return false
		}
	}
	for i := range r.Pools {
		if r.Pools[i].Broken != nil {
			return false
		}
	}
	return r.Summary.Stopped == 0
}
