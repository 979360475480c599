package warm

import (
	"fmt"
	"slices"
)

// maxWarnings bounds the warnings: one mistake in a long schedule makes many.
const maxWarnings = 5

// Warnings returns effects of the periods' order that may be unintended.
// A period inside an earlier one is an exception from it. One that nothing is left
// of has no effect, and of two that overlap in part it is unclear which is the
// exception.
func (s *Schedule) Warnings() []string {
	var warnings []string
	for i := range s.periods {
		p := &s.periods[i]
		if hidden(p, s.periods[i+1:]) {
			warnings = append(warnings, fmt.Sprintf("period %q has no effect: later periods cover all of it", p))
			continue
		}
		for j := range s.periods[i+1:] {
			later := &s.periods[i+1+j]
			minute, some := common(p, later)
			if some && p.Level != later.Level && !hidden(later, s.periods[i:i+1]) && !hidden(p, s.periods[i+1+j:i+2+j]) {
				warnings = append(warnings, fmt.Sprintf("periods %q and %q overlap, from %s %02d:%02d on; the later one counts",
					p, later, dayNames[minute/day], minute%day/60, minute%60))
			}
		}
	}
	return warnings[:min(len(warnings), maxWarnings)]
}

// hidden reports whether others cover all of a period.
func hidden(p *Period, others []Period) bool {
	var parts []interval
	for i := range others {
		for _, part := range others[i].intervals() {
			parts = append(parts, part, interval{part.start - week, part.end - week}, interval{part.start + week, part.end + week})
		}
	}
	slices.SortFunc(parts, func(a, b interval) int { return a.start - b.start })
	for _, part := range p.intervals() {
		covered := part.start
		for _, other := range parts {
			if other.start <= covered {
				covered = max(covered, other.end)
			}
		}
		if covered < part.end {
			return false
		}
	}
	return true
}

// common returns the first minute of the week that two periods share.
func common(a, b *Period) (minute int, some bool) {
	first := week
	for _, x := range a.intervals() {
		for _, y := range b.intervals() {
			for _, shift := range []int{-week, 0, week} {
				start, end := max(x.start, y.start+shift), min(x.end, y.end+shift)
				if start < end {
					first = min(first, start%week)
				}
			}
		}
	}
	return first, first < week
}
