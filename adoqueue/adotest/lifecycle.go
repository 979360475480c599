package adotest

import (
	"cmp"
	"net/http"
	"slices"
	"strconv"
	"time"
)

// lockRenewal is how often an agent renews the lock of its request.
const lockRenewal = time.Minute

// Assign reserves an agent for a queued request. Unlike Azure DevOps it does so
// for any agent without a request, even if it is offline, disabled or does not match.
func (s *Server) Assign(id int64, agent string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	q, err := s.find(id, Queued)
	if err != nil {
		return err
	}
	a := q.pool.agentByName(agent)
	switch {
	case a == nil:
		return noAgentNamed(q.pool, agent)
	case a.holding != nil:
		return refuse(http.StatusConflict, "TaskAgentJobStateException", "Agent %s holds request %d.", agent, a.holding.id)
	}
	s.assign(q, a)
	return nil
}

// Receive makes an assigned request a running one, as its agent does when it
// picks the request up.
func (s *Server) Receive(id int64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	q, err := s.find(id, Assigned)
	if err != nil {
		return err
	}
	s.receive(q)
	return nil
}

// Finish ends an assigned or running request with a result such as "succeeded"
// or "failed".
func (s *Server) Finish(id int64, result string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	q, err := s.find(id, Assigned, Running)
	if err != nil {
		return err
	}
	s.finish(q, cmp.Or(result, q.job.Result))
	return nil
}

// Cancel cancels a job. The request ends at once, unless it is with an agent
// that has a session: that one is notified, and ends it.
func (s *Server) Cancel(id int64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	q, err := s.find(id, Queued, Assigned, Running)
	if err != nil {
		return err
	}
	if q.agent != nil && q.agent.session != nil {
		s.notifyCancelled(q)
		return nil
	}
	s.finish(q, "canceled")
	return nil
}

// Abandon ends a request whose agent was not heard of any more.
func (s *Server) Abandon(id int64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	q, err := s.find(id, Assigned, Running)
	if err != nil {
		return err
	}
	s.finish(q, "abandoned")
	return nil
}

// Redispatch takes an assigned request back from its agent: it is queued again.
func (s *Server) Redispatch(id int64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	q, err := s.find(id, Assigned)
	if err != nil {
		return err
	}
	s.redispatch(q)
	return nil
}

func (s *Server) assign(q *request, a *agent) {
	q.assigned, q.agent, a.holding, a.served = time.Now(), a, q, true
	q.attempts++
	q.lockToken = guid("lock of "+strconv.FormatInt(q.id, 10), q.attempts)
	if a.session != nil {
		s.send(jobMessage, q)
	} else if d := s.opts.ReceiveDelay; d > 0 {
		s.after(q, d, func() {
			if q.state() == Assigned && q.agent == a {
				s.receive(q)
			}
		})
	}
	s.watchLock(q)
}

func (s *Server) receive(q *request) {
	q.received = time.Now()
	q.lockedUntil = q.received.Add(s.opts.LockDuration)
	s.play(q)
	s.watchLock(q)
}

// play ends a request that has a duration and an agent that the stand-in plays.
func (s *Server) play(q *request) {
	if q.state() != Running || q.job.Duration <= 0 || !q.played() {
		return
	}
	s.after(q, time.Until(q.received.Add(q.job.Duration)), func() {
		if q.played() {
			s.finish(q, q.job.Result)
		}
	})
}

func (s *Server) finish(q *request, result string) {
	q.lockedUntil = s.lockEnd(q) // stale values stay, as seen in fixtures of KEDA
	q.finished, q.result = time.Now(), result
	s.release(q)
	s.dispatch()
}

func (s *Server) redispatch(q *request) {
	s.release(q)
	q.agent, q.assigned, q.lockedUntil, q.lockToken = nil, time.Time{}, time.Time{}, ""
	s.dispatch()
}

// release frees the agent of a request.
func (s *Server) release(q *request) {
	for _, t := range append(q.timers, q.lock) {
		if t != nil {
			t.Stop()
		}
	}
	q.timers, q.lock = nil, nil
	a := q.agent
	if a == nil {
		return
	}
	a.holding = nil
	if q.state() == Finished {
		a.last = q
	}
	if a.session != nil {
		a.session.forget(q)
	}
}

