package adotest

import (
	"encoding/json"
	"net/http"
	"time"
)

// changeRequest is an agent's renewal of a lock; a first one also says that
// the request was received. With updateOptions=bumpRequestToTop it is a user's
// "run next" instead, which needs no lock.
func (s *Server) changeRequest(c *call) *answer {
	var in struct{ RequestID int64 }
	if err := json.NewDecoder(c.Body).Decode(&in); err != nil {
		return badBody(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	q, err := s.requestOf(c)
	if err != nil {
		return err.answer()
	}
	if c.param("updateOptions") == "bumpRequestToTop" {
		q.job.Priority = s.topPriority(q.pool) + 1
		return ok(s.renderRequest(q, c, withMatches))
	}
	if err := q.checkLock(c); err != nil {
		return err.answer()
	}
	if q.state() == Assigned {
		s.receive(q)
	}
	q.lockedUntil = time.Now().Add(s.opts.LockDuration)
	s.watchLock(q)
	if q.agent.session != nil {
		s.touch(q.agent.session)
	}
	return ok(s.renderRequest(q, c, withMatches))
}

func (s *Server) topPriority(p *pool) int {
	top := 0
	for _, q := range p.requests {
		if q.state() == Queued {
			top = max(top, q.job.Priority)
		}
	}
	return top
}

// finishRequest is an agent's word that it ended a request. With
// agentShuttingDown it gets no other, which is how run.sh --once avoids a
// second job.
func (s *Server) finishRequest(c *call) *answer {
	s.mu.Lock()
	defer s.mu.Unlock()
	q, err := s.requestOf(c)
	if err != nil {
		return err.answer()
	}
	if err := q.checkLock(c); err != nil {
		return err.answer()
	}
	if x := q.agent.session; x != nil && c.flag("agentShuttingDown") {
		x.leaving = true
	}
	s.finish(q, c.param("result"))
	return &answer{status: http.StatusNoContent}
}

// checkLock lets only the holder of a request change it.
func (q *request) checkLock(c *call) *Error {
	if state := q.state(); state != Assigned && state != Running || c.param("lockToken") != q.lockToken {
		return refuse(http.StatusConflict, "TaskAgentJobTokenExpiredException",
			"The lock of job request %d is held by nobody or by another agent.", q.id)
	}
	return nil
}
