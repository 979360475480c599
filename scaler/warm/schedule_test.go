package warm_test

import (
	"archive/zip"
	"fmt"
	"math/rand/v2"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/warm"
)

func parse(tb testing.TB, text, zone string) *warm.Schedule {
	tb.Helper()
	s, err := warm.Parse(text, zone)
	if err != nil {
		tb.Fatalf("%s in %s: %v", text, zone, err)
	}
	return s
}

// idle is the level's number of idle agents, "-" where no period is.
func idle(s *warm.Schedule, at time.Time) string {
	level, ok := s.At(at)
	if !ok {
		return "-"
	}
	return level.String()
}

// TestAt has what is wanted at moments that are easily got wrong, and when that
// changes next.
func TestAt(t *testing.T) {
	const office = "Mon-Fri 07:30-18:00 5 +20% max 12; Sat 10:00-14:00 1"
	tests := []struct{ name, text, zone, at, want, next string }{
		{"the first moment", office, "", "2026-11-23T07:30:00Z", "5 +20% max 12", "2026-11-23T18:00:00Z"},
		{"just before", office, "", "2026-11-23T07:29:59Z", "-", "2026-11-23T07:30:00Z"},
		{"the end", office, "", "2026-11-23T18:00:00Z", "-", "2026-11-24T07:30:00Z"},
		{"another day", office, "", "2026-11-28T10:00:00Z", "1", "2026-11-28T14:00:00Z"},
		{"no period", office, "", "2026-11-28T14:00:00Z", "-", "2026-11-30T07:30:00Z"},
		{"a zone", office, "America/New_York", "2026-11-23T12:30:00Z", "5 +20% max 12", "2026-11-23T23:00:00Z"},
		{"half an hour of offset", office, "Asia/Kolkata", "2026-11-23T02:00:00Z", "5 +20% max 12", "2026-11-23T12:30:00Z"},
		{"over midnight", "Fri 22:00-06:00 2", "", "2026-11-28T05:59:00Z", "2", "2026-11-28T06:00:00Z"},
		{"over midnight, the night before", "Fri 22:00-06:00 2", "", "2026-11-27T05:59:00Z", "-", "2026-11-27T22:00:00Z"},
		{"over the end of the week", "Sun 22:00-06:00 2", "", "2026-11-30T00:00:00Z", "2", "2026-11-30T06:00:00Z"},
		{"all days", "00:00-24:00 3", "", "2026-11-30T00:00:00Z", "3", ""},
		{"one whole day", "Mon 00:00-24:00 3", "", "2026-11-30T23:59:59Z", "3", "2026-12-01T00:00:00Z"},
		{"days over the end of the week", "Sat-Mon 08:00-09:00 3", "", "2026-11-29T08:00:00Z", "3", "2026-11-29T09:00:00Z"},
		{"the last match wins", "08:00-18:00 5; 12:00-13:00 0", "", "2026-11-30T12:00:00Z", "0", "2026-11-30T13:00:00Z"},
		{"until the exception", "08:00-18:00 5; 12:00-13:00 0", "", "2026-11-30T11:00:00Z", "5", "2026-11-30T12:00:00Z"},
		{"periods that join", "08:00-12:00 5; 12:00-18:00 5", "", "2026-11-30T09:00:00Z", "5", "2026-11-30T18:00:00Z"},
		{"a leap day", "Thu 08:00-18:00 5", "", "2024-02-29T08:00:00Z", "5", "2024-02-29T18:00:00Z"},
		{"over a leap day", "Wed 22:00-06:00 5", "", "2024-02-29T05:00:00Z", "5", "2024-02-29T06:00:00Z"},
		{"the day after", "Fri 08:00-18:00 5", "", "2024-03-01T08:00:00Z", "5", "2024-03-01T18:00:00Z"},
		// On 2026-03-29 the clock goes from 01:59 to 03:00.
		{"a night that is an hour shorter", "Sat 22:00-06:00 2", "Europe/Berlin", "2026-03-28T21:00:00Z", "2", "2026-03-29T04:00:00Z"},
		{"a period that does not exist", "Sun 02:10-02:50 2", "Europe/Berlin", "2026-03-29T00:00:00Z", "-", "2026-04-05T00:10:00Z"},
		{"a beginning that does not exist", "Sun 02:30-05:00 2", "Europe/Berlin", "2026-03-29T00:59:00Z", "-", "2026-03-29T01:00:00Z"},
		{"an end that does not exist", "Sun 01:00-02:30 2", "Europe/Berlin", "2026-03-29T00:00:00Z", "2", "2026-03-29T01:00:00Z"},
		// On 2026-10-25 the clock goes from 02:59 back to 02:00.
		{"a night that is an hour longer", "Sat 22:00-06:00 2", "Europe/Berlin", "2026-10-24T20:00:00Z", "2", "2026-10-25T05:00:00Z"},
		{"the first of two", "Sun 02:10-02:50 2", "Europe/Berlin", "2026-10-25T00:10:00Z", "2", "2026-10-25T00:50:00Z"},
		{"between the two", "Sun 02:10-02:50 2", "Europe/Berlin", "2026-10-25T00:50:00Z", "-", "2026-10-25T01:10:00Z"},
		{"the second of two", "Sun 02:10-02:50 2", "Europe/Berlin", "2026-10-25T01:10:00Z", "2", "2026-10-25T01:50:00Z"},
		{"until the clock goes back", "Sun 02:10-03:00 2", "Europe/Berlin", "2026-10-25T00:30:00Z", "2", "2026-10-25T01:00:00Z"},
		{"a change by half an hour", "Sun 01:45-02:15 2", "Australia/Lord_Howe", "2026-04-04T14:45:00Z", "2", "2026-04-04T15:00:00Z"},
		{"a day that was left out", "Fri 00:00-24:00 2", "Pacific/Apia", "2011-12-29T12:00:00Z", "-", "2012-01-05T10:00:00Z"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			at, err := time.Parse(time.RFC3339, test.at)
			if err != nil {
				t.Fatal(err)
			}
			s := parse(t, test.text, test.zone)
			next := ""
			if n := s.Next(at); !n.IsZero() {
				next = n.UTC().Format(time.RFC3339)
			}
			if got := idle(s, at); got != test.want || next != test.next {
				t.Errorf("got %s until %s, want %s until %s", got, next, test.want, test.next)
			}
		})
	}
}