// after runs do under the lock unless the request ended before. The caller
// checks that the request is still in the state that it meant.
func (s *Server) after(q *request, d time.Duration, do func()) {
	q.timers = append(q.timers, s.later(d, func() {
		if q.state() != Finished {
			do()
		}
	}))
}

// later runs do under the lock.
func (s *Server) later(d time.Duration, do func()) *time.Timer {
	return time.AfterFunc(d, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		do()
	})
}

// played reports whether the stand-in itself is the agent and keeps the lock alive.
func (q *request) played() bool {
	return q.agent != nil && q.agent.session == nil && q.agent.online
}

// lockEnd is when the lock of a request lapses, as far as known now.
func (s *Server) lockEnd(q *request) time.Time {
	if q.state() != Running || !q.played() {
		return q.lockedUntil
	}
	renewed := time.Since(q.received).Truncate(lockRenewal)
	return q.received.Add(renewed + s.opts.LockDuration)
}

// leaseEnd is when a request is taken from an agent that is not heard of.
func (s *Server) leaseEnd(q *request) time.Time {
	if q.received.IsZero() {
		return q.assigned.Add(s.opts.LockDuration)
	}
	return q.lockedUntil
}

// watchLock takes a request from its agent when its lock lapses: one that is
// running is abandoned, one that was never received is queued again.
func (s *Server) watchLock(q *request) {
	if q.lock != nil {
		q.lock.Stop()
	}
	if q.played() {
		return
	}
	q.lock = s.later(time.Until(s.leaseEnd(q)), func() { s.lapse(q) })
}

// lapse looks again, since a stopped timer may already be on its way.
func (s *Server) lapse(q *request) {
	switch {
	case q.state() == Queued, q.state() == Finished, q.played(), time.Now().Before(s.leaseEnd(q)):
	case q.cancelled:
		s.finish(q, "canceled")
	case q.received.IsZero():
		s.redispatch(q)
	default:
		s.finish(q, "abandoned")
	}
}

// dispatch assigns queued requests to agents that are ready, with AutoAssign.
func (s *Server) dispatch() {
	if !s.opts.AutoAssign {
		return
	}
	for _, p := range s.pools {
		s.dispatchIn(p)
	}
}

func (s *Server) dispatchIn(p *pool) {
	// As a rule one agent has just become ready, while many requests wait.
	ready := slices.DeleteFunc(slices.Clone(p.agents), func(a *agent) bool { return !a.ready() })
	if len(ready) == 0 {
		return
	}
	for _, q := range p.waiting() {
		if s.limited(q) {
			continue
		}
		demands := parseDemands(q.job.Demands)
		if i := slices.IndexFunc(ready, func(a *agent) bool { return meets(a.capabilities(), demands) }); i >= 0 {
			s.assign(q, ready[i])
			if ready = slices.Delete(ready, i, i+1); len(ready) == 0 {
				return
			}
		}
	}
}

// waiting returns the queued requests in the order in which they get agents.
func (p *pool) waiting() []*request {
	var queued []*request
	for _, q := range p.requests {
		if q.state() == Queued {
			queued = append(queued, q)
		}
	}
	slices.SortStableFunc(queued, func(a, b *request) int { return cmp.Compare(b.job.Priority, a.job.Priority) })
	return queued
}

// limited reports whether a request waits for a parallel job. Azure DevOps limits
// those of private projects; nothing in the request shows it.
func (s *Server) limited(q *request) bool {
	return s.opts.ParallelJobs > 0 && !q.pool.Hosted && !q.job.Public && s.usedParallelJobs() >= s.opts.ParallelJobs
}

func (s *Server) usedParallelJobs() int {
	used := 0
	for _, p := range s.pools {
		for _, a := range p.agents {
			if !p.Hosted && a.holding != nil && !a.holding.job.Public {
				used++
			}
		}
	}
	return used
}
