package warm

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// The bounds of a schedule: whoever can reach the scaler may send any text.
const (
	maxPeriods = 30
	maxAgents  = 1_000_000
	maxShare   = 1000
)

// example shows the grammar in errors.
const example = "Mon-Fri 07:30-18:00 5 +20% max 12; Sat 10:00-14:00 1"

var dayNames = []string{"Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"}

// joints are where spaces make no difference.
var joints = regexp.MustCompile(`\s*(,)\s*|\s+(-)\s+`)

// Parse reads periods such as
//
//	Mon-Fri 07:30-18:00 5 +20% max 12; Sat 10:00-14:00 1
//
// by the wall clock of an IANA time zone, "" meaning UTC. The days may be left
// out, which means every day. The error holds every mistake.
func Parse(text, zone string) (*Schedule, error) {
	location, err := loadZone(zone)
	var mistakes []error
	if err != nil {
		mistakes = append(mistakes, err)
	}
	var periods []Period
	parts := split(text)
	switch {
	case len(parts) == 0:
		mistakes = append(mistakes, errors.New("there is no period, such as "+example))
	case len(parts) > maxPeriods:
		mistakes = append(mistakes, fmt.Errorf("there are %d periods; at most %d are allowed", len(parts), maxPeriods))
		parts = nil
	}
	for _, part := range parts {
		p, problems := parsePeriod(part)
		for _, problem := range problems {
			mistakes = append(mistakes, fmt.Errorf("period %q: %s", part, problem))
		}
		periods = append(periods, p)
	}
	if len(mistakes) > 0 {
		return nil, errors.Join(mistakes...)
	}
	return newSchedule(periods, location), nil
}

// UnknownZone is how the mistake of a time zone begins.
const UnknownZone = "unknown time zone"

// loadZone finds a time zone. That of the machine is none: it differs from one
// machine to the next.
func loadZone(name string) (*time.Location, error) {
	if name == "" {
		return time.UTC, nil
	}
	location, err := time.LoadLocation(name)
	if err != nil || name == "Local" {
		return nil, fmt.Errorf(UnknownZone+" %q; use an IANA name such as Europe/Berlin", name)
	}
	return location, nil
}

// split returns the periods of a text; a semicolon at its end is allowed.
func split(text string) []string {
	var parts []string
	for part := range strings.SplitSeq(text, ";") {
		if part = strings.Join(strings.Fields(part), " "); part != "" {
			parts = append(parts, part)
		}
	}
	return parts
}

// parsePeriod reads one period and returns what is wrong with it.
func parsePeriod(text string) (p Period, problems []string) {
	words := strings.Fields(joints.ReplaceAllString(text, "$1$2"))
	add := func(format string, args ...any) { problems = append(problems, fmt.Sprintf(format, args...)) }
	p.Days = everyDay
	if len(words) > 0 && !strings.Contains(words[0], ":") {
		var unknown string
		if p.Days, unknown = parseDays(words[0]); unknown != "" {
			add("%q is not a day such as Mon, Mon-Fri or Mon,Wed", unknown)
		}
		words = words[1:]
	}
	if len(words) < 2 {
		add("it has the form %s", example)
		return p, problems
	}
	from, to, ok := strings.Cut(words[0], "-")
	p.From, p.To = parseClock(from), parseClock(to)
	switch {
	case !ok || p.From < 0 || p.From == day || p.To < 0:
		add("%q is not a time such as 07:30-18:00, from 00:00 to 24:00", words[0])
	case p.From == p.To:
		add("%q is empty; the whole day is 00:00-24:00", words[0])
	}
	level, problem := parseLevel(words[1:])
	if problem != "" {
		add("%s", problem)
	}
	p.Level = level
	return p, problems
}

