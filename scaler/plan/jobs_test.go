package plan_test

import (
	"fmt"
	"slices"
	"time"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/plan"
)

// job is a Job of a group and the agent in it.
type job struct {
	uid, agent string
	group      int
	created    time.Duration
	pod        time.Duration // when its pod's name is known
	ended      time.Duration // never before it ended
	online     bool          // its agent has been in the pool
	reserved   bool          // its agent has held a request
	failed     bool          // it ended before its agent came
	idledOut   bool          // it ended since nothing came
}

const never = time.Duration(1<<63 - 1)

func (j *job) unfinished() bool { return j.ended == never }

// supply tells whether the Job can take a request, as far as anybody knows.
func (j *job) supply() bool { return j.unfinished() && !j.reserved }

// create makes a Job. Its agent comes after a while, if it does not fail first.
func (s *simulator) create(g int) {
	n := len(s.jobs)
	j := &job{
		uid: fmt.Sprintf("uid-%03d", n), agent: fmt.Sprintf("%s-%05d-pod", s.groups[g].name, n),
		group: g, created: s.now, pod: s.now + s.between(s.podStart), ended: never,
	}
	s.jobs = append(s.jobs, j)
	s.trace("%v Job %s of %s", s.now, j.uid, s.groups[g].name)
	if unfinished := s.unfinished(g); unfinished > s.groups[g].max {
		s.violate("maxReplicaCount", "%s has %d unfinished Jobs", s.groups[g].name, unfinished)
	}
	start := j.pod - s.now + s.between(s.register)
	if s.chance(s.failures) {
		s.after(s.between(span{0, start}), func() { j.failed = true; s.end(j) })
		return
	}
	s.after(start, func() { s.online(j) })
}

func (s *simulator) unfinished(g int) int {
	n := 0
	for _, j := range s.jobs {
		if j.group == g && j.unfinished() {
			n++
		}
	}
	return n
}

func (s *simulator) online(j *job) {
	j.online = true
	a := &agent{name: j.agent, skills: s.groups[j.group].skills, job: j}
	s.agents = append(s.agents, a)
	if s.idleTimeout > 0 {
		s.after(s.idleTimeout, func() {
			if !a.busy && j.unfinished() {
				j.idledOut = !j.reserved
				s.end(j)
			}
		})
	}
	s.after(s.between(s.dispatch), s.assign)
}

// drain lets the Job of a finished request end: its agent leaves the pool at
// once, the Job is complete some time later.
func (s *simulator) drain(j *job) {
	s.offline(j)
	s.after(s.between(s.drains), func() { s.end(j) })
}

// kill ends a Job in the middle of its request, which stays in the list until
// the agent's lock on it lapses.
func (s *simulator) kill(r *request, j *job) {
	if !r.here {
		return
	}
	s.end(j)
	s.after(s.between(s.lapse), func() { s.leave(r) })
}

func (s *simulator) end(j *job) {
	if j.unfinished() {
		s.trace("%v Job %s ends", s.now, j.uid)
		j.ended = s.now
	}
	s.offline(j)
}

func (s *simulator) offline(j *job) {
	s.agents = slices.DeleteFunc(s.agents, func(a *agent) bool { return a.job == j })
}

// jobsAt are the Jobs as they were then, as Kubernetes tells of them.
func (s *simulator) jobsAt(then time.Duration) []plan.Job {
	const kept = time.Minute // the Job's time to live after its end
	var jobs []plan.Job
	for _, j := range s.jobs {
		if j.created > then || j.ended < then-kept {
			continue
		}
		view := plan.Job{UID: j.uid, Group: s.groups[j.group].key(), Created: at(j.created).Truncate(time.Second)}
		if j.pod <= then {
			view.Agents = []string{j.agent}
		}
		if j.ended <= then {
			view.Ended = at(j.ended).Truncate(time.Second)
		}
		jobs = append(jobs, view)
	}
	return jobs
}

// group is a ScaledJob of the scenario.
type group struct {
	name     string
	skills   skills
	priority int
	minIdle  int
	min, max int
	poll     time.Duration
	phase    time.Duration // of its first poll
	blocked  span          // when it gets no new Jobs
}

func (g *group) key() plan.Key { return plan.Key{Namespace: "ado", Name: g.name} }

// planGroups are the groups as the planner knows them now.
func (s *simulator) planGroups() []plan.Group {
	groups := make([]plan.Group, len(s.groups))
	for i := range s.groups {
		g := &s.groups[i]
		groups[i] = plan.Group{
			Key: g.key(), Priority: g.priority, Capabilities: len(g.skills.demands()),
			MinIdle: g.minIdle, MinReplicas: g.min, MaxReplicas: g.max,
			Serves: func(r *adoqueue.JobRequest) bool { return g.skills.meet(skillsOf(r)) },
		}
		if g.blocked.min <= s.now && s.now < g.blocked.max {
			groups[i].Blocked = "is held back: its Jobs fail"
		}
	}
	return groups
}

// skillsOf reads demands back.
func skillsOf(r *adoqueue.JobRequest) (s skills) {
	for _, d := range r.Demands {
		s |= 1 << (d.Name[0] - 'a')
	}
	return s
}

func (s *simulator) groupsOf(r *request) []int {
	var groups []int
	for g := range s.groups {
		if s.groups[g].skills.meet(r.demands) {
			groups = append(groups, g)
		}
	}
	return groups
}

func (s *simulator) servedByAny(r *request) bool { return len(s.groupsOf(r)) > 0 }
