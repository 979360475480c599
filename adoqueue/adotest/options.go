package adotest

import (
	"cmp"
	"time"
)

// Flavour is the edition of Azure DevOps that a [Server] imitates. It decides
// which api-versions are accepted and whether cloud-only resources exist.
type Flavour int

// The flavours, newest first. The ceilings of the on-premises editions follow
// the folders of Microsoft's swagger.
const (
	Services          Flavour = iota // dev.azure.com: released 7.1, preview 7.2
	Server2022Update1                // up to 7.1
	Server2022                       // up to 7.0
	Server2020                       // up to 6.0
	Server2019                       // up to 5.0
)

// SignIn is the shape of an authentication failure of a GET request that does
// not carry the header X-TFS-FedAuthRedirect: Suppress.
type SignIn int

// Both shapes are seen with Azure DevOps Services.
const (
	SignInPage     SignIn = iota // 203 with an HTML sign-in page
	SignInRedirect               // 302 to /_signin, which answers 200 with HTML
)

// Options describe a stand-in. The zero value is useful.
type Options struct {
	Organization string // path prefix, default "contoso"
	Collection   string // second path prefix below /tfs/, default "DefaultCollection"
	PAT          string // the token that is valid from the start with ScopeManage, default "adotest-pat"

	Flavour Flavour
	SignIn  SignIn

	ShuffleUnfinished bool // answer unfinished requests in random order, since no order is documented
	AllowUnmatched    bool // queue jobs that no registered agent could run, where Azure DevOps fails them
	AutoAssign        bool // assign queued requests to online, enabled, idle, matching agents
	ParallelJobs      int  // self-hosted parallel jobs of the organization, 0: unlimited

	// ReceiveDelay is the time from assigning a request to an agent without a
	// session until it counts as received. 0: only Receive does that.
	ReceiveDelay time.Duration
	// LockDuration is how long a request stays with an agent that no longer
	// renews its lock, default 10 minutes as documented for the agent.
	LockDuration time.Duration
	// SessionTimeout is how long an agent stays online that neither polls for
	// messages nor renews a lock, default 5 seconds (shorter than the real one).
	SessionTimeout time.Duration
	// PollTimeout is how long a poll for messages waits, default 10 seconds.
	PollTimeout time.Duration
}

func (o Options) withDefaults() Options {
	o.Organization = cmp.Or(o.Organization, "contoso")
	o.Collection = cmp.Or(o.Collection, "DefaultCollection")
	o.PAT = cmp.Or(o.PAT, "adotest-pat")
	o.LockDuration = cmp.Or(o.LockDuration, 10*time.Minute)
	o.SessionTimeout = cmp.Or(o.SessionTimeout, 5*time.Second)
	o.PollTimeout = cmp.Or(o.PollTimeout, 10*time.Second)
	return o
}
