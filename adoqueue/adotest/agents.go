package adotest

import (
	"cmp"
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"
)

// Agent describes an agent that the stand-in itself plays: online unless it
// says otherwise, and renewing the lock of its request while it is online.
type Agent struct {
	Name     string `json:"name"`
	Version  string `json:"version,omitzero"` // default "4.255.0"
	Offline  bool   `json:"offline,omitzero"`
	Disabled bool   `json:"disabled,omitzero"`
	// Once makes it take a single request, as an agent that runs with --once does.
	Once bool `json:"once,omitzero"`
	// Capabilities add to those that every agent has: Agent.Name, Agent.Version,
	// Agent.OS and so on, which can be overridden.
	Capabilities map[string]string `json:"capabilities,omitempty"`
	// System are capabilities that the agent found out itself, besides or instead
	// of those that every agent has.
	System map[string]string `json:"system,omitempty"`
}

// AgentState is what the stand-in knows about a registered agent, whoever
// registered it.
type AgentState struct {
	Agent
	ID      int   `json:"id"`
	Request int64 `json:"request,omitzero"` // the unfinished request that it holds
	Session bool  `json:"session,omitzero"` // a process polls for messages
}

// agent is a registered agent.
type agent struct {
	pool          *pool
	id            int
	name, version string
	os            string
	provisioning  string
	enabled       bool
	online        bool
	once, served  bool // takes a single request; has been assigned one
	created       time.Time
	statusChanged time.Time
	system, user  map[string]string
	known         map[string]string // both, by name in lower case; nil after a change
	publicKey     json.RawMessage   // of a registration that wants a separate token
	token         string
	session       *session
	holding       *request // unfinished, at most one
	last          *request // latest finished
}

const defaultAgentVersion = "4.255.0"

// AddAgent registers an agent in a pool.
func (s *Server) AddAgent(pool string, a Agent) (id int, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p, err := s.findPool(pool)
	if err != nil {
		return 0, err
	}
	version := cmp.Or(a.Version, defaultAgentVersion)
	system := map[string]string{
		"Agent.Name":           a.Name,
		"Agent.Version":        version,
		"Agent.ComputerName":   a.Name,
		"Agent.OS":             "Linux",
		"Agent.OSArchitecture": "X64",
		"Agent.OSVersion":      "6.8.0",
		"Agent.HomeDirectory":  "/azp",
	}
	maps.Copy(system, a.System)
	added, refused := s.registerAgent(p, &agent{
		name:         a.Name,
		version:      version,
		os:           "Linux 6.8.0 adotest",
		provisioning: "Provisioned",
		enabled:      !a.Disabled,
		online:       !a.Offline,
		once:         a.Once,
		system:       system,
		user:         maps.Clone(a.Capabilities),
	})
	if refused != nil {
		return 0, refused
	}
	return added.id, nil
}

// registerAgent assigns an id; names are unique in a pool.
func (s *Server) registerAgent(p *pool, a *agent) (*agent, *Error) {
	if p.agentByName(a.name) != nil {
		return nil, nameTaken(p, a.name)
	}
	s.lastAgent++
	a.pool, a.id = p, s.lastAgent
	a.created, a.statusChanged = time.Now(), time.Now()
	p.agents = append(p.agents, a)
	p.names[strings.ToLower(a.name)] = a
	a.changed()
	s.dispatch()
	return a, nil
}

// RemoveAgent deletes an agent from its pool. Azure DevOps refuses that while
// the agent holds a request, and so does this.
func (s *Server) RemoveAgent(pool, name string) error {
	return s.withAgent(pool, name, func(a *agent) error {
		if err := s.unregister(a); err != nil {
			return err
		}
		return nil
	})
}

func (s *Server) unregister(a *agent) *Error {
	if a.holding != nil {
		return refuse(http.StatusConflict, "TaskAgentJobStillRunningException",
			"Agent %q is running a job for pool %q", a.name, a.pool.Name)
	}
	if a.session != nil {
		s.endSession(a.session)
	}
	delete(s.credentials, a.token)
	a.online = false
	a.pool.agents = slices.DeleteFunc(a.pool.agents, func(other *agent) bool { return other == a })
	delete(a.pool.names, strings.ToLower(a.name))
	a.changed()
	return nil
}

