package explain

import (
	"context"
	"slices"
	"strings"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/plan"
)

// nameAgents lists the agents of a pool.
func (b *builder) nameAgents(ctx context.Context, p *poolBuilder) {
	at := slices.IndexFunc(b.options.Organizations, func(o ServedOrganization) bool { return o.URL == p.organization })
	if at < 0 || b.options.Organizations[at].Reader == nil || p.pool.ID == 0 || p.history.last == nil || len(b.report.Pools) >= maxListed {
		return
	}
	reader, maxAge := b.options.Organizations[at].Reader, idleAgentsMaxAge
	if p.awaitsAgent() {
		maxAge = agentsMaxAge
	}
	agents, err := reader.Agents(ctx, p.pool, maxAge)
	if err == nil && maxAge > agentsMaxAge && p.lacksAgent(agents) {
		agents, err = reader.Agents(ctx, p.pool, agentsMaxAge) // it may have come since
	}
	if err != nil {
		return // what is explained by them is not, then
	}
	p.view.agents = make(map[string]*adoqueue.Agent, len(agents))
	for i := range agents {
		p.view.agents[strings.ToLower(agents[i].Name)] = &agents[i]
	}
}

// awaitsAgent reports whether a pod runs whose agent has not been seen yet.
func (p *poolBuilder) awaitsAgent() bool {
	return slices.ContainsFunc(p.history.unfinished, func(r record) bool {
		return r.job.started != 0 && r.registered == 0 && p.history.last.Plan.Requests[r.index].Outcome == plan.ByWaitingJob
	})
}

// lacksAgent reports whether a pool has no agents, or not all of the placeholders.
func (p *poolBuilder) lacksAgent(agents []adoqueue.Agent) bool {
	return len(agents) == 0 || slices.ContainsFunc(p.history.last.Groups, func(g plan.Group) bool {
		return g.Placeholder != "" && !slices.ContainsFunc(agents, func(a adoqueue.Agent) bool { return strings.EqualFold(a.Name, g.Placeholder) })
	})
}