// draw draws a schedule of up to four periods, in quarters of an hour.
func draw(random *rand.Rand) []warm.Period {
	periods := make([]warm.Period, 1+random.IntN(4))
	for i := range periods {
		from := random.IntN(96)
		to := (from + 1 + random.IntN(95)) % 97 // 96 is 24:00
		if to == from {
			to++
		}
		periods[i] = warm.Period{
			Days: warm.Days(1 + random.IntN(127)), From: 15 * from, To: 15 * to, Level: warm.Level{Idle: random.IntN(3)},
		}
	}
	return periods
}

func text(periods []warm.Period) string {
	parts := make([]string, len(periods))
	for i := range periods {
		parts[i] = periods[i].String()
	}
	return strings.Join(parts, ";")
}

// byClock is what the wall clock says, period by period.
func byClock(periods []warm.Period, local time.Time) string {
	minute, today := local.Hour()*60+local.Minute(), (int(local.Weekday())+6)%7
	yesterday := (today + 6) % 7
	said := "-"
	for _, p := range periods {
		has := func(day int) bool { return p.Days>>day&1 == 1 }
		switch {
		case p.From < p.To && has(today) && minute >= p.From && minute < p.To,
			p.From > p.To && has(today) && minute >= p.From,
			p.From > p.To && has(yesterday) && minute < p.To:
			said = p.Level.String()
		}
	}
	return said
}

// checkAt holds a schedule to the wall clock at a moment, and its next change to
// being the next one.
func checkAt(t *testing.T, s *warm.Schedule, periods []warm.Period, at time.Time, zone *time.Location) {
	t.Helper()
	now := byClock(periods, at.In(zone))
	if got := idle(s, at); got != now {
		t.Fatalf("%s in %s at %s: got %s, want %s", s, zone, at.In(zone), got, now)
	}
	next := s.Next(at)
	last := next.Add(-time.Nanosecond)
	if next.IsZero() {
		last = at.Add(40 * 24 * time.Hour)
	} else if got := idle(s, next); got == now {
		t.Fatalf("%s in %s at %s: nothing changes at %s", s, zone, at.In(zone), next.In(zone))
	}
	steps := min(int(last.Sub(at)/(15*time.Minute)), 200)
	for i := range steps + 1 {
		between := at.Add(time.Duration(i) * 15 * time.Minute)
		if between.After(last) || i == steps {
			between = last
		}
		if got := idle(s, between); got != now {
			t.Fatalf("%s in %s at %s: changes to %s at %s, before %s", s, zone, at.In(zone), got, between.In(zone), next.In(zone))
		}
	}
}

// zones lists the time zones that Go comes with.
func zones(t *testing.T) []string {
	t.Helper()
	root, err := exec.CommandContext(t.Context(), "go", "env", "GOROOT").Output()
	if err != nil {
		t.Fatal(err)
	}
	archive, err := zip.OpenReader(filepath.Join(strings.TrimSpace(string(root)), "lib", "time", "zoneinfo.zip"))
	if err != nil {
		t.Fatal(err)
	}
	defer archive.Close()
	var names []string
	for _, file := range archive.File {
		if !strings.HasSuffix(file.Name, "/") {
			names = append(names, file.Name)
		}
	}
	if len(names) < 400 {
		t.Fatalf("only %d zones: %v", len(names), names)
	}
	return names
}

