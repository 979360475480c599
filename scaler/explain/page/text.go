package page

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// moment is a time as people read it, with what machines read.
type moment struct{ ISO, Clock, Ago string }

// momentOf returns nil for a time that is unknown.
func momentOf(at, now time.Time) *moment {
	if at.IsZero() {
		return nil
	}
	at = at.UTC()
	clock := at.Format(time.TimeOnly)
	if now.Sub(at).Abs() > 12*time.Hour {
		clock = at.Format(time.DateOnly)
	}
	return &moment{ISO: at.Format(time.RFC3339), Clock: clock, Ago: distance(now.Sub(at))}
}

func distance(d time.Duration) string {
	switch {
	case d >= time.Second:
		return duration(d) + " ago"
	case d <= -time.Second:
		return "in " + duration(-d)
	default:
		return "now"
	}
}

// duration rounds to what people say: 0.4 s, 7 s, 3 min, 2 h, 5 days.
func duration(d time.Duration) string {
	switch seconds := d.Seconds(); {
	case seconds < 9.95:
		return strings.TrimSuffix(strconv.FormatFloat(seconds, 'f', 1, 64), ".0") + " s"
	case seconds < 99.5:
		return strconv.Itoa(int(math.Round(seconds))) + " s"
	case seconds < 99.5*60:
		return strconv.Itoa(int(math.Round(seconds/60))) + " min"
	case seconds < 48*3600:
		return strconv.Itoa(int(math.Round(seconds/3600))) + " h"
	default:
		return strconv.Itoa(int(math.Round(seconds/86400))) + " days"
	}
}

// count is a number with its noun: 1 job, 2 jobs.
func count(n int, noun string) string {
	if n != 1 {
		noun += "s"
	}
	return fmt.Sprintf("%d %s", n, noun)
}
