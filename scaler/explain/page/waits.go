package page

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/explain"
)

// phase is a part of the time that a job waits for its agent, up to a step.
type phase struct {
	Name string
	ends []explain.Step
}

// phases in order. The time of an unknown phase is added to the next known one.
var phases = []phase{
	{"decision", []explain.Step{explain.StepCounted}},
	{"KEDA", []explain.Step{explain.StepReported, explain.StepJob}},
	{"pod", []explain.Step{explain.StepScheduled, explain.StepStarted}},
	{"agent", []explain.Step{explain.StepRegistered}},
	{"assignment", []explain.Step{explain.StepAssigned, explain.StepRunning}},
}

// waitsView is the picture of how long jobs waited for their agents, and for what.
type waitsView struct {
	Sentence string
	Legend   []phaseView
	Bars     []bar
	Axes     axes
}

// phaseView is one phase in the legend.
type phaseView struct {
	Class, Name, Mean string
}

// bar is the mean wait of the jobs that got their agents in a part of the hour.
type bar struct {
	Title string
	Parts []rect
}

type rect struct {
	Class               string
	X, Y, Width, Height string
}

// bars is into how many parts the picture's time is divided.
const bars = 30

// waits are those of several jobs, by phase.
type waits struct {
	jobs  int
	spent [5]time.Duration
}

func (w *waits) total() (sum time.Duration) {
	for _, d := range w.spent {
		sum += d
	}
	return sum
}

func waitsOf(p *explain.Pool, w window) *waitsView {
	var each [bars]waits
	var all waits
	var whole []time.Duration
	for i := range p.Requests {
		chain := p.Requests[i].Chain
		wait, ok := waitOf(chain)
		if !ok || foreign(&p.Requests[i]) || !w.holds(served(chain)) {
			continue
		}
		whole = append(whole, wait)
		in := &each[min(int(w.part(served(chain))*bars), bars-1)]
		in.jobs++
		all.jobs++
		for phase, spent := range spentOf(chain) {
			in.spent[phase] += spent
			all.spent[phase] += spent
		}
	}
	if all.jobs == 0 {
		return nil
	}
	slices.Sort(whole)
	v := &waitsView{Sentence: fmt.Sprintf("%s got an agent in the last %s: half waited up to %s, 95 %% up to %s.",
		count(all.jobs, "job"), duration(w.span()), duration(quantile(whole, 0.5)), duration(quantile(whole, 0.95)))}
	for i, phase := range phases {
		if all.spent[i] > 0 {
			v.Legend = append(v.Legend, phaseView{phaseClass(i), phase.Name, duration(all.spent[i] / time.Duration(all.jobs))})
		}
	}
	v.draw(each[:], w)
	return v
}

func phaseClass(i int) string { return fmt.Sprintf("phase%d", i) }

func (v *waitsView) draw(each []waits, w window) {
	var top time.Duration
	for _, part := range each {
		if part.jobs > 0 {
			top = max(top, part.total()/time.Duration(part.jobs))
		}
	}
	scale := newScale(top.Seconds())
	v.Axes = axesOf(w, scale, " s")
	for i, part := range each {
		if part.jobs == 0 {
			continue
		}
		b := bar{}
		var spoken []string
		y := 0.0
		for p, spent := range part.spent {
			mean := spent / time.Duration(part.jobs)
			if mean == 0 {
				continue
			}
			height := scale.of(mean.Seconds())
			b.Parts = append(b.Parts, rect{
				Class: phaseClass(p), X: number(plotLeft + (float64(i)+0.1)*plotWidth/bars), Width: number(0.8 * plotWidth / bars),
				Y: number(plotBottom - y - height), Height: number(height),
			})
			y += height
			spoken = append(spoken, phases[p].Name+" "+duration(mean))
		}
		b.Title = fmt.Sprintf("%s, until %s: %s on average (%s)", count(part.jobs, "job"), w.at(float64(i+1)/bars).UTC().Format("15:04:05"),
			duration(part.total()/time.Duration(part.jobs)), strings.Join(spoken, ", "))
		v.Bars = append(v.Bars, b)
	}
}

// at returns when a step was reached.
func at(chain []explain.Link, step explain.Step) time.Time {
	for _, link := range chain {
		if link.Step == step {
			return link.At
		}
	}
	return time.Time{}
}

// served is when a request got its agent, zero if it has none.
func served(chain []explain.Link) time.Time {
	if running := at(chain, explain.StepRunning); !running.IsZero() {
		return running
	}
	return at(chain, explain.StepAssigned)
}

// waitOf is how long a request waited for its agent, if it has one.
func waitOf(chain []explain.Link) (time.Duration, bool) {
	from, to := at(chain, explain.StepQueued), served(chain)
	if from.IsZero() || to.IsZero() {
		return 0, false
	}
	return max(to.Sub(from), 0), true
}

// spentOf divides a request's wait into the phases.
func spentOf(chain []explain.Link) (spent [5]time.Duration) {
	before := at(chain, explain.StepQueued)
	for i, phase := range phases {
		for _, step := range phase.ends {
			if reached := at(chain, step); reached.After(before) {
				spent[i] += reached.Sub(before)
				before = reached
			}
		}
	}
	return spent
}
