package plan

import (
	"iter"
	"slices"
)

// matching gives requests to slots. Requests that the same groups can serve are
// a class, and the Jobs of a group are a slot, so that its size is that of the
// groups and not of the queue. Slot g holds the waiting Jobs of group g, slot
// n+g the Jobs that can be made for it, where n is the number of groups.
//
// A request once placed never loses its place, it only moves: so those placed
// first are served first, and as many are served as can be.
type matching struct {
	slots   []slot
	classes []class
	opened  int // slots from here on are not used yet

	// Of one search: the class that would move into each slot, and the slot
	// that each class would move out of.
	into, outOf []int
	frontier    []int
}

// slot holds so many requests, of so many classes.
type slot struct {
	size, used int
	classes    []int // that are in it
	// closed is true once no free slot can be reached from it: this holds
	// until more slots are opened.
	closed bool
}

func (s *slot) free() int { return s.size - s.used }

// class is a set of requests that the same groups can serve.
type class struct {
	groups []int // the most preferred first
	placed []int // how many of it are in each slot
}

const none = -1

// addClass adds a class that these groups can serve.
func (m *matching) addClass(groups []int) int {
	m.classes = append(m.classes, class{groups: groups, placed: make([]int, len(m.slots))})
	return len(m.classes) - 1
}

// open allows the slots before this one.
func (m *matching) open(slots int) {
	m.opened = slots
	for s := range m.slots {
		m.slots[s].closed = false
	}
}

// place finds room for one more request of the class, moving others if need be.
func (m *matching) place(c int) bool {
	for s := range m.slotsOf(c) {
		if m.slots[s].free() > 0 {
			m.put(c, s)
			return true
		}
	}
	return m.rearrange(c)
}

// slotsOf are the slots that a class can use, the preferred first: waiting Jobs
// before new ones.
func (m *matching) slotsOf(c int) iter.Seq[int] {
	return func(yield func(int) bool) {
		for first := 0; first < m.opened; first += len(m.slots) / 2 {
			for _, g := range m.classes[c].groups {
				if !yield(first + g) {
					return
				}
			}
		}
	}
}

func (m *matching) put(c, s int) {
	if m.classes[c].placed[s] == 0 {
		m.slots[s].classes = append(m.slots[s].classes, c)
	}
	m.classes[c].placed[s]++
	m.slots[s].used++
}

func (m *matching) take(c, s int) {
	m.slots[s].used--
	m.classes[c].placed[s]--
	if m.classes[c].placed[s] == 0 {
		m.slots[s].classes = slices.DeleteFunc(m.slots[s].classes, func(other int) bool { return other == c })
	}
}

// rearrange searches the shortest row of moves at whose end a slot has room: a
// request of this class moves into a slot, one of the classes in there into
// another, and so on.
func (m *matching) rearrange(c int) bool {
	m.into = fill(m.into, len(m.slots))
	m.outOf = fill(m.outOf, len(m.classes))
	m.frontier = m.reach(c, m.frontier[:0])
	for next := 0; next < len(m.frontier); next++ {
		s := m.frontier[next]
		if m.slots[s].free() > 0 {
			m.move(c, s)
			return true
		}
		for _, other := range m.slots[s].classes {
			if other != c && m.outOf[other] == none {
				m.outOf[other] = s
				m.frontier = m.reach(other, m.frontier)
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
	for s := range m.slotsOf(c) {
		if m.into[s] == none && !m.slots[s].closed {
			m.into[s] = c
			frontier = append(frontier, s)
		}
	}
	return frontier
}

// move makes the moves that the search found, from the last to the first.
func (m *matching) move(c, s int) {
	for {
		mover := m.into[s]
		m.put(mover, s)
		if mover == c {
			return
		}
		s = m.outOf[mover]
		m.take(mover, s)
	}
}

// fill gives n times none.
func fill(list []int, n int) []int {
	list = list[:0]
	for range n {
		list = append(list, none)
	}
	return list
}
