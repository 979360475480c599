package plan_test

import (
	"slices"
	"time"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue"
)

// skills are capabilities, and demands on them, as a set of bits.
type skills uint8

func (s skills) meet(demands skills) bool { return demands&^s == 0 }

// demands are the skills as Azure DevOps writes them.
func (s skills) demands() []adoqueue.Demand {
	var demands []adoqueue.Demand
	for bit := range 8 {
		if s&(1<<bit) != 0 {
			demands = append(demands, adoqueue.ParseDemand(string(rune('a'+bit))))
		}
	}
	return demands
}

// request is a pipeline job in the pool.
type request struct {
	id       int64
	demands  skills
	priority int
	here     bool // in the pool's list of unfinished requests
	arrived  time.Duration
	state    adoqueue.State
	assigned time.Duration
	job      *job   // that took it
	foreign  *agent // of somebody else, that took it
	verdict  int    // group that the last plan wanted to serve it, or -1
	crossed  bool   // the Job is another scaler's than the one that is to serve it
	seenBy   int    // scalers that have seen it with an agent, as a set of bits
}

// queued reports whether the request waits for an agent.
func (r *request) queued() bool { return r.here && r.state == adoqueue.Queued }

// agent is one that is online. Those of Jobs take one request, others go on.
type agent struct {
	name   string
	skills skills
	job    *job
	busy   bool
}

func (s *simulator) queueArrivals() {
	for i := range s.arrivals {
		arrival := s.arrivals[i]
		s.after(arrival.at, func() {
			r := &request{
				id: int64(len(s.requests) + 1), demands: arrival.demands, priority: arrival.priority,
				here: true, arrived: s.now, verdict: -1,
			}
			s.requests = append(s.requests, r)
			s.queue = append(s.queue, r)
			s.trace("%v request %d demands %b", s.now, r.id, r.demands)
			if arrival.cancelled > 0 {
				s.after(arrival.cancelled, func() { s.cancel(r) })
			}
			s.after(s.between(s.dispatch), s.assign)
		})
	}
}

func (s *simulator) addForeignAgents() {
	for i, skills := range s.foreign {
		s.agents = append(s.agents, &agent{name: "vm-" + string(rune('0'+i)), skills: skills})
	}
}

// assign assigns queued requests to idle agents that meet their demands: to any
// of them, as Azure DevOps does.
func (s *simulator) assign() {
	for _, r := range slices.Clone(s.queue) {
		if s.parallel > 0 && s.running() >= s.parallel {
			return
		}
		var fit []*agent
		for _, a := range s.agents {
			if !a.busy && a.skills.meet(r.demands) {
				fit = append(fit, a)
			}
		}
		if len(fit) > 0 {
			s.reserve(r, fit[s.random.IntN(len(fit))])
		}
	}
}

// running is how many parallel jobs of the organization are in use.
func (s *simulator) running() int {
	n := 0
	for _, r := range s.requests {
		if r.here && r.state != adoqueue.Queued {
			n++
		}
	}
	return n
}

func (s *simulator) reserve(r *request, a *agent) {
	s.leaveQueue(r)
	r.state, r.assigned, a.busy = adoqueue.Assigned, s.now, true
	if a.job == nil {
		r.foreign = a
		s.tally.lost.add(s.groupsOf(r))
	} else {
		r.job = a.job
		s.take(r, a.job)
		s.tally.longestWait = max(s.tally.longestWait, s.now-r.arrived)
	}
	s.trace("%v request %d goes to %s", s.now, r.id, a.name)
	s.after(s.between(s.receive), func() { s.receiveBy(r, a) })
}

func (s *simulator) leaveQueue(r *request) {
	s.queue = slices.DeleteFunc(s.queue, func(other *request) bool { return other == r })
}

func (s *simulator) receiveBy(r *request, a *agent) {
	switch {
	case !r.here: // cancelled: the agent goes on waiting for another
		a.busy = false
		s.assign()
		return
	case a.job != nil && !a.job.unfinished():
		return
	}
	r.state = adoqueue.Running
	run := s.between(s.run)
	if a.job != nil && s.chance(s.kills) {
		s.after(s.between(span{0, run}), func() { s.kill(r, a.job) })
		return
	}
	s.after(run, func() { s.finish(r, a) })
}

// finish ends a request's run, unless a cancellation has done so.
func (s *simulator) finish(r *request, a *agent) {
	if !r.here {
		return
	}
	s.trace("%v request %d is done", s.now, r.id)
	if a.job != nil {
		s.drain(a.job)
	}
	a.busy = false
	s.leave(r)
}

// leave takes a request off the list, which may let another one run.
func (s *simulator) leave(r *request) {
	r.here = false
	if r.crossed && r.seenBy != 1<<len(s.scalers)-1 {
		s.tally.unseen++
	}
	s.assign()
}

// cancel ends a request wherever it is.
func (s *simulator) cancel(r *request) {
	if !r.here || r.job != nil && !r.job.unfinished() {
		return
	}
	s.trace("%v request %d is cancelled", s.now, r.id)
	switch r.state {
	case adoqueue.Queued:
		s.leaveQueue(r)
		s.leave(r)
		s.tally.lost.add(s.groupsOf(r))
	case adoqueue.Assigned:
		s.leave(r)
	default:
		for _, a := range s.agents {
			if a == r.foreign || r.job != nil && a.job == r.job {
				s.finish(r, a)
				return
			}
		}
	}
}

// poolView is what the cache of snapshots has.
type poolView struct {
	snapshot *adoqueue.Snapshot
	sent     time.Duration
	free     *int
}

// read makes the snapshot that the request sent then is answered with now.
func (s *simulator) read(sent time.Duration) poolView {
	snapshot := &adoqueue.Snapshot{RequestedAt: at(sent)}
	for _, r := range s.requests {
		if !r.here {
			continue
		}
		view := &adoqueue.JobRequest{ID: r.id, State: r.state, Priority: r.priority, Demands: r.demands.demands()}
		switch {
		case r.job != nil:
			view.Agent, view.AssignTime = r.job.agent, at(r.assigned)
		case r.foreign != nil:
			view.Agent, view.AssignTime = r.foreign.name, at(r.assigned)
		}
		snapshot.Requests = append(snapshot.Requests, view)
	}
	view := poolView{snapshot: snapshot, sent: sent}
	if s.parallel > 0 {
		free := s.parallel - s.running()
		view.free = &free
	}
	return view
}