// SetAgentOnline makes an agent that the stand-in plays lose or regain its
// connection. An agent that holds a request stops renewing its lock.
func (s *Server) SetAgentOnline(pool, name string, online bool) error {
	return s.withAgent(pool, name, func(a *agent) error {
		s.setOnline(a, online)
		return nil
	})
}

func (s *Server) setOnline(a *agent, online bool) {
	if a.online == online {
		return
	}
	if a.session != nil {
		s.endSession(a.session)
		return
	}
	if q := a.holding; q != nil && !q.received.IsZero() {
		q.lockedUntil = s.lockEnd(q)
	}
	a.online, a.statusChanged = online, time.Now()
	if q := a.holding; q != nil {
		s.play(q)
		s.watchLock(q)
	}
	s.dispatch()
}

// SetAgentEnabled enables or disables an agent. A disabled one keeps the request
// that it holds and gets no other.
func (s *Server) SetAgentEnabled(pool, name string, enabled bool) error {
	return s.withAgent(pool, name, func(a *agent) error {
		a.enabled = enabled
		s.dispatch()
		return nil
	})
}

// SetAgentCapabilities replaces the capabilities that were added to an agent's
// own.
func (s *Server) SetAgentCapabilities(pool, name string, capabilities map[string]string) error {
	return s.withAgent(pool, name, func(a *agent) error {
		a.user = maps.Clone(capabilities)
		a.changed()
		s.dispatch()
		return nil
	})
}

// Agents returns the registered agents of a pool in order of their ids.
func (s *Server) Agents(pool string) []AgentState {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.poolByName(pool)
	if p == nil {
		return nil
	}
	return p.agentStates()
}

func (p *pool) agentStates() []AgentState {
	states := make([]AgentState, len(p.agents))
	for i, a := range p.agents {
		states[i] = AgentState{
			Agent: Agent{
				Name: a.name, Version: a.version, Offline: !a.online, Disabled: !a.enabled,
				Capabilities: maps.Clone(a.user), System: maps.Clone(a.system),
			},
			ID:      a.id,
			Session: a.session != nil,
		}
		if a.holding != nil {
			states[i].Request = a.holding.id
		}
	}
	return states
}

func (s *Server) withAgent(pool, name string, do func(*agent) error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	p, err := s.findPool(pool)
	if err != nil {
		return err
	}
	a := p.agentByName(name)
	if a == nil {
		return noAgentNamed(p, name)
	}
	return do(a)
}

func noAgentNamed(p *pool, name string) *Error {
	return refuse(http.StatusNotFound, "TaskAgentNotFoundException", "No agent with name %s was found in pool %s.", name, p.Name)
}

func (p *pool) agentByName(name string) *agent {
	return p.names[strings.ToLower(name)]
}

func (p *pool) agentByID(id int) *agent {
	i, found := slices.BinarySearchFunc(p.agents, id, func(a *agent, id int) int { return cmp.Compare(a.id, id) })
	if !found {
		return nil
	}
	return p.agents[i]
}

// capabilities is what demands are met by: what was registered, and name and
// version even if they were registered as fields only.
func (a *agent) capabilities() map[string]string {
	if a.known == nil {
		a.known = map[string]string{"agent.name": a.name, strings.ToLower(versionCapability): a.version}
		for _, own := range []map[string]string{a.system, a.user} {
			for name, value := range own {
				a.known[strings.ToLower(name)] = value
			}
		}
	}
	return a.known
}

// changed has to be called after every change that demands may notice.
func (a *agent) changed() {
	a.known = nil
	a.pool.generation++
}

// ready reports whether the agent would take a request now.
func (a *agent) ready() bool {
	return a.online && a.enabled && a.holding == nil && (!a.once || !a.served) && (a.session == nil || !a.session.leaving)
}

func (a *agent) status() string {
	if a.online {
		return "online"
	}
	return "offline"
}
