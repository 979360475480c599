package engine

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"math"
	"slices"
	"time"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/fleet"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/plan"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/trigger"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/warm"
)

const (
	// defaultStartup is how long an agent is assumed to take to start at least, before
	// enough of them were observed; minStartup and maxStartup bound what is believed.
	defaultStartup = time.Minute
	minStartup     = 10 * time.Second
	maxStartup     = 10 * time.Minute
	enoughStartups = 5
	// keptStartups is how many of a ScaledJob's last start-ups are remembered.
	keptStartups = 20
	// maxAhead bounds how far a schedule is read ahead, whatever the polling interval.
	maxAhead = 24 * time.Hour
	// startedFor is how long a request has to have waited for its agent to show how
	// long that took to start. An idle agent gets a request sooner.
	startedFor = 3 * time.Second
)

// startups are how long the last agents of a ScaledJob took to start.
type startups struct{ last []time.Duration }

func (s *startups) add(took time.Duration) {
	s.last = append(s.last, took)
	if len(s.last) > keptStartups {
		s.last = s.last[1:]
	}
}

// expected returns their 95th percentile.
func (s *startups) expected() time.Duration {
	if s == nil || len(s.last) == 0 {
		return defaultStartup
	}
	least := minStartup
	if len(s.last) < enoughStartups {
		least = defaultStartup
	}
	sorted := slices.Sorted(slices.Values(s.last))
	rank := int(math.Ceil(0.95 * float64(len(sorted))))
	return min(max(sorted[rank-1], least), maxStartup)
}

// checkWarm returns what a trigger's idle agents may not do as its author wants.
func checkWarm(t *trigger.Trigger, endsIdle bool) (warnings []string) {
	if t.Warm != nil {
		for _, warning := range t.Warm.Warnings() {
			warnings = append(warnings, "warm: "+warning)
		}
	}
	if t.WarmMaxAge > 0 && !endsIdle {
		warnings = append(warnings, "warmMaxAge has no effect, since the scaler ends no idle agents; set END_IDLE")
	}
	return warnings
}

// observeStartups takes in how long agents took to start that hold a request for
// the first time: those for which a request has waited.
func (p *pool) observeStartups(snapshot *adoqueue.Snapshot, jobs []plan.Job) {
	awaited := map[string]*adoqueue.JobRequest{} // by agent
	for i := range snapshot.Requests {
		r := snapshot.Requests[i]
		if r.Agent != "" && !r.QueueTime.IsZero() && r.AssignTime.Sub(r.QueueTime) >= startedFor {
			awaited[r.Agent] = r
		}
	}
	if len(awaited) == 0 {
		return
	}
	for i := range jobs {
		job := &jobs[i]
		if p.history.Held(job.UID) {
			continue
		}
		for _, agent := range job.Agents {
			r := awaited[agent]
			if r == nil {
				continue
			}
			// A Job that is much older had an idle agent when the request came.
			if took := r.AssignTime.Sub(job.Created); took <= 2*r.AssignTime.Sub(r.QueueTime) {
				p.startupsOf(job.Group).add(took)
			}
		}
	}
}

func (p *pool) startupsOf(key plan.Key) *startups {
	if p.startups == nil {
		p.startups = map[plan.Key]*startups{}
	}
	if p.startups[key] == nil {
		p.startups[key] = &startups{}
	}
	return p.startups[key]
}

// ahead is how long before it has to be there an agent is asked for: until KEDA
// asks, and until it has started.
func (p *pool) ahead(m *member) time.Duration {
	return min(p.startups[m.group.Key].expected()+m.scaledJob.PollingInterval, maxAhead)
}

// keepWarm sets how many idle Jobs a group keeps.
func (e *Engine) keepWarm(p *pool, d *Decision, m *member, g *plan.Group) {
	if !keepsIdle(m.trigger) {
		return
	}
	settings := idleSettings(m.trigger, p.ahead(m))
	demand, until := settings.At(d.MadeAt)
	g.Idle = demand.Agents
	if !until.IsZero() {
		d.expire(until)
	}
}

// nodesAhead is how long before a period begins its nodes are requested: one takes
// some minutes, and pulls the image of the agents then.
const nodesAhead = 10 * time.Minute

// answerScheduled answers for what is scaled by the schedule alone. It works while
// Azure DevOps does not.
func answerScheduled(t *trigger.Trigger) Answer {
	settings := idleSettings(t, nodesAhead)
	demand, _ := settings.At(time.Now())
	a := Answer{Pool: t.Pool.Name, Asked: t.Count.Name, Used: t.Count.Name, Value: int64(demand.Agents(0))}
	a.Active = a.Value > t.Activation
	return a
}

