package warm

import "time"

// Settings are how many agents of a ScaledJob wait for jobs.
type Settings struct {
	// MinIdle is how many wait where no period of the Schedule says otherwise.
	MinIdle int
	// Schedule may be nil.
	Schedule *Schedule
	// Ahead is how long before a period begins its agents are started.
	Ahead time.Duration
}

// Demand is how many agents are to wait at a moment. The zero value is none.
type Demand struct {
	// levels are those from the moment until Ahead later: an agent that a period
	// wants soon is started, and one that it still wants is kept.
	levels []Level
}

// At returns what is wanted at a moment, and until when that stays so; zero means
// forever.
func (s *Settings) At(now time.Time) (d Demand, until time.Time) {
	if s.Schedule == nil {
		if s.MinIdle == 0 {
			return Demand{}, time.Time{}
		}
		return Demand{levels: []Level{{Idle: s.MinIdle}}}, time.Time{}
	}
	d.levels = append(d.levels, s.Level(now))
	change := s.Schedule.Next(now)
	until = change
	for !change.IsZero() && !change.After(now.Add(s.Ahead)) {
		d.levels = append(d.levels, s.Level(change))
		change = s.Schedule.Next(change)
	}
	if begins := change.Add(-s.Ahead); !change.IsZero() && begins.Before(until) {
		until = begins
	}
	return d, until
}

// Level returns what the period of a moment wants.
func (s *Settings) Level(at time.Time) Level {
	if s.Schedule == nil {
		return Level{Idle: s.MinIdle}
	}
	if level, ok := s.Schedule.At(at); ok {
		return level
	}
	return Level{Idle: s.MinIdle}
}

// LastChange returns when the level changed last between two moments, zero if it did
// not.
func (s *Settings) LastChange(since, now time.Time) (last time.Time) {
	if s.Schedule == nil {
		return time.Time{}
	}
	for change := s.Schedule.Next(since); !change.IsZero() && !change.After(now); change = s.Schedule.Next(change) {
		last = change
	}
	return last
}

// Agents returns how many agents are to wait while so many run jobs.
func (d Demand) Agents(busy int) int {
	most := 0
	for _, level := range d.levels {
		most = max(most, level.Agents(busy))
	}
	return most
}
