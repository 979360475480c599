package plan

import (
	"cmp"
	"math"
	"slices"
	"time"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue"
)

// board is where requests, groups and Jobs meet.
type board struct {
	in     *Input
	groups []standing       // the most preferred first
	owners map[string]owner // by name of the agent
	queued []int            // indexes of the queued requests, the first to be served first

	matching matching
	class    []int // of each request, -1 if it is not queued
	spent    bool  // requests are left over since the organization can start no more
}

// standing is a group and the Jobs it has.
type standing struct {
	*Group
	GroupPlan
	supply []*Job // may take a queued request, or have taken it unseen
}

// owner is the Job of an agent and the group of that Job.
type owner struct {
	group int
	job   *Job
}

func newBoard(in *Input) *board {
	b := &board{in: in, groups: make([]standing, len(in.Groups)), owners: make(map[string]owner, len(in.Jobs))}
	for i := range in.Groups {
		b.groups[i].Group = &in.Groups[i]
	}
	slices.SortFunc(b.groups, func(x, y standing) int {
		return cmp.Or(
			-cmp.Compare(x.Priority, y.Priority), cmp.Compare(x.Capabilities, y.Capabilities),
			cmp.Compare(x.Namespace, y.Namespace), cmp.Compare(x.Name, y.Name),
		)
	})
	b.addJobs()
	for i := range in.Snapshot.Requests {
		if in.Snapshot.Requests[i].State == adoqueue.Queued {
			b.queued = append(b.queued, i)
		}
	}
	slices.SortStableFunc(b.queued, func(x, y int) int {
		return -cmp.Compare(in.Snapshot.Requests[x].Priority, in.Snapshot.Requests[y].Priority)
	})
	return b
}

func (b *board) addJobs() {
	index := make(map[Key]int, len(b.groups))
	for g := range b.groups {
		index[b.groups[g].Key] = g
	}
	holders := holdersOf(b.in.Snapshot)
	for i := range b.in.Jobs {
		job := &b.in.Jobs[i]
		g, ok := index[job.Group]
		if !ok {
			continue
		}
		for _, agent := range job.Agents {
			b.owners[agent] = owner{group: g, job: job}
		}
		b.groups[g].add(job, b.phase(job, holders))
	}
	for g := range b.groups {
		slices.SortFunc(b.groups[g].supply, func(x, y *Job) int {
			return cmp.Or(x.Created.Compare(y.Created), cmp.Compare(x.UID, y.UID))
		})
	}
}

// phase is how far a Job has come.
type phase int

const (
	waiting  phase = iota // has never held a request
	busy                  // holds one in the snapshot
	draining              // held one, and has not ended yet
	ended                 // ended since the snapshot, without having been seen with a request
	gone                  // ended, and of no use
)

func (b *board) phase(job *Job, holders holders) phase {
	holds := holders.has(job)
	held := holds || b.in.Held != nil && b.in.Held(job.UID)
	switch {
	case !job.Ended.IsZero() && (held || !aliveAt(b.in.Snapshot.RequestedAt, job)):
		return gone
	case !job.Ended.IsZero():
		return ended
	case holds:
		return busy
	case held:
		return draining
	default:
		return waiting
	}
}

// aliveAt tells whether a Job that ended may have been alive then or later. Its
// end is somewhere in the second that Kubernetes gives.
func aliveAt(at time.Time, job *Job) bool {
	return job.Ended.Add(time.Second).After(at)
}

func (s *standing) add(job *Job, p phase) {
	switch p {
	case waiting:
		s.Waiting++
		s.supply = append(s.supply, job)
	case busy:
		s.Busy++
	case draining:
		s.Draining++
	case ended:
		s.Ended++
		s.supply = append(s.supply, job)
	case gone:
	}
	s.Unfinished = s.Waiting + s.Busy + s.Draining
}

// room is how many Jobs more the group may have.
func (s *standing) room() int {
	if s.Blocked != "" {
		return 0
	}
	return max(0, s.MaxReplicas-s.Unfinished)
}

// match gives every queued request to a waiting Job, to a Job to be made, or to
// nobody.
//
// Azure DevOps gives a request to any agent that can run it, whichever group we
// have in mind. So the waiting Jobs of all groups are used up as well as they
// can be before new ones are made, and an idle Job that a group wants to keep is
// one more request that only this group can serve.
func (b *board) match() {
	n := len(b.groups)
	b.matching.slots = make([]slot, 2*n)
	for g := range b.groups {
		b.matching.slots[g].size = len(b.groups[g].supply)
		b.matching.slots[n+g].size = b.groups[g].room()
	}
	b.classify()
	left := b.useWaiting()
	lacking := b.keepIdle()
	b.makeNew(left, lacking)
}

// useWaiting matches requests with waiting Jobs and gives those left over.
func (b *board) useWaiting() (left []int) {
	b.matching.open(len(b.groups))
	for _, r := range b.queued {
		if !b.matching.place(b.class[r]) {
			left = append(left, r)
		}
	}
	return left
}

// keepIdle sets waiting Jobs aside for each group's MinIdle and gives how many
// it lacks.
func (b *board) keepIdle() (lacking []int) {
	lacking = make([]int, len(b.groups))
	for g := range b.groups {
		if lacking[g] = max(0, b.groups[g].MinIdle); lacking[g] == 0 {
			continue
		}
		keep := b.matching.addClass([]int{g})
		for lacking[g] > 0 && b.matching.place(keep) {
			lacking[g]--
		}
	}
	return lacking
}

// makeNew finds a group for each request left over, and then adds the idle Jobs
// that are lacking.
func (b *board) makeNew(left, lacking []int) {
	n := len(b.groups)
	b.matching.open(2 * n)
	startable := math.MaxInt32 // by the organization, and not by a waiting Job
	taken := len(b.queued) - len(left)
	if b.in.ParallelJobs != nil {
		startable = max(0, *b.in.ParallelJobs-taken)
	}
	for _, r := range left {
		if startable == 0 {
			b.spent = true
			return
		}
		if b.matching.place(b.class[r]) {
			startable--
		}
	}
	// Jobs that are idle already could not all run either.
	startable += taken
	for g := range b.groups {
		startable -= len(b.groups[g].supply)
	}
	for g, wanted := range lacking {
		extra := max(0, min(wanted, b.matching.slots[n+g].free(), startable))
		b.matching.slots[n+g].used += extra
		startable -= extra
	}
}