// keepsIdle reports whether agents are ever to wait for jobs to come. There is no
// trigger if KEDA has not sent its values yet.
func keepsIdle(t *trigger.Trigger) bool { return t != nil && (t.MinIdle > 0 || t.Warm != nil) }

// levelOf returns how many idle agents a trigger keeps at a time.
func levelOf(t *trigger.Trigger, at time.Time) warm.Level {
	settings := idleSettings(t, 0)
	return settings.Level(at)
}

func idleSettings(t *trigger.Trigger, ahead time.Duration) warm.Settings {
	return warm.Settings{MinIdle: t.MinIdle, Schedule: t.Warm, Ahead: ahead}
}

// retire marks the waiting Jobs that end soon, so that others take their places
// before, and returns how many each group has of them. Beyond those that leave by
// themselves, a group has no more of them than it keeps idle: where nobody ends them,
// their replacements are not replaced. The Jobs of the input are those of the members,
// in their order.
func (e *Engine) retire(p *pool, d *Decision, each []memberJobs, in *plan.Input) map[plan.Key]int {
	retired := map[plan.Key]int{}
	next := 0
	for i, m := range p.members {
		jobs := each[i].jobs
		mine := in.Jobs[next : next+len(jobs)]
		next += len(jobs)
		if !keepsIdle(m.trigger) {
			continue
		}
		due, busy := e.due(p, d, m, jobs, mine)
		idle, n := in.Groups[i].Idle(busy), 0
		for _, job := range due {
			if job.leaves || n < idle {
				job.agent.Retired = true
				n++
			}
		}
		retired[m.group.Key] = n
	}
	return retired
}

// dueJob is a waiting Job that is old enough to be replaced.
type dueJob struct {
	agent *plan.Job
	// leaves reports that its agent leaves by itself, by its idle timeout. One that
	// should have left long ago does not.
	leaves bool
}

// due returns the waiting Jobs of a member that are old enough to be replaced, the
// oldest first, and how many of the others are busy.
func (e *Engine) due(p *pool, d *Decision, m *member, jobs []fleet.Job, agents []plan.Job) (due []dueJob, busy int) {
	ahead := p.ahead(m)
	for j := range jobs {
		switch {
		case !jobs[j].Ended.IsZero():
			continue
		case p.history.Held(agents[j].UID):
			busy++
			continue
		}
		switch at := e.retiresAt(m, &jobs[j], &agents[j], ahead); {
		case at.IsZero():
		case d.MadeAt.Before(at):
			d.expire(at)
		default:
			due = append(due, dueJob{&agents[j], leaves(d.MadeAt.Sub(agents[j].Created), jobs[j].IdleTimeout, ahead)})
		}
	}
	slices.SortFunc(due, func(a, b dueJob) int {
		return cmp.Or(a.agent.Created.Compare(b.agent.Created), cmp.Compare(a.agent.UID, b.agent.UID))
	})
	return due, busy
}

// leaves reports whether an agent of an age is about to leave by its idle timeout,
// which begins once it has started.
func leaves(age, timeout, ahead time.Duration) bool {
	return timeout > 0 && age >= timeout-ahead-timeout/10 && age < timeout+ahead+time.Minute
}

// retiresAt returns when a Job whose agent has not had a request is to be replaced,
// zero if it waits for as long as it takes. It depends on nothing that is lost with a
// restart.
func (e *Engine) retiresAt(m *member, job *fleet.Job, agent *plan.Job, ahead time.Duration) time.Time {
	life := job.IdleTimeout
	ended := e.options.EndsIdle && job.Launcher && agent.UID == job.UID // see idleJobs
	if most := m.trigger.WarmMaxAge; most > 0 && ended && (life == 0 || most < life) {
		life = most
	}
	if life == 0 {
		return time.Time{}
	}
	// Agents that were created together are replaced one after another.
	spread := time.Duration(float64(life) / 10 * fraction(agent.UID))
	return agent.Created.Add(max(life/2, life-ahead-spread))
}

// fraction returns a number from 0 to 1 that is the same for a text each time.
func fraction(text string) float64 {
	hash := sha256.Sum256([]byte(text)) // similar texts are far apart
	return float64(binary.BigEndian.Uint32(hash[:])) / math.MaxUint32
}
