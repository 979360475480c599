package housekeeping

import (
	"slices"
	"strings"
	"time"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/fleet"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/plan"
)

const (
	// readAgain is how long it is believed that nobody changed a placeholder.
	readAgain = time.Hour
	// formerFor is how long a ScaledJob that is gone still has agents that may
	// turn out to be left: those of a killed pod stay online for minutes.
	formerFor = 10 * time.Minute
	// maxReads bounds how many agents of unknown origin one look reads.
	maxReads = 20
)

// memory is what is kept of a pool from one look to the next. Without it, the
// marks in the pool say the same a little later.
type memory struct {
	agents map[int]*record
	// recent are the ScaledJobs that serve the pool or did so of late, with the
	// time until which what they left is ours.
	recent map[plan.Key]time.Time
}

// record is what is known of an agent that was read, or is of a Job of ours.
type record struct {
	identity identity
	marked   bool       // own: as left
	of       []plan.Key // the ScaledJobs that it was for
	user     map[string]string
	readAt   time.Time
	// since is when it was first seen to be of no more use: a placeholder
	// without a ScaledJob, or offline.
	since time.Time
}

func newMemory() *memory {
	return &memory{agents: map[int]*record{}, recent: map[plan.Key]time.Time{}}
}

// empty tells whether there is nothing of ours in the pool.
func (m *memory) empty() bool {
	for _, r := range m.agents {
		if r.identity != foreign {
			return false
		}
	}
	return len(m.recent) == 0
}

// look is what a look at a pool finds.
type look struct {
	*memory
	settings Settings
	owner    string
	now      time.Time
	members  []Member
	// keep is why no placeholder may go now, though nobody wants it: that the
	// members of the pool are not all known.
	keep   bool
	jobs   map[string]*jobs // by what the names of their agents begin with
	listed []adoqueue.Agent
}

// jobs are Jobs whose agents have names with a common beginning.
type jobs struct {
	by         plan.Key
	unfinished bool
}

// begin takes in the Jobs. They have to be older than the list of agents: who is
// listed after his Job has ended was left.
func (l *look) begin(all []fleet.Job) {
	for key, until := range l.recent {
		if !l.now.Before(until) {
			delete(l.recent, key)
		}
	}
	for _, m := range l.members {
		l.recent[m.Key] = l.now.Add(formerFor)
	}
	l.jobs = map[string]*jobs{}
	for i := range all {
		job := &all[i]
		key := plan.Key{Namespace: job.Namespace, Name: job.ScaledJob}
		// Of a name that Kubernetes had to cut, the part that is unique to the
		// Job is gone.
		if _, member := l.recent[key]; !member || !isGenerated(job.Name) || job.PodPrefix() != job.Name+"-" {
			continue
		}
		same := l.jobs[job.PodPrefix()]
		if same == nil {
			same = &jobs{by: key}
			l.jobs[job.PodPrefix()] = same
		}
		same.unfinished = same.unfinished || job.Ended.IsZero()
	}
}

// list takes in the agents. Those of our Jobs are remembered as long as they are
// registered, for a Job may be gone the next time.
func (l *look) list(agents []adoqueue.Agent) {
	l.listed = agents
	before := l.agents
	l.agents = make(map[int]*record, len(before))
	for i := range agents {
		a := &agents[i]
		known := before[a.ID]
		if job := l.jobOf(a); job != nil && (known == nil || known.identity == foreign) {
			known = &record{identity: own, of: []plan.Key{job.by}}
		}
		if known != nil {
			l.agents[a.ID] = known
		}
	}
}

// jobOf gives the Jobs that the agent can be of, nil if there are none in view.
func (l *look) jobOf(a *adoqueue.Agent) *jobs {
	if !isGenerated(a.Name) {
		return nil
	}
	return l.jobs[fleet.PrefixOfPod(a.Name)]
}

// unread are the agents whose marks have to be read before anything is decided.
func (l *look) unread() (ids []int) {
	strangers := 0
	for i := range l.listed {
		a := &l.listed[i]
		known := l.agents[a.ID]
		switch {
		case isPlaceholderName(a.Name):
			if l.settings.Placeholders && (known == nil || l.now.Sub(known.readAt) >= readAgain) {
				ids = append(ids, a.ID)
			}
		case l.settings.OfflineAgents && known == nil && strangers < maxReads && l.mayBeLeft(a):
			ids = append(ids, a.ID)
			strangers++
		}
	}
	return ids
}

// mayBeLeft tells whether an agent could have been left by a Job that is out of
// view: before a restart, say.
func (l *look) mayBeLeft(a *adoqueue.Agent) bool {
	return !a.Online && a.Request == 0 && isGenerated(a.Name) &&
		l.now.Sub(a.StatusChanged) >= l.settings.Grace
}

// learn takes in an agent that was read.
func (l *look) learn(a *adoqueue.Agent) {
	r := &record{identity: identify(l.owner, a), user: a.User, readAt: l.now}
	if old := l.agents[a.ID]; old != nil {
		r.since, r.of = old.since, old.of
	}
	if r.identity == own {
		r.marked, r.of = true, leftByOf(a.User)
	}
	l.agents[a.ID] = r
}

// drop takes out an agent that was gone when it was to be read.
func (l *look) drop(id int) {
	delete(l.agents, id)
	l.listed = slices.DeleteFunc(l.listed, func(a adoqueue.Agent) bool { return a.ID == id })
}

// settle notes since when agents are of no more use.
func (l *look) settle() {
	wanted := l.wanted()
	for i := range l.listed {
		a := &l.listed[i]
		known := l.agents[a.ID]
		if known == nil {
			continue
		}
		useful := a.Online
		if known.identity == placeholder {
			var w want
			if w, useful = wanted[a.Name]; useful {
				known.of = w.scaledJobs
			}
			useful = useful || l.keep
		}
		switch {
		case useful:
			known.since = time.Time{}
		case known.since.IsZero():
			known.since = l.now
		}
	}
}

// uselessSince is since when an agent can go.
func (l *look) uselessSince(a *adoqueue.Agent, known *record) time.Time {
	if known.identity == own && !a.StatusChanged.IsZero() {
		return a.StatusChanged
	}
	return known.since
}

// safe are the characters of the names that Kubernetes generates, as in
// k8s.io/apimachinery, pkg/util/rand.
const safe = "bcdfghjklmnpqrstvwxz2456789"

// isGenerated tells whether a name is of the form that Kubernetes generates.
func isGenerated(name string) bool {
	const suffix = 5
	dash := len(name) - suffix - 1
	return dash > 0 && name[dash] == '-' && strings.Trim(name[dash+1:], safe) == ""
}
