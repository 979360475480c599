package housekeeping

import (
	"context"
	"fmt"
	"time"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/engine"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/fleet"
)

// lookTimeout bounds the listing of one pool's agents. Meanwhile no idle agent is ended,
// and no agent that gets a job is protected again.
const lookTimeout = 5 * time.Second

// poolAgents lists the agents of each pool once, and of no more pools of an
// organization once that has taken too long.
type poolAgents struct {
	options *Options
	listed  map[string]map[string]adoqueue.Agent // by pool and name
	late    map[string]bool                      // by organization
}

func newPoolAgents(options *Options) *poolAgents {
	return &poolAgents{options: options, listed: map[string]map[string]adoqueue.Agent{}, late: map[string]bool{}}
}

// of returns the agents of a group's pool by name, and by what Kubernetes has appended
// their suffix to. They are nil if they are not known. Of several groups with the same
// failure, the first gets the error.
func (p *poolAgents) of(ctx context.Context, g *engine.IdleGroup) (map[string]adoqueue.Agent, error) {
	organization := g.Organization.String()
	pool := fmt.Sprint(organization, g.Pool.ID)
	if agents, ok := p.listed[pool]; ok || p.late[organization] {
		return agents, nil
	}
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	list, err := p.options.Organizations[organization].Agents(ctx, g.Pool)
	p.late[organization] = ctx.Err() != nil
	if err != nil {
		p.listed[pool] = nil
		return nil, err
	}
	agents := make(map[string]adoqueue.Agent, len(list))
	for _, agent := range list {
		agents[agent.Name] = agent
		if base := fleet.BaseOfPod(agent.Name); base != "" {
			agents[base] = agent
		}
	}
	p.listed[pool] = agents
	return agents, nil
}
