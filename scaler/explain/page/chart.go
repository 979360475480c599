package page

import (
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/explain"
)

// The plot within a picture of 600 by 160.
const (
	plotLeft   = 40.0
	plotTop    = 10.0
	plotWidth  = 550.0
	plotHeight = 126.0
	plotBottom = plotTop + plotHeight
)

// window is the time that a picture shows.
type window struct{ from, to time.Time }

// windowOf is the last hour, or what there has been of it.
func windowOf(r *explain.Report) window {
	span := min(max(r.MadeAt.Sub(r.Since), time.Minute), time.Hour)
	return window{r.MadeAt.Add(-span), r.MadeAt}
}

func (w window) span() time.Duration { return w.to.Sub(w.from) }

func (w window) holds(t time.Time) bool { return !t.Before(w.from) && !t.After(w.to) }

// part is how far into the window a time is, from 0 to 1.
func (w window) part(t time.Time) float64 {
	return min(max(float64(t.Sub(w.from))/float64(w.span()), 0), 1)
}

func (w window) at(part float64) time.Time {
	return w.from.Add(time.Duration(part * float64(w.span())))
}

func (w window) x(t time.Time) string { return number(plotLeft + plotWidth*w.part(t)) }

// scale maps values to heights.
type scale struct{ top float64 }

// newScale ends at a round number that is not below top.
func newScale(top float64) scale {
	if top <= 0 {
		return scale{1}
	}
	magnitude := math.Pow(10, math.Floor(math.Log10(top)))
	for _, factor := range []float64{1, 2, 5} {
		if factor*magnitude >= top {
			return scale{factor * magnitude}
		}
	}
	return scale{10 * magnitude}
}

func (s scale) of(value float64) float64 { return plotHeight * value / s.top }

func (s scale) y(value int) string { return number(plotBottom - s.of(float64(value))) }

// axes are the labels and lines around a plot.
type axes struct {
	Top, Half, From string
}

func axesOf(w window, s scale, unit string) axes {
	label := func(value float64) string {
		if unit == "" && value != math.Trunc(value) {
			return "" // there are no half jobs
		}
		return strconv.FormatFloat(value, 'f', -1, 64) + unit
	}
	return axes{Top: label(s.top), Half: label(s.top / 2), From: duration(w.span()) + " ago"}
}

// steps are the values of a number over time: each from its time on.
type steps []step

type step struct {
	at    time.Time
	value int
}

// stepsIn adds changes up, and keeps the window's with what there was at its start.
func stepsIn(changes []change, w window) steps {
	changes = slices.Clone(changes)
	slices.SortStableFunc(changes, func(a, b change) int { return a.at.Compare(b.at) })
	s := steps{{at: w.from}}
	value := 0
	for _, c := range changes {
		value += c.by
		last := &s[len(s)-1]
		if c.at.After(last.at) {
			s = append(s, step{c.at, value})
			continue
		}
		last.value = value
	}
	return s
}

func (s steps) last() int { return s[len(s)-1].value }

func (s steps) top() (top int) {
	for _, each := range s {
		top = max(top, each.value)
	}
	return top
}

// line is the path of the values. Between two points that fall on the same place of
// the picture, only the later is drawn.
func (s steps) line(w window, scale scale) string {
	var path strings.Builder
	path.WriteString("M" + number(plotLeft) + " " + scale.y(s[0].value))
	previous := s[0]
	for i, each := range s[1:] {
		x := w.x(each.at)
		if i+2 < len(s) && w.x(s[i+2].at) == x || each.value == previous.value {
			continue
		}
		path.WriteString("H" + x + "V" + scale.y(each.value))
		previous = each
	}
	path.WriteString("H" + number(plotLeft+plotWidth))
	return path.String()
}

// area is the path around the values and the base line.
func (s steps) area(w window, scale scale) string {
	return s.line(w, scale) + "V" + number(plotBottom) + "H" + number(plotLeft) + "Z"
}

// number is a coordinate, short enough for thousands of them.
func number(x float64) string {
	return strconv.FormatFloat(math.Round(x*10)/10, 'f', -1, 64)
}
