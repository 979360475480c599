package page

import (
	"fmt"
	"slices"
	"time"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/explain"
)

// supplyView is the picture of how many jobs there were, waiting and running, and
// how many Jobs for them.
type supplyView struct {
	Sentence               string
	Waiting, Running, Jobs string // what to draw, in SVG's words
	Axes                   axes
}

// change is one of a number at a time.
type change struct {
	at time.Time
	by int
}

func supplyOf(p *explain.Pool, w window) *supplyView {
	unfinished, running := demandOf(p)
	jobs := jobsOf(p)
	if len(unfinished) == 0 && len(jobs) == 0 {
		return nil // an idle pool needs no picture
	}
	all, busy, supply := stepsIn(unfinished, w), stepsIn(running, w), stepsIn(jobs, w)
	scale := newScale(float64(max(all.top(), supply.top(), 1)))
	return &supplyView{
		Sentence: fmt.Sprintf("Now %s waiting, %d running, and %s. In the last %s at most %s and %s.",
			count(all.last()-busy.last(), "job"), busy.last(), count(supply.last(), "Kubernetes Job"),
			duration(w.span()), count(all.top(), "job"), count(supply.top(), "Kubernetes Job")),
		Waiting: all.area(w, scale), Running: busy.area(w, scale), Jobs: supply.line(w, scale),
		Axes: axesOf(w, scale, ""),
	}
}

// foreign reports whether a request is served by others, who need no agent of ours.
func foreign(q *explain.Request) bool {
	return q.Outcome == "other agent" || q.Outcome == "other shard"
}

// demandOf returns the changes of how many requests are unfinished, and of how many
// run. Requests that agents of others took are not counted.
func demandOf(p *explain.Pool) (unfinished, running []change) {
	for i := range p.Requests {
		q := &p.Requests[i]
		queued, started, finished := at(q.Chain, explain.StepQueued), served(q.Chain), at(q.Chain, explain.StepFinished)
		if queued.IsZero() || foreign(q) {
			continue
		}
		gone := q.Progress == explain.Finished
		if gone && finished.IsZero() {
			continue
		}
		unfinished = append(unfinished, change{queued, 1})
		if !started.IsZero() {
			running = append(running, change{started, 1})
		}
		if gone {
			unfinished = append(unfinished, change{finished, -1})
			if !started.IsZero() {
				running = append(running, change{finished, -1})
			}
		}
	}
	return unfinished, running
}

// jobsOf returns the changes of how many Jobs are unfinished. Decisions say it for as
// long as they are kept; before that, the requests' own Jobs are all that is known.
func jobsOf(p *explain.Pool) (changes []change) {
	var from time.Time
	counts := map[string]int{}
	for _, s := range p.ScaledJobs {
		counts[s.Namespace+"/"+s.Name] = s.Unfinished
	}
	oldestFirst := slices.Clone(p.Decisions)
	slices.Reverse(oldestFirst)
	if len(oldestFirst) > 0 {
		from = oldestFirst[0].At
	}
	changes = jobsBefore(p, from)
	for _, d := range oldestFirst {
		for _, part := range d.ScaledJobs {
			delete(counts, part.ScaledJob)
		}
	}
	// The remaining ones have not changed since.
	unchanged := 0
	for _, n := range counts {
		unchanged += n
	}
	if unchanged > 0 {
		changes = append(changes, change{from, unchanged})
	}
	known := map[string]int{}
	for _, d := range oldestFirst {
		for _, part := range d.ScaledJobs {
			n := part.Waiting + part.Busy + part.Draining
			changes = append(changes, change{d.At, n - known[part.ScaledJob]})
			known[part.ScaledJob] = n
		}
	}
	return changes
}

// jobsBefore returns the changes by the requests' Jobs until from, when all of them
// end: after that the decisions say more.
func jobsBefore(p *explain.Pool, from time.Time) (changes []change) {
	for i := range p.Requests {
		chain := p.Requests[i].Chain
		created, finished := at(chain, explain.StepJob), at(chain, explain.StepFinished)
		if created.IsZero() || !created.Before(from) {
			continue
		}
		if finished.IsZero() || finished.After(from) {
			finished = from
		}
		changes = append(changes, change{created, 1}, change{finished, -1})
	}
	return changes
}