// TestEveryZone goes through every time zone there is: around each change of its
// clock in four years, a leap year among them, and at moments drawn at random.
func TestEveryZone(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 1))
	begin, end := time.Date(2023, 12, 30, 0, 0, 0, 0, time.UTC), time.Date(2028, 1, 2, 0, 0, 0, 0, time.UTC)
	for _, name := range zones(t) {
		zone, err := time.LoadLocation(name)
		if err != nil {
			t.Fatal(err)
		}
		moments := []time.Time{}
		for at := begin; !at.IsZero() && at.Before(end); {
			_, at = at.In(zone).ZoneBounds()
			if !at.IsZero() && at.Before(end) {
				moments = append(moments, at.Add(-3*time.Hour), at.Add(-time.Nanosecond), at, at.Add(time.Hour))
			}
		}
		for range 3 {
			moments = append(moments, begin.Add(time.Duration(random.Int64N(int64(end.Sub(begin))))))
		}
		for _, at := range moments {
			periods := draw(random)
			checkAt(t, parse(t, text(periods), name), periods, at, zone)
		}
	}
}

// TestAnySchedule draws schedules and moments, for which it restarts each time,
// as after a restart.
func TestAnySchedule(t *testing.T) {
	names := []string{"Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata", "UTC", "Africa/Casablanca"}
	for seed := range uint64(1500) {
		random := rand.New(rand.NewPCG(seed, 2))
		periods, name := draw(random), names[random.IntN(len(names))]
		zone, err := time.LoadLocation(name)
		if err != nil {
			t.Fatal(err)
		}
		at := time.Unix(1_700_000_000+random.Int64N(5*365*24*3600), random.Int64N(1e9))
		checkAt(t, parse(t, text(periods), name), periods, at, zone)
		checkAhead(t, warm.Settings{
			MinIdle: random.IntN(3), Schedule: parse(t, text(periods), name), Ahead: time.Duration(random.Int64N(int64(10 * time.Minute))),
		}, at)
	}
}

// checkAhead holds what is wanted to the most that is, from the moment until the
// start-up time later, and the time until which that holds to no change before.
func checkAhead(t *testing.T, s warm.Settings, at time.Time) {
	t.Helper()
	most := func(now time.Time) int {
		n := 0
		for step := time.Duration(0); ; step += 10 * time.Second {
			step = min(step, s.Ahead)
			level, ok := s.Schedule.At(now.Add(step))
			if !ok {
				level = warm.Level{Idle: s.MinIdle}
			}
			n = max(n, level.Agents(0))
			if step == s.Ahead {
				return n
			}
		}
	}
	demand, until := s.At(at)
	if got, want := demand.Agents(0), most(at); got != want {
		t.Fatalf("%s, %v ahead, at %s: got %d, want %d", s.Schedule, s.Ahead, at.UTC(), got, want)
	}
	if until.IsZero() {
		return
	}
	if !until.After(at) {
		t.Fatalf("%s, %v ahead, at %s: holds until %s", s.Schedule, s.Ahead, at.UTC(), until.UTC())
	}
	for _, later := range []time.Time{at.Add(until.Sub(at) / 2), until.Add(-time.Nanosecond)} {
		if got := most(later); got != demand.Agents(0) {
			t.Fatalf("%s, %v ahead, at %s: %d until %s, but %d at %s",
				s.Schedule, s.Ahead, at.UTC(), demand.Agents(0), until.UTC(), got, later.UTC())
		}
	}
}

// TestAhead has agents started before a period and kept to its end.
func TestAhead(t *testing.T) {
	s := warm.Settings{MinIdle: 1, Schedule: parse(t, "Mon 08:00-09:00 5; Mon 09:00-09:01 2", ""), Ahead: 2 * time.Minute}
	for _, test := range []struct {
		at, until string
		want      int
	}{
		{"07:57:59", "07:58:00", 1},
		{"07:58:00", "08:00:00", 5},
		{"08:00:00", "08:58:00", 5},
		{"08:58:00", "08:59:00", 5},
		{"08:59:00", "09:00:00", 5},
		{"09:00:00", "09:01:00", 2},
		{"09:01:00", "07:58:00", 1},
	} {
		at, err := time.Parse(time.DateTime, "2026-11-30 "+test.at)
		if err != nil {
			t.Fatal(err)
		}
		demand, until := s.At(at)
		if got := demand.Agents(0); got != test.want || until.Format(time.TimeOnly) != test.until {
			t.Errorf("at %s: got %d until %s, want %d until %s", test.at, got, until.Format(time.TimeOnly), test.want, test.until)
		}
	}
}

func TestAgents(t *testing.T) {
	for _, test := range []struct {
		text string
		busy int
		want int
	}{
		{"5", 100, 5},
		{"5 +20%", 0, 5},
		{"5 +20%", 1, 6},
		{"5 +20%", 5, 6},
		{"5 +20%", 6, 7},
		{"5 +20% max 12", 1000, 12},
		{"0 +1000%", 2_000_000_000, 20_000_000_000},
	} {
		level, _ := parse(t, "00:00-24:00 "+test.text, "").At(time.Now())
		if got := level.Agents(test.busy); got != test.want {
			t.Errorf("%s with %d busy: %d, want %d", test.text, test.busy, got, test.want)
		}
	}
}

func ExampleParse() {
	s, err := warm.Parse("mon - fri 7:30-18:00 5 +20% max 12; Saturday 10:00-14:00 1;", "Europe/Berlin")
	fmt.Println(s, err)
	// Output: Mon-Fri 07:30-18:00 5 +20% max 12; Sat 10:00-14:00 1 <nil>
}
