package adotest

import (
	"cmp"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Pool describes an agent pool.
type Pool struct {
	ID         int    `json:"id,omitzero"` // 0 or taken: the next free one
	Name       string `json:"name"`        // several pools may share one, unlike in Azure DevOps
	Hosted     bool   `json:"hosted,omitzero"`
	Deployment bool   `json:"deployment,omitzero"` // of a deployment group
	// Options is Microsoft's flags text, such as "elasticPool, singleUseAgents";
	// default "none".
	Options string `json:"options,omitzero"`
	// Invisible pools exist for nobody who asks, as those do that an identity
	// may not see.
	Invisible bool `json:"invisible,omitzero"`
}

// pool is a Pool with what happens in it.
type pool struct {
	Pool
	created  time.Time
	agents   []*agent // in order of id
	names    map[string]*agent
	requests []*request // in order of id
	verbatim *answer    // what the list of requests answers, see SetJobRequestsBody
	// generation counts changes to who is registered with which capabilities,
	// so that matches need not be computed for every answer.
	generation int
	matched    map[string][]*agent // by demands, of the generation matchedAt
	matchedAt  int
}

// matching returns the registered agents that meet the demands of a job.
func (p *pool) matching(demands []string) []*agent {
	if p.matchedAt != p.generation {
		p.matchedAt, p.matched = p.generation, map[string][]*agent{}
	}
	key := strings.Join(demands, "\n")
	matched, known := p.matched[key]
	if !known {
		parsed := parseDemands(demands)
		for _, a := range p.agents {
			if meets(a.capabilities(), parsed) {
				matched = append(matched, a)
			}
		}
		p.matched[key] = matched
	}
	return matched
}

// AddPool adds a pool and returns its id.
func (s *Server) AddPool(p Pool) (id int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if p.ID <= 0 || s.poolByID(p.ID) != nil {
		p.ID = 1
		for _, other := range s.pools {
			p.ID = max(p.ID, other.ID+1)
		}
	}
	p.Options = cmp.Or(p.Options, "none")
	s.pools = append(s.pools, &pool{Pool: p, created: time.Now(), names: make(map[string]*agent), generation: 1})
	return p.ID
}

// SetJobRequestsBody makes the list of a pool's requests answer 200 with body,
// verbatim, whatever is requested; a nil body ends that. It panics if there is
// no such pool, which is a mistake in the test.
func (s *Server) SetJobRequestsBody(pool string, body []byte, contentType string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.poolByName(pool)
	if p == nil {
		panic("adotest: no pool " + strconv.Quote(pool))
	}
	p.verbatim = nil
	if body != nil {
		p.verbatim = &answer{raw: slices.Clone(body), contentType: contentType}
	}
}

func (s *Server) poolByID(id int) *pool {
	i := slices.IndexFunc(s.pools, func(p *pool) bool { return p.ID == id })
	if i < 0 {
		return nil
	}
	return s.pools[i]
}

func (s *Server) poolByName(name string) *pool {
	i := slices.IndexFunc(s.pools, func(p *pool) bool { return strings.EqualFold(p.Name, name) })
	if i < 0 {
		return nil
	}
	return s.pools[i]
}

// findPool is poolByName for callers that report errors.
func (s *Server) findPool(name string) (*pool, error) {
	if p := s.poolByName(name); p != nil {
		return p, nil
	}
	return nil, refuse(http.StatusNotFound, "TaskAgentPoolNotFoundException", "No agent pool found with name %s.", name)
}

// visiblePool is the pool of a call's path, or the refusal that a client gets.
func (s *Server) visiblePool(c *call) (*pool, *Error) {
	p := s.poolByID(c.id("pool"))
	if p == nil || p.Invisible {
		return nil, refuse(http.StatusNotFound, "TaskAgentPoolNotFoundException",
			"No agent pool found with identifier %s.", c.PathValue("pool"))
	}
	return p, nil
}

// wirePool has Microsoft's names in the order of recorded traffic.
type wirePool struct {
	CreatedOn     wireTime     `json:"createdOn"`
	AutoProvision bool         `json:"autoProvision"`
	AutoUpdate    bool         `json:"autoUpdate"`
	AutoSize      *bool        `json:"autoSize"` // null when requested by id
	TargetSize    *int         `json:"targetSize"`
	AgentCloudID  *int         `json:"agentCloudId"`
	CreatedBy     wireIdentity `json:"createdBy"`
	Owner         wireIdentity `json:"owner"`
	ID            int          `json:"id"`
	Scope         string       `json:"scope"`
	Name          string       `json:"name"`
	IsHosted      bool         `json:"isHosted"`
	PoolType      string       `json:"poolType"`
	Size          int          `json:"size"`
	IsLegacy      bool         `json:"isLegacy"`
	Options       string       `json:"options"`
}

func (s *Server) renderPool(p *pool, c *call) wirePool {
	who := identity(c)
	w := wirePool{
		CreatedOn: wireTime(p.created),
		CreatedBy: who,
		Owner:     who,
		AutoSize:  new(true),
		ID:        p.ID,
		Scope:     guid("organization", 1),
		Name:      p.Name,
		IsHosted:  p.Hosted,
		PoolType:  p.kind(),
		Size:      len(p.agents),
		Options:   p.Options,
	}
	w.AutoUpdate = true
	if p.Hosted {
		w.TargetSize, w.AgentCloudID = new(1), new(1)
	}
	return w
}

func (p *pool) kind() string {
	if p.Deployment {
		return "deployment"
	}
	return "automation"
}

// listPools knows the filters of Microsoft's swagger and, like the original,
// ignores every other parameter.
func (s *Server) listPools(c *call) *answer {
	name, kind, ids := c.param("poolName"), c.param("poolType"), c.param("poolIds")
	s.mu.Lock()
	defer s.mu.Unlock()
	var found []wirePool
	for _, p := range s.pools {
		switch {
		case p.Invisible,
			name != "" && !strings.EqualFold(name, p.Name),
			kind != "" && !strings.EqualFold(kind, p.kind()),
			ids != "" && !listed(ids, p.ID):
			continue
		}
		found = append(found, s.renderPool(p, c))
	}
	return list(found)
}

func (s *Server) getPool(c *call) *answer {
	s.mu.Lock()
	defer s.mu.Unlock()
	p, err := s.visiblePool(c)
	if err != nil {
		return err.answer()
	}
	w := s.renderPool(p, c)
	w.AutoSize = nil
	return ok(w)
}

// listed reports whether a comma list has the number.
func listed(csv string, id int) bool {
	for field := range strings.SplitSeq(csv, ",") {
		if strings.TrimSpace(field) == strconv.Itoa(id) {
			return true
		}
	}
	return false
}