// parseDays reads a list of days and ranges of days; unknown is the first word
// that is none.
func parseDays(list string) (days Days, unknown string) {
	for part := range strings.SplitSeq(list, ",") {
		first, last, isRange := strings.Cut(part, "-")
		if !isRange {
			last = first
		}
		from, to := parseDay(first), parseDay(last)
		if from < 0 || to < 0 {
			return everyDay, part
		}
		for d := from; ; d = (d + 1) % 7 {
			days |= 1 << d
			if d == to {
				break
			}
		}
	}
	return days, ""
}

// parseDay reads a day's name, also in full; -1 means that it is none.
func parseDay(name string) int {
	return slices.IndexFunc(dayNames, func(short string) bool {
		full := time.Weekday((slices.Index(dayNames, short) + 1) % 7).String()
		return strings.EqualFold(name, short) || strings.EqualFold(name, full)
	})
}

var clock = regexp.MustCompile(`^(\d{1,2}):(\d{2})$`)

// parseClock returns a time of day in minutes, -1 if it is none.
func parseClock(text string) int {
	parts := clock.FindStringSubmatch(text)
	if parts == nil {
		return -1
	}
	hour, _ := strconv.Atoi(parts[1])
	minute, _ := strconv.Atoi(parts[2])
	if hour > 24 || minute > 59 || hour == 24 && minute > 0 {
		return -1
	}
	return hour*60 + minute
}

// parseLevel reads words such as 5 +20% max 12.
func parseLevel(words []string) (l Level, problem string) {
	form := fmt.Sprintf("%q is not a number of agents such as 5, 5 +20%% or 5 +20%% max 12", strings.Join(words, " "))
	var ok bool
	if l.Idle, ok = number(words[0], maxAgents); !ok {
		return l, form
	}
	words = words[1:]
	if len(words) > 0 && strings.HasPrefix(words[0], "+") {
		share, hasSign := strings.CutSuffix(words[0][1:], "%")
		if l.Share, ok = number(share, maxShare); !ok || !hasSign || l.Share == 0 {
			return l, fmt.Sprintf("%q is not a share of the busy agents, from +1%% to +%d%%", words[0], maxShare)
		}
		words = words[1:]
	}
	switch {
	case len(words) == 0:
		return l, ""
	case len(words) != 2 || words[0] != "max":
		return l, form
	}
	if l.Max, ok = number(words[1], maxAgents); !ok || l.Max == 0 {
		return l, form
	}
	switch {
	case l.Share == 0:
		return l, "max bounds a share of the busy agents; add one such as +20%, or leave max out"
	case l.Max < l.Idle:
		return l, fmt.Sprintf("max %d must not be less than %d", l.Max, l.Idle)
	}
	return l, ""
}

func number(text string, most int) (n int, ok bool) {
	n, err := strconv.Atoi(text)
	return n, err == nil && n >= 0 && n <= most && text[0] != '+'
}

// String returns the schedule in the grammar that Parse reads.
func (s *Schedule) String() string {
	parts := make([]string, len(s.periods))
	for i := range s.periods {
		parts[i] = s.periods[i].String()
	}
	return strings.Join(parts, "; ")
}

// String returns the period as Parse reads it.
func (p *Period) String() string {
	text := fmt.Sprintf("%02d:%02d-%02d:%02d %s", p.From/60, p.From%60, p.To/60, p.To%60, p.Level)
	if p.Days != everyDay {
		text = p.Days.String() + " " + text
	}
	return text
}

// String returns the level as Parse reads it.
func (l Level) String() string {
	text := strconv.Itoa(l.Idle)
	if l.Share > 0 {
		text += fmt.Sprintf(" +%d%%", l.Share)
	}
	if l.Max > 0 {
		text += fmt.Sprintf(" max %d", l.Max)
	}
	return text
}

// String returns the days as Parse reads them.
func (d Days) String() string {
	var parts []string
	for first := 0; first < 7; first++ {
		if !d.has(first) {
			continue
		}
		last := first
		for last < 6 && d.has(last+1) {
			last++
		}
		if part := dayNames[first]; last > first {
			parts = append(parts, part+"-"+dayNames[last])
		} else {
			parts = append(parts, part)
		}
		first = last
	}
	return strings.Join(parts, ",")
}
