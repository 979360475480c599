package warm_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/warm"
)

func TestString(t *testing.T) {
	for text, want := range map[string]string{
		"Mon-Fri 07:30-18:00 5":               "Mon-Fri 07:30-18:00 5",
		"Friday-monday 7:30 - 18:00 5 +1%":    "Mon,Fri-Sun 07:30-18:00 5 +1%",
		"Mon, Wed ,Fri-Sat 22:00-06:00 5":     "Mon,Wed,Fri-Sat 22:00-06:00 5",
		"Mon-Sun 0:00-24:00 0 +1000% max 9;":  "00:00-24:00 0 +1000% max 9",
		"Sun-Sun\t20:00-00:00\n1":             "Sun 20:00-00:00 1",
		"Wed-Tue 08:00-09:00 1;;08:00-9:30 2": "08:00-09:00 1; 08:00-09:30 2",
	} {
		if got := parse(t, text, "").String(); got != want {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
}

// TestMistakes wants every mistake of a schedule reported, and the author's words in it.
func TestMistakes(t *testing.T) {
	tests := []struct {
		text, zone string
		want       []string
	}{
		{"", "", []string{"there is no period"}},
		{" ; ", "Europe/Atlantis", []string{"there is no period", `unknown time zone "Europe/Atlantis"`}},
		{"8:00-9:00 1", "Local", []string{`unknown time zone "Local"`}},
		{"8:00-9:00 1", "../etc/passwd", []string{"unknown time zone"}},
		{"Mon", "", []string{"it has the form Mon-Fri"}},
		{"8:00-9:00", "", []string{"it has the form Mon-Fri"}},
		{"Foo 8:00-9:00 1; Mon-Bar 8:00-9:00 1", "", []string{`"Foo" is not a day`, `"Mon-Bar" is not a day`}},
		{"Foo 8-9:00 x", "", []string{`"Foo" is not a day`, `"8-9:00" is not a time`, `"x" is not a number`}},
		{"24:00-9:00 1; 8:00-24:01 1; 8:60-9:00 1; 8:00 1", "", []string{"24:00-9:00", "8:00-24:01", "8:60-9:00", `"8:00" is not a time`}},
		{"8:00-8:00 1", "", []string{"is empty; the whole day is 00:00-24:00"}},
		{"8:00-9:00 -1", "", []string{`"-1" is not a number of agents`}},
		{"8:00-9:00 +1", "", []string{`"+1" is not a number of agents`}},
		{"8:00-9:00 1000001", "", []string{"is not a number of agents"}},
		{"8:00-9:00 1 20%", "", []string{"is not a number of agents"}},
		{"8:00-9:00 1 +20", "", []string{`"+20" is not a share`}},
		{"8:00-9:00 1 +0%", "", []string{`"+0%" is not a share`}},
		{"8:00-9:00 1 +1001%", "", []string{`"+1001%" is not a share`}},
		{"8:00-9:00 1 max 3", "", []string{"max bounds a share"}},
		{"8:00-9:00 5 +20% max 3", "", []string{"max 3 must not be less than 5"}},
		{"8:00-9:00 5 +20% max", "", []string{"is not a number of agents"}},
		{strings.Repeat("8:00-9:00 1;", 31), "", []string{"there are 31 periods; at most 30"}},
	}
	for _, test := range tests {
		_, err := warm.Parse(test.text, test.zone)
		if err == nil {
			t.Errorf("%q in %q: no error", test.text, test.zone)
			continue
		}
		for _, want := range test.want {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%q in %q: %v\nlacks %s", test.text, test.zone, err, want)
			}
		}
		if lines := strings.Count(err.Error(), "\n") + 1; lines != len(test.want) {
			t.Errorf("%q in %q: %d mistakes, want %d: %v", test.text, test.zone, lines, len(test.want), err)
		}
	}
}

// TestOverlaps wants a warning where the order decides what may be meant otherwise,
// and none for an exception.
func TestOverlaps(t *testing.T) {
	for text, want := range map[string]string{
		"Mon-Fri 08:00-18:00 5; Sat 08:00-18:00 1":        "",
		"Mon-Fri 08:00-18:00 5; 12:00-13:00 0":            `periods "Mon-Fri 08:00-18:00 5" and "12:00-13:00 0" overlap, from Mon 12:00 on; the later one counts`,
		"Mon-Fri 08:00-18:00 5; Fri 12:00-13:00 0":        "",
		"Mon-Fri 08:00-18:00 5; Fri 12:00-20:00 1":        `periods "Mon-Fri 08:00-18:00 5" and "Fri 12:00-20:00 1" overlap, from Fri 12:00 on; the later one counts`,
		"Mon-Fri 08:00-18:00 5; Fri 12:00-20:00 5":        "",
		"Fri 12:00-13:00 1; Mon-Fri 08:00-18:00 5":        `period "Fri 12:00-13:00 1" has no effect: later periods cover all of it`,
		"Fri 08:00-18:00 1; 08:00-12:00 2; 12:00-18:00 3": `period "Fri 08:00-18:00 1" has no effect: later periods cover all of it`,
		"Sun 22:00-06:00 2; Mon 05:00-09:00 1":            `periods "Sun 22:00-06:00 2" and "Mon 05:00-09:00 1" overlap, from Mon 05:00 on; the later one counts`,
		"Mon 04:00-05:00 2; Sun 22:00-06:00 2":            `period "Mon 04:00-05:00 2" has no effect: later periods cover all of it`,
		"Sun 22:00-06:00 2; Mon 06:00-09:00 1":            "",
	} {
		if got := strings.Join(parse(t, text, "").Warnings(), "\n"); got != want {
			t.Errorf("%q:\ngot  %s\nwant %s", text, got, want)
		}
	}
}

// TestManyOverlaps has each period overlap each other, which is one mistake and not
// hundreds of events.
func TestManyOverlaps(t *testing.T) {
	var text strings.Builder
	for i := range 30 {
		fmt.Fprintf(&text, "%02d:%02d-%02d:%02d %d;", i/10, i, i/10+12, i, i)
	}
	if warnings := parse(t, text.String(), "").Warnings(); len(warnings) != 5 {
		t.Errorf("%d warnings, want 5", len(warnings))
	}
}

// FuzzParse wants a schedule that can be read to be written in a way that means the
// same.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		"Mon-Fri 07:30-18:00 5 +20% max 12; Sat 10:00-14:00 1", "22:00-06:00 2", "Sat-Mon 0:00-24:00 0", "Mon,,Tue 8:00-9:00 1",
		"8:00-9:00 1 + 20%", "Mon-Fri-Sat 1:00-2:00 3", "\xff 1:00-2:00 3", "1:00-2:00 99999999999999999999",
	} {
		f.Add(seed, "Europe/Berlin", int64(1774746000))
	}
	f.Fuzz(func(t *testing.T, text, zone string, unix int64) {
		s, err := warm.Parse(text, zone)
		if err != nil {
			return
		}
		again := parse(t, s.String(), zone)
		if again.String() != s.String() || !slices.Equal(again.Warnings(), s.Warnings()) {
			t.Fatalf("%q: read again, it is %s with %q", s, again, again.Warnings())
		}
		at := time.Unix(unix%(1<<33), 0)
		for range 20 {
			next := s.Next(at)
			if other := again.Next(at); !next.Equal(other) || idle(s, at) != idle(again, at) {
				t.Fatalf("%q at %s: %s until %s; read again, %s until %s", s, at, idle(s, at), next, idle(again, at), other)
			}
			if next.IsZero() {
				return
			}
			if !next.After(at) || idle(s, next) == idle(s, at) {
				t.Fatalf("%q at %s: nothing changes at %s", s, at, next)
			}
			at = next
		}
	})
}

// BenchmarkParse reads the schedule that costs most.
func BenchmarkParse(b *testing.B) {
	var text strings.Builder
	for i := range 30 {
		fmt.Fprintf(&text, "%02d:%02d-%02d:%02d %d;", i/10, i, i/10+12, i, i)
	}
	for b.Loop() {
		if _, err := warm.Parse(text.String(), "Europe/Berlin"); err != nil {
			b.Fatal(err)
		}
	}
}
