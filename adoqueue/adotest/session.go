package adotest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"time"
)

// session is an agent's process that listens for work. It lasts as long as the
// process polls for messages or renews a lock.
type session struct {
	id      string
	owner   string
	agent   *agent
	origin  string // of the stand-in, as the agent knows it
	leaving bool   // the agent said that it takes nothing more, or has to update itself
	polls   int    // in progress

	messages []*message
	wake     chan struct{} // one token: there may be a message
	timeout  *time.Timer
}

// message informs an agent about a request, or that it has to update itself.
type message struct {
	id      int64
	kind    string
	request *request
	update  *updateBody
}

// Kinds of messages, in the agent's own words.
const (
	jobMessage    = "PipelineAgentJobRequest"
	cancelMessage = "JobCancellation"
	updateMessage = "AgentRefresh"
)

// openSession makes an agent online. An agent has one session.
func (s *Server) openSession(a *agent, owner string) (*session, *Error) {
	if a.session != nil {
		return nil, refuse(http.StatusConflict, "TaskAgentSessionConflictException",
			"The task agent %s already has an active session for owner %s.", a.name, a.session.owner)
	}
	s.lastSession++
	x := &session{id: guid("session", s.lastSession), owner: owner, agent: a, wake: make(chan struct{}, 1)}
	s.sessions[x.id] = x
	a.session = x
	a.online, a.statusChanged = true, time.Now()
	s.touch(x)
	if q := a.holding; q != nil && q.state() == Assigned {
		s.send(jobMessage, q) // reserved in an earlier session that ended too soon
	}
	s.dispatch()
	return x, nil
}

// endSession makes an agent offline. A request that it holds stays with it until
// the lock lapses.
func (s *Server) endSession(x *session) {
	x.timeout.Stop()
	delete(s.sessions, x.id)
	x.agent.session = nil
	x.agent.online, x.agent.statusChanged = false, time.Now()
	x.signal()
}

// touch restarts the time after which an agent counts as gone.
func (s *Server) touch(x *session) {
	if x.timeout != nil {
		x.timeout.Stop()
	}
	x.timeout = s.later(s.opts.SessionTimeout, func() {
		if x.polls == 0 && s.sessions[x.id] == x {
			s.endSession(x)
		}
	})
}

// send puts a message into an agent's session.
func (s *Server) send(kind string, q *request) {
	s.post(q.agent.session, &message{kind: kind, request: q})
}

func (s *Server) post(x *session, m *message) {
	s.lastMessage++
	m.id = s.lastMessage
	x.messages = append(x.messages, m)
	x.signal()
}

// updateBody names the version that an agent has to become, and where it is.
type updateBody struct {
	TargetVersion string `json:"targetVersion"`
	DownloadURL   string `json:"downloadUrl"`
}

// UpdateAgent makes a listening agent replace itself by another version, as
// Azure DevOps does when a job demands a newer one. A job that the agent was
// reserved for waits, and is sent to the session that follows.
func (s *Server) UpdateAgent(pool, name, version string) error {
	return s.withAgent(pool, name, func(a *agent) error {
		if a.session == nil {
			return refuse(http.StatusConflict, "TaskAgentJobStateException", "Agent %s has no session.", name)
		}
		x := a.session
		x.leaving = true
		x.messages = slices.DeleteFunc(x.messages, func(m *message) bool { return m.kind == jobMessage })
		file := fmt.Sprintf("vsts-agent-linux-x64-%s.tar.gz", version)
		s.post(x, &message{kind: updateMessage, update: &updateBody{
			TargetVersion: version, DownloadURL: x.origin + packagePath + version + "/" + file,
		}})
		return nil
	})
}

func (x *session) signal() {
	select {
	case x.wake <- struct{}{}:
	default:
	}
}

// forget drops the undelivered messages about a request.
func (x *session) forget(q *request) {
	x.messages = slices.DeleteFunc(x.messages, func(m *message) bool { return m.request == q })
}

// notifyCancelled leaves it to the agent to end the request, as Azure DevOps does.
func (s *Server) notifyCancelled(q *request) {
	if !q.cancelled {
		q.cancelled = true
		s.send(cancelMessage, q)
	}
}

// jobBody is what an agent has to know; Azure DevOps sends the whole job here,
// encrypted.
type jobBody struct {
	RequestID    int64  `json:"requestId"`
	JobID        string `json:"jobId"`
	JobName      string `json:"jobName"`
	LockToken    string `json:"lockToken"`
	LockMillis   int64  `json:"lockMilliseconds"`
	DurationMsec int64  `json:"durationMilliseconds"`
	Result       string `json:"result"`
	Script       []byte `json:"script,omitempty"` // in base64
}

