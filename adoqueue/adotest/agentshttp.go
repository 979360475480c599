package adotest

import (
	"cmp"
	"crypto/rand"
	"encoding/json"
	"maps"
	"net/http"
	"strings"
)

// tokenHeader carries the token of a registered agent in the answer to a
// registration with a public key. The real agent signs a request for a token
// with its private key instead, which takes more than curl.
const tokenHeader = "X-Adotest-Agent-Token" //nolint:gosec // the name of a header

// agentBody is what clients send about an agent. Pointers show what a PATCH
// leaves alone.
type agentBody struct {
	Name               *string
	Version            *string
	OSDescription      *string
	Enabled            *bool
	ProvisioningState  *string
	SystemCapabilities map[string]string
	UserCapabilities   map[string]string
	Authorization      *struct{ PublicKey json.RawMessage }
}

func badBody(err error) *answer {
	return refuse(http.StatusBadRequest, "VssServiceException", "The body of the request is not valid: %v", err).answer()
}

func noAgent(p *pool, id string) *Error {
	return refuse(http.StatusNotFound, "TaskAgentNotFoundException", "No agent with identifier %s was found in pool %d.", id, p.ID)
}

// agentOf is the agent of a call's path.
func (s *Server) agentOf(c *call) (*agent, *Error) {
	p, err := s.visiblePool(c)
	if err != nil {
		return nil, err
	}
	if a := p.agentByID(c.id("agent")); a != nil {
		return a, nil
	}
	return nil, noAgent(p, c.PathValue("agent"))
}

// listAgents knows the filters of Microsoft's swagger: one name, and demands
// that the agents have to meet.
func (s *Server) listAgents(c *call) *answer {
	name := c.param("agentName")
	demands := parseDemands(strings.FieldsFunc(c.param("demands"), func(r rune) bool { return r == ',' }))
	s.mu.Lock()
	defer s.mu.Unlock()
	p, err := s.visiblePool(c)
	if err != nil {
		return err.answer()
	}
	var found []wireAgent
	for _, a := range p.agents {
		if name != "" && !strings.EqualFold(name, a.name) {
			continue
		}
		if !meets(a.capabilities(), demands) {
			continue
		}
		found = append(found, s.describeAgent(a, c))
	}
	return list(found)
}

func (s *Server) getAgent(c *call) *answer {
	s.mu.Lock()
	defer s.mu.Unlock()
	a, err := s.agentOf(c)
	if err != nil {
		return err.answer()
	}
	return ok(s.describeAgent(a, c))
}

// describeAgent adds what the include flags of a call ask for.
func (s *Server) describeAgent(a *agent, c *call) wireAgent {
	w := renderAgent(a, c, asListed)
	if c.flag("includeCapabilities") {
		w.SystemCapabilities, w.UserCapabilities = maps.Clone(a.system), maps.Clone(a.user)
	}
	if a.holding != nil && c.flag("includeAssignedRequest") {
		w.AssignedRequest = new(s.renderRequest(a.holding, c, withoutMatches))
	}
	if a.last != nil && c.flag("includeLastCompletedRequest") {
		w.LastCompletedRequest = new(s.renderRequest(a.last, c, withoutMatches))
	}
	return w
}

