// Package warm decides how many agents of a ScaledJob wait for jobs that are yet
// to come: a fixed number, or by a schedule of periods of the week.
//
// The package is pure: it knows no clock, no network and no Kubernetes.
package warm

import (
	"cmp"
	"slices"
	"time"
	_ "time/tzdata" // the image of the scaler holds no time zones
)

// Level is how many agents wait for jobs.
type Level struct {
	// Idle is how many wait besides those that run jobs.
	Idle int
	// Share raises Idle by so many percent of the agents that run jobs, rounded up.
	Share int
	// Max bounds Idle and Share together; 0 means no bound.
	Max int
}

// Agents returns how many agents wait while so many run jobs.
func (l Level) Agents(busy int) int {
	n := l.Idle + int((int64(l.Share)*int64(busy)+99)/100)
	if l.Max > 0 {
		n = min(n, l.Max)
	}
	return n
}

// Period is a part of the week with its level.
type Period struct {
	Days Days
	// From and To are what the wall clock shows, in minutes since midnight. A period
	// whose To is not after From ends on the next day.
	From, To int
	Level    Level
}

// Days is a set of weekdays.
type Days uint8

// minutes of a day and of a week.
const (
	day  = 24 * 60
	week = 7 * day
)

// everyDay is all of the week.
const everyDay Days = 1<<7 - 1

// has reports whether a day, 0 being Monday, is in the set.
func (d Days) has(day int) bool { return d&(1<<day) != 0 }

// interval is a part of the week in minutes since Monday 00:00; its end may be in
// the next week.
type interval struct{ start, end int }

// intervals returns the parts of the week that the period takes.
func (p *Period) intervals() []interval {
	length := p.To - p.From
	if length <= 0 {
		length += day
	}
	var parts []interval
	for d := range 7 {
		if p.Days.has(d) {
			start := d*day + p.From
			parts = append(parts, interval{start, start + length})
		}
	}
	return parts
}

// has reports whether the period covers a minute of the week.
func (p *Period) has(minute int) bool {
	today, minute := minute/day, minute%day
	if p.From < p.To {
		return p.Days.has(today) && p.From <= minute && minute < p.To
	}
	yesterday := (today + 6) % 7
	return p.Days.has(today) && p.From <= minute || p.Days.has(yesterday) && minute < p.To
}

// Schedule is a list of periods by the wall clock of a time zone. Where several
// cover a moment, the last one counts. It is never changed once parsed.
type Schedule struct {
	periods []Period
	zone    *time.Location
	spans   []span // of the week, by their starts
}

// span is a part of the week, up to the start of the next one.
type span struct {
	start int // in minutes since Monday 00:00
	rule  rule
}

// rule is the level of the period that counts, if there is one.
type rule struct {
	level     Level
	scheduled bool
}

func newSchedule(periods []Period, zone *time.Location) *Schedule {
	s := &Schedule{periods: periods, zone: zone}
	var starts []int
	for i := range periods {
		for _, part := range periods[i].intervals() {
			starts = append(starts, part.start%week, part.end%week)
		}
	}
	slices.Sort(starts)
	for _, start := range slices.Compact(starts) {
		r := s.ruleOf(start)
		if len(s.spans) == 0 || s.spans[len(s.spans)-1].rule != r {
			s.spans = append(s.spans, span{start, r})
		}
	}
	if n := len(s.spans); n > 1 && s.spans[0].rule == s.spans[n-1].rule {
		s.spans = s.spans[1:] // the last one goes on over the end of the week
	}
	return s
}

// ruleOf returns what counts in a minute of the week.
func (s *Schedule) ruleOf(minute int) rule {
	for i := range slices.Backward(s.periods) {
		if s.periods[i].has(minute) {
			return rule{s.periods[i].Level, true}
		}
	}
	return rule{}
}

// At returns the level at a time; ok is false if no period covers it. The wall
// clock alone decides: an hour that it shows twice counts twice, and one that it
// skips does not exist.
func (s *Schedule) At(t time.Time) (level Level, ok bool) {
	r := s.rule(t)
	return r.level, r.scheduled
}

func (s *Schedule) rule(t time.Time) rule {
	minute := int(sinceMonday(t.In(s.zone)) / time.Minute)
	i, found := slices.BinarySearchFunc(s.spans, minute, func(s span, minute int) int { return cmp.Compare(s.start, minute) })
	if !found {
		i--
	}
	if i < 0 {
		i = len(s.spans) - 1
	}
	return s.spans[i].rule
}

// Next returns when the level changes next, zero if it never does.
func (s *Schedule) Next(t time.Time) time.Time {
	if len(s.spans) == 1 {
		return time.Time{}
	}
	for now := s.rule(t); ; {
		t = s.nextStart(t)
		if s.rule(t) != now {
			return t
		}
	}
}

// nextStart returns when the next span begins, or the zone's offset changes if
// that is before.
func (s *Schedule) nextStart(t time.Time) time.Time {
	local := t.In(s.zone)
	since := sinceMonday(local)
	wait := time.Duration(s.spans[0].start+week)*time.Minute - since
	for _, span := range s.spans {
		if until := time.Duration(span.start)*time.Minute - since; until > 0 {
			wait = until
			break
		}
	}
	next := t.Add(wait)
	if _, end := local.ZoneBounds(); !end.IsZero() && end.Before(next) {
		return end
	}
	return next
}

// sinceMonday returns what a wall clock shows, as the time since Monday 00:00.
func sinceMonday(local time.Time) time.Duration {
	hour, minute, second := local.Clock()
	return time.Duration((int(local.Weekday())+6)%7)*24*time.Hour + time.Duration(hour)*time.Hour +
		time.Duration(minute)*time.Minute + time.Duration(second)*time.Second + time.Duration(local.Nanosecond())
}

// Zone returns the name of the schedule's time zone.
func (s *Schedule) Zone() string { return s.zone.String() }
