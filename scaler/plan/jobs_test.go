package plan_test

import (
	"fmt"
	"slices"
	"time"

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

// supply reports whether the Job can take a request, as far as anybody knows.
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

// jobsAt are the Jobs of a scaler's groups as they were then, as Kubernetes reports
// of them.
func (s *simulator) jobsAt(then time.Duration, scaler int) []plan.Job {
	const kept = time.Minute // the Job's time to live after its end
	var jobs []plan.Job
	for _, j := range s.jobs {
		if s.groups[j.group].scaler != scaler || j.created > then || j.ended < then-kept {
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