func (s *Server) messageBody(m *message) string {
	if m.update != nil {
		return string(encode(m.update))
	}
	q := m.request
	body := jobBody{
		RequestID:    q.id,
		JobID:        guid("job", q.origin),
		JobName:      q.job.Name,
		LockToken:    q.lockToken,
		LockMillis:   s.opts.LockDuration.Milliseconds(),
		DurationMsec: q.job.Duration.Milliseconds(),
		Result:       q.job.Result,
		Script:       []byte(q.job.Script),
	}
	return string(encode(body))
}

// wireMessage is a message as agents get it.
type wireMessage struct {
	ID   int64  `json:"messageId"`
	Type string `json:"messageType"`
	Body string `json:"body"`
}

func (s *Server) createSession(c *call) *answer {
	var in struct {
		OwnerName string
		Agent     struct {
			ID                 int
			SystemCapabilities map[string]string
		}
	}
	if err := json.NewDecoder(c.Body).Decode(&in); err != nil {
		return badBody(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	p, err := s.visiblePool(c)
	if err != nil {
		return err.answer()
	}
	a := p.agentByID(in.Agent.ID)
	if a == nil {
		return noAgent(p, strconv.Itoa(in.Agent.ID)).answer()
	}
	if in.Agent.SystemCapabilities != nil {
		a.system = in.Agent.SystemCapabilities
		a.changed()
	}
	x, err := s.openSession(a, in.OwnerName)
	if err != nil {
		return err.answer()
	}
	x.origin = c.origin()
	return ok(struct {
		ID    string    `json:"sessionId"`
		Owner string    `json:"ownerName"`
		Agent wireAgent `json:"agent"`
	}{x.id, x.owner, renderAgent(a, c, asReserved)})
}

// sessionOf finds the session that a call names in its path or query.
func (s *Server) sessionOf(c *call, id string) (*session, *Error) {
	x := s.sessions[id]
	if x == nil || x.agent.pool.ID != c.entry.PoolID {
		return nil, refuse(http.StatusNotFound, "TaskAgentSessionExpiredException", "The session %s does not exist or has expired.", id)
	}
	return x, nil
}

func (s *Server) deleteSession(c *call) *answer {
	s.mu.Lock()
	defer s.mu.Unlock()
	x, err := s.sessionOf(c, c.PathValue("session"))
	if err != nil {
		return err.answer()
	}
	s.endSession(x)
	return &answer{}
}

// getMessage waits for a message: 200 with it, or 202 without a body when none
// came in time.
func (s *Server) getMessage(c *call) *answer {
	s.mu.Lock()
	x, err := s.sessionOf(c, c.param("sessionId"))
	if err != nil {
		s.mu.Unlock()
		return err.answer()
	}
	x.polls++
	s.mu.Unlock()

	found := s.awaitMessage(c, x)

	s.mu.Lock()
	defer s.mu.Unlock()
	x.polls--
	if s.sessions[x.id] != x {
		_, err := s.sessionOf(c, x.id)
		return err.answer()
	}
	s.touch(x)
	if found == nil {
		return &answer{status: http.StatusAccepted}
	}
	return ok(wireMessage{found.id, found.kind, s.messageBody(found)})
}

func (s *Server) awaitMessage(c *call, x *session) *message {
	timer := time.NewTimer(s.opts.PollTimeout)
	defer timer.Stop()
	for {
		if m := s.nextMessage(c, x); m != nil {
			return m
		}
		select {
		case <-x.wake:
			if s.gone(x) {
				return nil
			}
		case <-timer.C:
			return nil
		case <-c.Context().Done():
			return nil
		case <-s.closed:
			return nil
		}
	}
}

func (s *Server) gone(x *session) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sessions[x.id] != x
}

// nextMessage is the first that is newer than the last one the agent saw.
func (s *Server) nextMessage(c *call, x *session) *message {
	last := number(c.param("lastMessageId"))
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, m := range x.messages {
		if m.id > last {
			return m
		}
	}
	return nil
}

// deleteMessage is an agent's word that it has a message: with that a request
// counts as received.
func (s *Server) deleteMessage(c *call) *answer {
	s.mu.Lock()
	defer s.mu.Unlock()
	x, err := s.sessionOf(c, c.param("sessionId"))
	if err != nil {
		return err.answer()
	}
	id := number(c.PathValue("message"))
	i := slices.IndexFunc(x.messages, func(m *message) bool { return m.id == id })
	if i < 0 && x.agent.holding != nil && x.agent.holding.taken == id {
		return &answer{} // again, since the first answer was lost
	}
	if i < 0 {
		return refuse(http.StatusNotFound, "TaskAgentMessageNotFoundException", "Message %d was not found.", id).answer()
	}
	m := x.messages[i]
	x.messages = slices.Delete(x.messages, i, i+1)
	if m.kind == jobMessage && m.request.state() == Assigned {
		m.request.taken = id
		s.receive(m.request)
	}
	return &answer{}
}
