package plan

import (
	"cmp"
	"math"
	"slices"
	"time"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue"
)

// assignment is the state of making one plan: which requests go to which groups.
type assignment struct {
	in      *Input
	matcher *Matcher
	groups  []groupState     // the most preferred first
	owners  map[string]owner // by name of the agent
	queued  []int            // indexes of the queued requests, the first to be served first
	adopted map[int]bool     // those of them that other shards would serve but for a swap

	matching  matching
	class     []int // of each request, -1 if it is not queued
	exhausted bool  // requests are left over since the organization can start no more
}

// groupState is a group and the Jobs it has.
type groupState struct {
	group  *Group
	has    GroupPlan
	supply []*Job // may take a queued request, or have taken it unseen
}

// owner is the Job of an agent and the group of that Job.
type owner struct {
	group int
	job   *Job
}

func newAssignment(in *Input) *assignment {
	a := &assignment{
		in: in, matcher: in.Matcher, groups: make([]groupState, len(in.Groups)), owners: make(map[string]owner, len(in.Jobs)),
	}
	if a.matcher == nil {
		a.matcher = NewMatcher(in.Groups)
	}
	for g, i := range a.matcher.order {
		a.groups[g].group = &in.Groups[i]
	}
	a.addJobs()
	for i := range in.Snapshot.Requests {
		if in.Snapshot.Requests[i].State == adoqueue.Queued {
			a.queued = append(a.queued, i)
		}
	}
	if a.matcher.shards != nil {
		a.divide()
	}
	slices.SortStableFunc(a.queued, func(x, y int) int {
		return -cmp.Compare(in.Snapshot.Requests[x].Priority, in.Snapshot.Requests[y].Priority)
	})
	return a
}

func (a *assignment) addJobs() {
	index := make(map[Key]int, len(a.groups))
	for g := range a.groups {
		index[a.groups[g].group.Key] = g
	}
	holders := holdersOf(a.in.Snapshot)
	for i := range a.in.Jobs {
		job := &a.in.Jobs[i]
		g, ok := index[job.Group]
		if !ok {
			continue
		}
		for _, agent := range job.Agents {
			a.owners[agent] = owner{group: g, job: job}
		}
		a.groups[g].add(job, a.phase(job, holders))
	}
	for g := range a.groups {
		slices.SortFunc(a.groups[g].supply, func(x, y *Job) int {
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
	gone                  // ended, and useless
)

func (a *assignment) phase(job *Job, holders holders) phase {
	holds := holders.has(job)
	held := holds || a.in.Held != nil && a.in.Held(job.UID)
	switch {
	case !job.Ended.IsZero() && (held || !aliveAt(a.in.Snapshot.RequestedAt, job)):
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

// aliveAt reports whether a Job that ended may have been alive then or later. Its
// end is somewhere in the second that Kubernetes shows.
func aliveAt(at time.Time, job *Job) bool {
	return job.Ended.Add(time.Second).After(at)
}

func (s *groupState) add(job *Job, p phase) {
	switch p {
	case waiting:
		s.has.Waiting++
		s.supply = append(s.supply, job)
	case busy:
		s.has.Busy++
	case draining:
		s.has.Draining++
	case ended:
		s.has.Ended++
		s.supply = append(s.supply, job)
	case gone:
	}
	s.has.Unfinished = s.has.Waiting + s.has.Busy + s.has.Draining
}

// idle is how many waiting Jobs the group keeps beyond those that have a request
// to take.
func (s *groupState) idle() int {
	if s.group.Idle != nil {
		return max(0, s.group.Idle(s.has.Busy))
	}
	return max(0, s.group.MinIdle)
}

// keepable is how many Jobs can be among those.
func (s *groupState) keepable() int {
	n := 0
	for _, job := range s.supply {
		if !job.Retired {
			n++
		}
	}
	return n
}

// room is how many Jobs more the group may have.
func (s *groupState) room() int {
	if s.group.Blocked != "" {
		return 0
	}
	return max(0, s.group.MaxReplicas-s.has.Unfinished)
}

// match assigns every queued request to a waiting Job, to a Job to be made, or to
// nobody.
//
// Azure DevOps assigns a request to any agent that can run it, whichever group we
// have in mind. So the waiting Jobs of all groups are used up as well as they
// can be before new ones are made, and an idle Job that a group wants to keep is
// one more request that only this group can serve.
func (a *assignment) match() {
	n := len(a.groups)
	a.matching.groups, a.matching.slots = n, make([]slot, 2*n)
	for g := range a.groups {
		a.matching.slots[g].size = len(a.groups[g].supply)
		a.matching.slots[n+g].size = a.groups[g].room()
	}
	a.classify()
	left := a.place(a.queued)
	lacking := a.keepIdle()
	taken := len(a.queued) - len(left)
	a.matching.open(owedJobs)
	left = a.place(left)
	a.makeNew(left, lacking, taken)
}

// classify finds the class of each queued request.
func (a *assignment) classify() {
	a.class = make([]int, len(a.in.Snapshot.Requests))
	for i := range a.class {
		a.class[i] = none
	}
	type key struct {
		able, share *int // by the slices that the Matcher shares
		adopted     bool
	}
	classes := make(map[key]int)
	owed := a.owed()
	for _, i := range a.queued {
		r := a.in.Snapshot.Requests[i]
		able := a.matcher.serving(r)
		share := able
		if !a.adopted[i] {
			share = a.matcher.share(r, able)
		}
		same := key{first(able), first(share), a.adopted[i]}
		c, ok := classes[same]
		if !ok {
			var standIns []int
			if !a.adopted[i] {
				standIns = owed.of(able)
			}
			c = a.matching.addClass(able, standIns, share)
			classes[same] = c
		}
		a.class[i] = c
	}
}

func first(groups []int) *int {
	if len(groups) == 0 {
		return nil
	}
	return &groups[0]
}

// none is the class of a request that needs no Job.
const none = -1

// place finds room for requests in the slots that are in use, and returns those
// left over.
func (a *assignment) place(requests []int) (left []int) {
	for _, r := range requests {
		if !a.matching.place(a.class[r]) {
			left = append(left, r)
		}
	}
	return left
}

// keepIdle sets waiting Jobs aside for each group's MinIdle and returns how many
// it lacks.
func (a *assignment) keepIdle() (lacking []int) {
	lacking = make([]int, len(a.groups))
	for g := range a.groups {
		if lacking[g] = a.groups[g].idle(); lacking[g] == 0 {
			continue
		}
		keep := a.matching.addClass([]int{g}, nil, []int{g})
		for range min(lacking[g], a.groups[g].keepable()) {
			if !a.matching.place(keep) {
				break
			}
			lacking[g]--
		}
	}
	return lacking
}

// makeNew finds a group for each request left over, and then adds the idle Jobs
// that are lacking. Waiting Jobs have taken so many requests.
func (a *assignment) makeNew(left, lacking []int, taken int) {
	n := len(a.groups)
	a.matching.open(newJobs)
	startable := math.MaxInt32 // by the organization, and not by a waiting Job
	if a.in.ParallelJobs != nil {
		startable = max(0, *a.in.ParallelJobs-taken)
	}
	for _, r := range left {
		if startable == 0 {
			a.exhausted = true
			return
		}
		if a.matching.place(a.class[r]) {
			startable--
		}
	}
	// Jobs that are idle already could not all run either.
	startable += taken
	for g := range a.groups {
		startable -= a.groups[g].keepable()
	}
	for g, wanted := range lacking {
		extra := max(0, min(wanted, a.matching.slots[n+g].free(), startable))
		a.matching.slots[n+g].used += extra
		startable -= extra
	}
}
