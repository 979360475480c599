package adotest

import (
	"encoding/json"
	"fmt"
)

// wireAgent is an agent in the order of recorded traffic.
type wireAgent struct {
	Links                wireAgentLinks     `json:"_links"`
	MaxParallelism       int                `json:"maxParallelism,omitzero"`
	CreatedOn            wireTime           `json:"createdOn,omitzero"`
	StatusChangedOn      wireTime           `json:"statusChangedOn,omitzero"`
	Authorization        *wireAuthorization `json:"authorization,omitzero"`
	ID                   int                `json:"id"`
	Name                 string             `json:"name"`
	Version              string             `json:"version"`
	OSDescription        string             `json:"osDescription,omitzero"`
	Enabled              bool               `json:"enabled"`
	Status               string             `json:"status"`
	ProvisioningState    string             `json:"provisioningState"`
	AccessPoint          string             `json:"accessPoint,omitzero"`
	SystemCapabilities   map[string]string  `json:"systemCapabilities,omitempty"`
	UserCapabilities     map[string]string  `json:"userCapabilities,omitempty"`
	AssignedRequest      *wireRequest       `json:"assignedRequest,omitzero"`
	LastCompletedRequest *wireRequest       `json:"lastCompletedRequest,omitzero"`
}

type wireAgentLinks struct {
	Self wireLink `json:"self"`
	Web  wireLink `json:"web"`
}

type wireAuthorization struct {
	ClientID  string          `json:"clientId"`
	PublicKey json.RawMessage `json:"publicKey,omitempty"`
}

// agentDetail is how much of an agent an answer has.
type agentDetail int

const (
	asMatched  agentDetail = iota // in matchedAgents
	asReserved                    // in reservedAgent
	asListed                      // as an agent in its own right
)

func renderAgent(a *agent, c *call, detail agentDetail) wireAgent {
	w := wireAgent{
		Links: wireAgentLinks{
			Self: wireLink{fmt.Sprintf("%s/_apis/distributedtask/pools/%d/agents/%d", c.base, a.pool.ID, a.id)},
			Web:  wireLink{fmt.Sprintf("%s/_settings/agentpools?view=jobs&poolId=%d&agentId=%d", c.base, a.pool.ID, a.id)},
		},
		ID:                a.id,
		Name:              a.name,
		Version:           a.version,
		Enabled:           a.enabled,
		Status:            a.status(),
		ProvisioningState: a.provisioning,
	}
	if detail == asMatched {
		return w
	}
	w.OSDescription, w.AccessPoint = a.os, "CodexAccessMapping"
	if detail == asListed {
		w.MaxParallelism = 1
		w.CreatedOn, w.StatusChangedOn = c.shown(a.created), c.shown(a.statusChanged)
		w.Authorization = &wireAuthorization{ClientID: guid("agent", int64(a.id)), PublicKey: a.publicKey}
	}
	return w
}
