package doctor

import (
	"context"
	"errors"
	"math"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue"
)

// tolerance is how far clocks may be apart. Tokens of Entra stand five minutes.
const tolerance = 2 * time.Minute

// Clock compares this machine's clock with the Date of answers.
type Clock struct {
	transport policy.Transporter

	mu   sync.Mutex
	skew time.Duration
	seen bool
}

// NewClock returns a Clock that sends requests by a transport.
func NewClock(transport policy.Transporter) *Clock { return &Clock{transport: transport} }

// Do sends a request.
func (c *Clock) Do(request *http.Request) (*http.Response, error) {
	response, err := c.transport.Do(request)
	if err != nil {
		return nil, err
	}
	if date, err := http.ParseTime(response.Header.Get("Date")); err == nil {
		c.mu.Lock()
		c.skew, c.seen = time.Since(date), true
		c.mu.Unlock()
	}
	return response, nil
}

// ahead returns how much this machine's clock is ahead, if any answer said.
func (c *Clock) ahead() (time.Duration, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.skew, c.seen
}

// credentials checks whether each organization can be asked.
func (d *doctor) credentials(ctx context.Context) {
	for _, o := range d.Organizations {
		subject := "organization " + o.URL.String()
		pools, err := o.Client.Pools(ctx)
		if err != nil {
			detail, fix := explain(err)
			d.fault(subject, fix, "credential (%s): %s", o.Credential, detail)
		} else {
			d.ok(subject, "the credential (%s) is accepted; visible pools: %d%s", o.Credential, len(pools), expiry(o.Credential))
		}
		d.clock(subject, o)
	}
}

func expiry(kind string) string {
	if kind == "pat" {
		return "; Azure DevOps does not report its expiry: note the date when you create it"
	}
	return ""
}

// explain parts an error of Azure DevOps from its hint.
func explain(err error) (detail, fix string) {
	detail, fix = err.Error(), "see the error"
	if failure, ok := errors.AsType[*adoqueue.Error](err); ok && failure.Hint != "" {
		detail, fix = strings.TrimSuffix(detail, "; "+failure.Hint), failure.Hint
	}
	return detail, fix
}

func (d *doctor) clock(subject string, o Organization) {
	ahead, seen := o.Clock.ahead()
	switch {
	case !seen:
	case ahead.Abs() > tolerance:
		d.fault(subject, "set this machine's clock by NTP: tokens are refused otherwise",
			"this machine's clock differs from Azure DevOps' by %s", ahead.Abs().Round(time.Second))
	default:
		d.ok(subject, "clocks agree within %s", tolerance)
	}
}

// pools checks each pool that ScaledJobs of ours name.
func (d *doctor) pools(ctx context.Context, own []ownTrigger) {
	for _, o := range d.Organizations {
		var refs []adoqueue.PoolRef
		for _, s := range own {
			if s.trigger != nil && s.trigger.Organization.Same(o.URL) && !slices.Contains(refs, s.trigger.Pool) {
				refs = append(refs, s.trigger.Pool)
			}
		}
		var managed []adoqueue.Pool
		var err error
		if d.ManagesAgents && len(refs) > 0 {
			managed, err = o.Client.ManagedPools(ctx)
		}
		for _, ref := range refs {
			if pool, found := d.pool(ctx, o, ref); found && d.ManagesAgents && err == nil {
				d.managed(ctx, o, pool, managed)
			}
		}
	}
}

func (d *doctor) pool(ctx context.Context, o Organization, ref adoqueue.PoolRef) (pool adoqueue.Pool, found bool) {
	subject := ref.String() + " of " + o.URL.String()
	pool, err := o.Client.Pool(ctx, ref)
	var agents []adoqueue.Agent
	if err == nil {
		agents, err = o.Client.Agents(ctx, pool)
	}
	if err != nil {
		detail, fix := explain(err)
		d.fault(subject, fix, "%s", detail)
		return pool, false
	}
	online := 0
	for i := range agents {
		if agents[i].Online {
			online++
		}
	}
	if len(agents) == 0 {
		d.fault(subject, "set PLACEHOLDERS=true (housekeeping.placeholders of the chart), or register an agent that stays offline",
			"no agent is registered, so Azure DevOps fails each job at once")
		return pool, true
	}
	d.ok(subject, "registered agents: %d, online: %d", len(agents), online)
	return pool, true
}

// unusedAgentID is the ID of no agent.
const unusedAgentID = math.MaxInt32

// managed checks both what the identity may do, which Azure DevOps reports, and
// what its token may, which shows only in an attempt: one on no agent.
func (d *doctor) managed(ctx context.Context, o Organization, pool adoqueue.Pool, managed []adoqueue.Pool) {
	allowed := slices.ContainsFunc(managed, func(m adoqueue.Pool) bool { return m.ID == pool.ID })
	if allowed {
		err := o.Client.SetAgentEnabled(ctx, pool, unusedAgentID, true)
		allowed = !errors.Is(err, adoqueue.ErrForbidden) && !errors.Is(err, adoqueue.ErrUnauthorized)
	}
	if allowed {
		d.ok(pool.String(), "the credential may manage its agents")
		return
	}
	d.fault(pool.String(), "give the identity the role Administrator on the pool, and its token the scope Agent Pools (Read & manage)",
		"the credential may not manage its agents, which placeholders and the removal of offline agents require")
}