// createAgent registers an agent. It is offline until it opens a session,
// whatever status the client claims, so a placeholder stays what it is.
func (s *Server) createAgent(c *call) *answer {
	var in agentBody
	if err := json.NewDecoder(c.Body).Decode(&in); err != nil {
		return badBody(err)
	}
	if in.Name == nil || *in.Name == "" {
		return refuse(http.StatusBadRequest, "ArgumentNullException", "Value cannot be null.\r\nParameter name: agent.Name").answer()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	p, err := s.visiblePool(c)
	if err != nil {
		return err.answer()
	}
	a := &agent{name: *in.Name, enabled: true, provisioning: "Provisioned"}
	in.apply(a)
	if a, err = s.registerAgent(p, a); err != nil {
		return err.answer()
	}
	return s.registered(a, in, c)
}

// replaceAgent sets everything that a registration does, which is what an agent
// does that is configured with --replace. Settings of users stay:
// capabilities, and whether it is disabled.
func (s *Server) replaceAgent(c *call) *answer {
	return s.changeAgent(c, func(a *agent, in agentBody) {
		a.system = nil
		in.apply(a)
	})
}

// updateAgent sets what the body has and leaves the rest alone.
func (s *Server) updateAgent(c *call) *answer {
	return s.changeAgent(c, func(a *agent, in agentBody) { in.apply(a) })
}

func (s *Server) changeAgent(c *call, change func(*agent, agentBody)) *answer {
	var in agentBody
	if err := json.NewDecoder(c.Body).Decode(&in); err != nil {
		return badBody(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	a, err := s.agentOf(c)
	if err != nil {
		return err.answer()
	}
	if in.Name != nil && *in.Name != "" {
		if other := a.pool.agentByName(*in.Name); other != nil && other != a {
			return nameTaken(a.pool, *in.Name).answer()
		}
		delete(a.pool.names, strings.ToLower(a.name))
		a.name = *in.Name
		a.pool.names[strings.ToLower(a.name)] = a
	}
	change(a, in)
	a.changed()
	s.dispatch()
	return s.registered(a, in, c)
}

func nameTaken(p *pool, name string) *Error {
	return refuse(http.StatusConflict, "TaskAgentExistsException", "Pool %d already contains an agent with name %s.", p.ID, name)
}

func (in agentBody) apply(a *agent) {
	a.version = deref(in.Version, a.version)
	a.os = deref(in.OSDescription, a.os)
	a.enabled = deref(in.Enabled, a.enabled)
	a.provisioning = cmp.Or(deref(in.ProvisioningState, ""), a.provisioning)
	if in.SystemCapabilities != nil {
		a.system = in.SystemCapabilities
	}
	if in.UserCapabilities != nil {
		a.user = in.UserCapabilities
	}
	if in.Authorization != nil && len(in.Authorization.PublicKey) > 0 {
		a.publicKey = in.Authorization.PublicKey
	}
}

func deref[T any](p *T, otherwise T) T {
	if p == nil {
		return otherwise
	}
	return *p
}

// registered answers a registration, with a token if it came with a key.
func (s *Server) registered(a *agent, in agentBody, c *call) *answer {
	w := renderAgent(a, c, asListed)
	w.SystemCapabilities, w.UserCapabilities = maps.Clone(a.system), maps.Clone(a.user)
	out := ok(w)
	if in.Authorization != nil && len(in.Authorization.PublicKey) > 0 {
		delete(s.credentials, a.token)
		a.token = "agent-" + rand.Text()
		s.credentials[a.token] = &credential{scope: ScopeNone, bearer: true, agent: a}
		out.header = http.Header{tokenHeader: {a.token}}
	}
	return out
}

func (s *Server) deleteAgent(c *call) *answer {
	s.mu.Lock()
	defer s.mu.Unlock()
	a, err := s.agentOf(c)
	if err != nil {
		return err.answer()
	}
	if err := s.unregister(a); err != nil {
		return err.answer()
	}
	return &answer{}
}

// setUserCapabilities replaces the capabilities that users add to an agent.
func (s *Server) setUserCapabilities(c *call) *answer {
	var in map[string]string
	if err := json.NewDecoder(c.Body).Decode(&in); err != nil {
		return badBody(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	a, err := s.agentOf(c)
	if err != nil {
		return err.answer()
	}
	a.user = in
	a.changed()
	s.dispatch()
	w := renderAgent(a, c, asListed)
	w.SystemCapabilities, w.UserCapabilities = maps.Clone(a.system), maps.Clone(a.user)
	return ok(w)
}
