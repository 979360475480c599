package plan

// matching assigns requests to slots. Requests that the same groups can serve are
// a class, and the Jobs of a group are a slot, so that its size is that of the
// groups and not of the queue. Slot g holds the waiting Jobs of group g, slot
// n+g the Jobs that can be made for it, where n is the number of groups. Further
// slots hold what other shards owe.
//
// A request once placed never loses its place, it only moves: so those placed
// first are served first, and as many are served as can be.
type matching struct {
	groups   int
	slots    []slot
	classes  []class
	phase    phaseOfMatching
	search   int // counts searches, to distinguish their marks
	frontier []int
}

// phaseOfMatching is which slots are in use: those of this phase and of earlier ones.
type phaseOfMatching int

const (
	waitingJobs phaseOfMatching = iota
	owedJobs
	newJobs
	phasesOfMatching
)

// slot holds so many requests, of so many classes.
type slot struct {
	size, used int
	holds      []position // one for each class that is in it
	// closed is true once no free slot can be reached from it: this holds
	// until more slots are opened.
	closed bool

	// Of the last search that came here: the class that would move into it.
	reached int
	into    position
}

func (s *slot) free() int { return s.size - s.used }

// class is a set of requests that the same groups can serve.
type class struct {
	groups []int // that new Jobs can be made for, the most preferred first
	slots  []int // by phase, the most preferred first
	usable [phasesOfMatching]int
	placed []int // how many of it are in each of these slots
	full   int   // so many slots at the beginning have no room

	// Of the last search that came here: the slot that the class would move out of.
	reached int
	outOf   int
}

// position is a slot of a class, by its index in the class.
type position struct{ class, slot int }

// addClass adds a class: waiting Jobs of all groups that are able to run its
// requests may take them, new Jobs are made only for groups that have a share in
// them, and the slots in owed may stand in.
func (m *matching) addClass(able, owed, share []int) int {
	c := class{groups: share, slots: make([]int, 0, len(able)+len(owed)+len(share))}
	c.slots = append(c.slots, able...)
	c.usable[waitingJobs] = len(c.slots)
	c.slots = append(c.slots, owed...)
	c.usable[owedJobs] = len(c.slots)
	for _, g := range share {
		c.slots = append(c.slots, m.groups+g)
	}
	c.usable[newJobs] = len(c.slots)
	c.placed = make([]int, len(c.slots))
	m.classes = append(m.classes, c)
	return len(m.classes) - 1
}

// open lets requests be placed in the slots of one more phase.
func (m *matching) open(phase phaseOfMatching) {
	m.phase = phase
	for s := range m.slots {
		m.slots[s].closed = false
	}
}

// place finds room for one more request of the class, moving others if need be,
// and reports whether there is any.
func (m *matching) place(c int) bool {
	of := &m.classes[c]
	for ; of.full < of.usable[m.phase]; of.full++ {
		if m.slots[of.slots[of.full]].free() > 0 {
			m.put(position{c, of.full})
			return true
		}
	}
	return m.rearrange(c)
}

func (m *matching) put(p position) {
	of := &m.classes[p.class]
	s := &m.slots[of.slots[p.slot]]
	if of.placed[p.slot] == 0 {
		s.holds = append(s.holds, p)
	}
	of.placed[p.slot]++
	s.used++
}

func (m *matching) take(p position) {
	of := &m.classes[p.class]
	s := &m.slots[of.slots[p.slot]]
	s.used--
	of.placed[p.slot]--
	if of.placed[p.slot] > 0 {
		return
	}
	for i := range s.holds {
		if s.holds[i] == p {
			s.holds = append(s.holds[:i], s.holds[i+1:]...)
			return
		}
	}
}

// rearrange searches the shortest row of moves at whose end a slot has room: a
// request of this class moves into a slot, one of the classes in there into
// another, and so on.
func (m *matching) rearrange(c int) bool {
	m.search++
	m.frontier = m.reach(c, m.frontier[:0])
	for next := 0; next < len(m.frontier); next++ {
		s := m.frontier[next]
		if m.slots[s].free() > 0 {
			m.move(c, s)
			return true
		}
		for _, held := range m.slots[s].holds {
			other := &m.classes[held.class]
			if held.class != c && other.reached != m.search {
				other.reached, other.outOf = m.search, held.slot
				m.frontier = m.reach(held.class, m.frontier)
			}
		}
	}
	for _, s := range m.frontier {
		m.slots[s].closed = true
	}
	return false
}

// reach appends the slots that the search has not come to yet and a request of
// the class could move into.
func (m *matching) reach(c int, frontier []int) []int {
	of := &m.classes[c]
	for i, s := range of.slots[:of.usable[m.phase]] {
		if slot := &m.slots[s]; slot.reached != m.search && !slot.closed {
			slot.reached, slot.into = m.search, position{c, i}
			frontier = append(frontier, s)
		}
	}
	return frontier
}

// move makes the moves that the search found, from the last to the first.
func (m *matching) move(c, s int) {
	for {
		mover := m.slots[s].into
		m.put(mover)
		if mover.class == c {
			return
		}
		from := position{mover.class, m.classes[mover.class].outOf}
		s = m.classes[from.class].slots[from.slot]
		m.take(from)
	}
}
